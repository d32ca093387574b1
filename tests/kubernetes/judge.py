"""The verdict on what the cluster did. It imports nothing of Stepwire: librdkafka reads what is committed.

In: servers, how many tickets were published, their customers `c-0`, `c-1`, … Out: a line of counts:

- lost: a ticket without an answer, or with a dead letter;
- duplicated: more answers of a customer, or more records of one identity, than one.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter

from confluent_kafka import Consumer, KafkaError, TopicPartition

DESKS = ("support.billing", "support.technical", "support.general")
ANSWERS = "support.answers"
DEAD = tuple(f"support.{handler}.dlt" for handler in ("triage", "billing", "technical", "general"))
Record = tuple[str, dict[str, bytes], bytes]  #: topic, headers, value
COUNTED = re.compile(r"c-\d+")
SECONDS = 30.0


def committed(servers: str, topics: list[str]) -> list[Record]:
    """Every committed record up to the present end."""
    reader = Consumer({
        "bootstrap.servers": servers, "group.id": "judge", "isolation.level": "read_committed", "log_level": 2,
        "enable.partition.eof": True, "enable.auto.commit": False,
    })  # fmt: skip
    try:
        known = reader.list_topics(timeout=SECONDS).topics
        wanted = {(name, number) for name in topics if name in known for number in known[name].partitions}
        reader.assign([TopicPartition(*place, 0) for place in sorted(wanted)])
        found: list[Record] = []
        while wanted:
            messages = reader.consume(1_000, SECONDS)
            if not messages:
                raise TimeoutError(f"nothing comes from {sorted(wanted)[:3]}")
            for message in messages:
                error = message.error()
                if error is None:
                    found.append((str(message.topic()), dict(message.headers() or ()), message.value() or b""))
                elif error.code() == KafkaError._PARTITION_EOF:
                    wanted.discard((str(message.topic()), message.partition()))
        return found
    finally:
        reader.close()


def counts(records: list[Record], published: int) -> dict[str, int]:
    """The verdict on these records."""
    answers, desks, ids, letters = Counter[str](), Counter[str](), Counter[tuple[str, bytes, bytes]](), 0
    for topic, headers, value in records:
        if topic in DEAD:
            letters += 1
            continue
        ids[topic, headers["ce_source"], headers["ce_id"]] += 1
        customer = str(json.loads(value)["customer"])
        if COUNTED.fullmatch(customer):
            (answers if topic == ANSWERS else desks)[customer] += 1
    again = sum(n - 1 for seen in (answers, desks) for n in seen.values())
    return {
        "published": published,
        "answered": len(answers),
        "lost": sum(f"c-{n}" not in answers for n in range(published)) + letters,
        "duplicated": max(again, sum(n - 1 for n in ids.values())),
    }


if __name__ == "__main__":
    told = counts(committed(sys.argv[1], [*DESKS, ANSWERS, *DEAD]), int(sys.argv[2]))
    sys.stdout.write(" ".join(f"{name}={count}" for name, count in told.items()) + "\n")
    sys.exit(1 if told["lost"] + told["duplicated"] else 0)

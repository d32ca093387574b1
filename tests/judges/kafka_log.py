"""The verdict over Kafka topics, from outside: librdkafka, committed records only, nothing of Stepwire's.

In: bootstrap servers; what was published, as ids with their keys in the order of publishing; the topics that all of it
must have come to; and where an output carries the published id. Out: a `Verdict`, printed as one line.
Promise: each partition is read from its first record to its last, those behind an open transaction are waited for, and
what cannot be read is a fault of its own: nothing is good because nothing was seen.

    python -m tests.judges.kafka_log SERVERS --published ids.jsonl --id header:ce_swrun OUTPUT [OUTPUT ...]

ids.jsonl has one {"id": …, "key": …} a line. Several topics together must have each id once: name the two ends of a
route in one call, the ends of a fan-out in a call each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

OPEN_SECONDS = 90.0  # longer than any transaction timeout of a test
SILENT_SECONDS = 30.0


class Published(NamedTuple):
    """One event, as its publisher wrote it down."""

    id: str
    key: str


class Output(NamedTuple):
    """One committed record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


@dataclass(frozen=True)
class Verdict:
    """The counts. All is well if the first two are equal and the others are 0."""

    published: int
    outputs: int
    lost: int  # published ids that are in no topic
    duplicated: int  # outputs beyond the first of their id
    foreign: int  # outputs of an id that nobody published
    unreadable: int  # outputs without an id
    order_violations: int  # outputs of a key, in one partition, that come after one published later
    hidden: int  # partitions whose end lies behind a transaction that nobody ends

    @property
    def good(self) -> bool:
        """Was something published, and did it come out once each and in order?"""
        wrong = self.lost + self.duplicated + self.foreign + self.unreadable + self.order_violations + self.hidden
        return self.published > 0 and wrong == 0

    def __str__(self) -> str:
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))


class Silent(Exception):
    """The brokers gave nothing for too long: there is no verdict."""


Identify = Callable[[Output], str | None]


def identify_by(where: str) -> Identify:
    """`header:NAME`, `json:FIELD` of the value, `value` or `key`: where an output carries the published id."""
    kind, _, name = where.partition(":")
    if kind == "header" and name:
        return lambda output: _text(output.headers.get(name))
    if kind == "json" and name:
        return lambda output: _field(output.value, name)
    if where == "value":
        return lambda output: _text(output.value)
    if where == "key":
        return lambda output: _text(output.key)
    raise ValueError(f"{where!r} names no place of an id; use header:NAME, json:FIELD, value or key")


def judge(
    servers: str,
    published: Iterable[Published],
    topics: list[str],
    identify: Identify,
    open_seconds: float = OPEN_SECONDS,
) -> Verdict:
    """Read the topics, count, print, and return the counts."""
    sent = list(published)
    place = {each.id: number for number, each in enumerate(sent)}
    if len(place) != len(sent):
        raise ValueError(f"{len(sent) - len(place)} ids were published twice; an id must name one event")
    key_of = {each.id: each.key for each in sent}
    hidden = wait_for_open_transactions(servers, topics, open_seconds)
    seen: Counter[str] = Counter()
    latest: dict[tuple[str, int, str], int] = {}
    outputs = foreign = unreadable = order_violations = 0
    for output in read_committed(servers, topics):
        outputs += 1
        id_ = identify(output)
        if id_ is None:
            unreadable += 1
        elif id_ not in place:
            foreign += 1
        else:
            seen[id_] += 1
            row = (output.topic, output.partition, key_of[id_])
            order_violations += place[id_] < latest.get(row, -1)
            latest[row] = max(place[id_], latest.get(row, -1))
    duplicated = seen.total() - len(seen)
    lost = len(place) - len(seen)
    verdict = Verdict(len(sent), outputs, lost, duplicated, foreign, unreadable, order_violations, hidden)
    sys.stdout.write(f"{verdict}\n")
    return verdict


def read_committed(servers: str, topics: list[str]) -> Iterator[Output]:
    """Every committed record up to the end of each partition, in the order of its offsets."""
    consumer = _consumer(servers, "read_committed")
    try:
        unfinished = {(each.topic, each.partition) for each in _partitions(consumer, topics)}
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in unfinished])
        heard = time.monotonic()
        while unfinished:
            batch = consumer.consume(1000, 0.1)  # returns when it is full or the time is over
            if batch:
                heard = time.monotonic()
            elif time.monotonic() > heard + SILENT_SECONDS:
                raise Silent(f"nothing came from {sorted(unfinished)} within {SILENT_SECONDS} s")
            for message in batch:
                if message.error() is None:
                    yield _output(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:  # so it is called
                    unfinished.discard((message.topic(), message.partition()))
                elif not message.error().retriable():
                    raise KafkaException(message.error())
    finally:
        consumer.close()


def _output(message: Message) -> Output:
    headers = dict(message.headers() or [])
    return Output(message.topic(), message.partition(), message.offset(), message.key(), message.value(), headers)


def wait_for_open_transactions(servers: str, topics: list[str], seconds: float) -> int:
    """Wait until readers of committed records may read to the end; how many partitions still do not let them."""
    committed, everything = _consumer(servers, "read_committed"), _consumer(servers, "read_uncommitted")
    try:
        open_ = _partitions(everything, topics)
        end = time.monotonic() + seconds
        while open_ and time.monotonic() < end:
            open_ = [each for each in open_ if _end(committed, each) < _end(everything, each)]
            time.sleep(0.2 if open_ else 0)
        return len(open_)
    finally:
        committed.close()
        everything.close()


def _consumer(servers: str, isolation: str) -> Consumer:
    """It joins no group and commits nothing."""
    return Consumer({
        "bootstrap.servers": servers,
        "group.id": "judge",
        "isolation.level": isolation,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    })  # fmt: skip


def _partitions(consumer: Consumer, topics: list[str]) -> list[TopicPartition]:
    found = []
    for topic in topics:
        about = consumer.list_topics(topic, timeout=SILENT_SECONDS).topics[topic]
        if about.error:
            raise KafkaException(about.error)
        found += [TopicPartition(topic, partition) for partition in about.partitions]
    return found


def _end(consumer: Consumer, partition: TopicPartition) -> int:
    return int(consumer.get_watermark_offsets(partition, timeout=SILENT_SECONDS)[1])


def _text(found: bytes | None) -> str | None:
    return None if found is None else found.decode(errors="replace")


def _field(value: bytes | None, name: str) -> str | None:
    try:
        body = json.loads(value or b"null")
    except ValueError:
        return None
    found = body.get(name) if isinstance(body, dict) else None
    return None if found is None else str(found)


def published_in(path: Path) -> list[Published]:
    """The publisher's list."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Published(str(row["id"]), str(row["key"])) for row in rows]


def main(words: list[str]) -> int:
    """Exit 0 if all is well, 1 if not."""
    parser = argparse.ArgumentParser(description="counts what came out of what was published")
    parser.add_argument("servers")
    parser.add_argument("topics", nargs="+", metavar="OUTPUT")
    parser.add_argument("--published", type=Path, required=True, help='one {"id": …, "key": …} a line')
    parser.add_argument("--id", default="header:ce_swrun", help="header:NAME, json:FIELD, value or key")
    told = parser.parse_args(words)
    verdict = judge(told.servers, published_in(told.published), told.topics, identify_by(told.id))
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

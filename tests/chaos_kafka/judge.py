"""The verdict on Kafka. It imports nothing of Stepwire: librdkafka reads what is committed, as anybody else would.

In: servers, a prefix, the list of what was published (a line `number customer` each). Out: a line of counts:

- lost: an output that must be there is not, and nothing is left that could still bring it; dead letters count too;
- duplicated: an output more often than once, by what makes an event unique (source and id) or by its content;
- hung: an output is missing, but something of its run is still stored or unfinished;
- order_violations: of a customer's bookings one lies behind a later one;
- state_errors: what a result says does not follow from what was published, or state is left when nothing is open.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

RESULTS = ("shipped", "quoted", "assembled", "polished", "settled")  #: of number % 5
READS = {
    "placed": ("book", "route"), "light": ("weigh",), "weighed": ("ship",), "paired": ("price", "check"),
    "priced": ("quote",), "checked": ("quote",), "wide": ("widen",), "piece": ("cut",), "cut": ("assemble",),
    "rough": ("polish",), "asked": ("remember", "answer"), "question": ("settle",), "answer": ("settle",),
}  # fmt: skip
APP = "chaos"
COUNTS = ("lost", "duplicated", "hung", "order_violations", "state_errors")
NUMBER = re.compile(rb'"n": ?(\d+)')
GLANCE = 1.0  #: seconds; longer than a broker keeps a reader waiting that has read everything
SILENCE = 30.0  #: seconds without a word from the brokers after which reading fails
MOVING = 60.0  #: seconds that a group may take to get another coordinator
MOVED = (
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._WAIT_COORD,
)  # fmt: skip


class Reading:
    """All records of some topics, each handed out once; `catch_up` again to get what came meanwhile."""

    def __init__(self, servers: str, topics: list[str], take: Callable[[Message], None]) -> None:
        self._take = take
        self._consumer = Consumer({
            "bootstrap.servers": servers, "group.id": "judge", "isolation.level": "read_committed", "log_level": 2,
            "enable.partition.eof": True, "enable.auto.commit": False, "auto.offset.reset": "earliest",
        })  # fmt: skip
        known = self._consumer.list_topics(timeout=SILENCE).topics
        self._places = {(topic, number) for topic in topics for number in known[topic].partitions}
        self._ended: set[tuple[str | None, int | None]] = set()
        self._consumer.assign([TopicPartition(*place, 0) for place in sorted(self._places)])

    def catch_up(self) -> None:
        """Read on until the end of every partition. Raises TimeoutError if the brokers fall silent."""
        heard = time.monotonic()
        while True:
            if self.read_on():
                heard = time.monotonic()
            elif self._ended == self._places:
                return
            elif time.monotonic() - heard > SILENCE:
                left = sorted(self._places - self._ended)[:3]
                raise TimeoutError(f"nothing comes from {left}, nor its end; are the brokers up?")

    def read_on(self) -> int:
        """Take what is there, or comes in a moment; how much it was."""
        messages = self._consumer.consume(2_000, GLANCE)
        for message in messages:
            self._look_at(message)
        return len(messages)

    def _look_at(self, message: Message) -> None:
        place, error = (message.topic(), message.partition()), message.error()
        if error is None:
            self._ended.discard(place)  # its end is told once more after this record
            self._take(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(place)
        elif error.fatal():
            raise KafkaException(error)

    def close(self) -> None:
        """Give the connections back."""
        self._consumer.close()


class Facts:
    """What lies on the topics."""

    def __init__(self, servers: str, prefix: str) -> None:
        self._servers, self._prefix = servers, prefix
        self.ids: Counter[tuple[str, str, str]] = Counter()
        self.outputs: dict[tuple[str, int], list[Any]] = {}
        self.booked: dict[str, list[int]] = {}
        self.dead: list[tuple[str, int]] = []
        self._stored: dict[tuple[str, int, bytes], int] = {}  #: keys of state that were not removed -> number
        self._log: dict[tuple[str, int], list[tuple[int, int]]] = {}  #: (offset, number) of each partition
        names = sorted(
            name
            for name in AdminClient({"bootstrap.servers": servers}).list_topics(timeout=SILENCE).topics
            if name.startswith(prefix) and not name.endswith((".wiring", ".runs"))
        )
        self._reading = Reading(servers, names, self._take)
        self._topics = [name.removeprefix(prefix) for name in names]

    def catch_up(self) -> None:
        """Read what came since the last time."""
        self._reading.catch_up()

    def close(self) -> None:
        """Give the connections back."""
        self._reading.close()

    def _take(self, message: Message) -> None:
        topic = str(message.topic()).removeprefix(self._prefix)
        value, place = message.value(), (topic, message.partition())
        found = NUMBER.findall(value or b"")
        number = int(found[-1]) if found else -1  # an entry has its own facts first, then what it keeps
        if topic.endswith(".state"):
            key = (*place, message.key())
            if value is None:
                self._stored.pop(key, None)
            else:
                self._stored[key] = number
            return
        self._log.setdefault(place, []).append((message.offset(), number))
        if topic.endswith(".dlt"):
            self.dead.append((topic, number))
        elif not topic.endswith(".control"):
            headers = dict(message.headers() or ())
            self.ids[topic, headers["ce_source"].decode(), headers["ce_id"].decode()] += 1
            if topic == "booked" or topic in RESULTS:
                self._output(topic, number, json.loads(value))

    def _output(self, topic: str, number: int, body: dict[str, Any]) -> None:
        self.outputs.setdefault((topic, number), []).append(body)
        if topic == "booked":
            self.booked.setdefault(body["customer"], []).append(number)

    # -- what is not finished

    def unfinished(self) -> set[int]:
        """Numbers of which something is stored, or lies behind where its reader is."""
        open_ = set(self._stored.values())
        for group, topics in self._groups().items():
            for (topic, number), watermark in self._watermarks(group, topics).items():
                open_ |= {n for offset, n in self._log.get((topic, number), ()) if offset >= watermark}
        return open_

    def stored(self) -> int:
        """How many entries of state are left."""
        return len(self._stored)

    def _groups(self) -> Mapping[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for topic, handlers in READS.items():
            for name in handlers:
                groups.setdefault(f"{APP}.{name}", [f"{APP}.{name}.control"]).append(topic)
        return groups

    def _watermarks(self, group: str, topics: list[str]) -> dict[tuple[str, int], int]:
        consumer = Consumer({
            "bootstrap.servers": self._servers, "group.id": self._prefix + group, "log_level": 2,
            "isolation.level": "read_uncommitted",
        })  # fmt: skip
        places = [TopicPartition(self._prefix + topic, n) for topic, n in self._log if topic in topics]
        try:
            rows = _answered(lambda: consumer.committed(places, timeout=SILENCE)) if places else []
        finally:
            consumer.close()
        return {(row.topic.removeprefix(self._prefix), row.partition): row.offset for row in rows}


def _answered(ask: Callable[[], list[TopicPartition]]) -> list[TopicPartition]:
    """The answer to a question that a broker may have to pass on first: groups move when brokers come and go."""
    until = time.monotonic() + MOVING
    while True:
        try:
            return ask()
        except KafkaException as error:
            if time.monotonic() > until or error.args[0].code() not in MOVED:
                raise
            time.sleep(0.5)


def expected(number: int) -> Mapping[str, Any]:
    """What a result must say; None where it may be a number or missing."""
    return (
        {"n": number, "weight": number * 3},
        {"n": number, "price": number * 2, "check": number * 7},
        {"n": number, "parts": list(range(2 + number % 4))},
        {"n": number, "attempt": 2},
        {"n": number, "question": None, "answer": None},
    )[number % 5]


def is_right(number: int, body: Mapping[str, Any]) -> bool:
    """Does a result follow from what was published?"""
    if number % 5 == 4:  # either half may have been too late, not both
        halves = {body["question"], body["answer"]} - {None}
        return body["n"] == number and halves == {number}
    return dict(body) == expected(number)


def judge(facts: Facts, published: Mapping[int, str]) -> dict[str, int]:
    """The counts."""
    wanted = {(topic, n) for n in published for topic in ("booked", RESULTS[n % 5])}
    missing = [n for topic, n in wanted - facts.outputs.keys()]
    unfinished = facts.unfinished()
    results = [(n, body) for (topic, n), bodies in facts.outputs.items() if topic != "booked" for body in bodies]
    again = {(topic, n): len(bodies) - 1 for (topic, n), bodies in facts.outputs.items()}
    by_id = sum(count - 1 for count in facts.ids.values())
    return {
        "published": len(published),
        "outputs": sum(len(bodies) for bodies in facts.outputs.values()),
        "dead_letters": len(facts.dead),
        "stored": facts.stored(),
        "lost": sum(n not in unfinished for n in missing) + len(facts.dead),
        "duplicated": max(by_id, sum(again.values())),
        "hung": sum(n in unfinished for n in missing),
        "order_violations": sum(_backward(numbers) for numbers in facts.booked.values()),
        "state_errors": sum(not is_right(n, body) for n, body in results)
        + sum(body["customer"] != published.get(n) for (topic, n), bodies in facts.outputs.items() if topic == "booked"
              for body in bodies)
        + len(facts.outputs.keys() - wanted) + (0 if missing else facts.stored()),
    }  # fmt: skip


def _backward(numbers: list[int]) -> int:
    return sum(later < earlier for earlier, later in pairwise(numbers))


def published_in(file: Path) -> dict[int, str]:
    """Number -> customer."""
    rows = (line.split() for line in file.read_text().splitlines())
    return {int(number): customer for number, customer in rows}


def main() -> int:
    """The command: servers, prefix, file."""
    facts = Facts(sys.argv[1], sys.argv[2])
    facts.catch_up()
    counts = judge(facts, published_in(Path(sys.argv[3])))
    sys.stdout.write(" ".join(f"{name}={count}" for name, count in counts.items()) + "\n")
    if counts["lost"] + counts["hung"]:
        unfinished = sorted(facts.unfinished())
        sys.stderr.write(f"dead {facts.dead[:5]} unfinished {unfinished[:20]}\n")
    return 1 if any(counts[name] for name in COUNTS) else 0


if __name__ == "__main__":
    sys.exit(main())

"""The Kafka table of `make bench`: our worker beside the bare client and peers on one real broker, in turns.

    python -m bench.kafka [--rounds 3] [--only hop ...]

In: nothing; a broker is started for it (Java needed). Out: a line for each question with pass or fail. Each figure
comes from a fresh process; where records are counted, librdkafka does it: one output too many or too few makes it void.
Ours and the bare client write exactly once; what a peer promises says its script.
Exit code 0: every bar cleared; 1: one failed; 2: no figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from tests.brokers.client import create
from tests.brokers.cluster import start_cluster
from tests.brokers.jars import VERSION, NotHere

from bench import process
from bench.machine import description

PARTITIONS, TEXT = 4, "x" * 200
PEERS = ("faststream-hop", "quix-hop")  #: they print no figure: they are timed by what they append
HOPS = ("hop", "wait", "bare-hop", "behind", *PEERS)  #: they turn `came` into `went`
STAMPED = {"message.timestamp.type": "LogAppendTime"}  #: by the broker: the one clock that all clients share
QUIX = "bench/peer_quix.py"
Figures = Mapping[str, float]


class Void(Exception):
    """A load that did not do its work: nothing can be said."""


class Bar(NamedTuple):
    """What one figure must come to; with neither bound it is only shown."""

    title: str
    figure: str  #: load.field, or load.field/load.field
    least: float | None = None
    most: float | None = None

    def value(self, found: Mapping[str, Figures]) -> float:
        """This round's figure."""
        above, _, below = self.figure.partition("/")
        return _field(found, above) / (_field(found, below) if below else 1.0)

    def verdict(self, values: Sequence[float]) -> tuple[bool, str]:
        """Is it cleared by the median of the rounds? And the line that says so."""
        median = statistics.median(values)
        passed = (self.least is None or median >= self.least) and (self.most is None or median <= self.most)
        word, bar = "pass" if passed else "FAIL", "none"
        if self.least is not None:
            bar = f"at least {self.least:g}"
        elif self.most is not None:
            bar = f"at most {self.most:g}"
        else:
            word = "seen"
        spread = f"({min(values):.3g} to {max(values):.3g})"
        return passed, f"{word}  {self.title}: {median:.3g} {spread}, bar: {bar}"


class Question(NamedTuple):
    """Loads with how many, what their figures must come to, and the most rounds that it is worth."""

    loads: Mapping[str, int]
    partitions: int
    bars: Sequence[Bar]
    rounds: int = 100


QUESTIONS = {
    "hop": Question({"bare-hop": 30_000, "hop": 30_000}, PARTITIONS, [
        Bar("one hop, of the bare loop's rate", "hop.per_s/bare-hop.per_s", least=1.0)]),
    "faststream": Question({"faststream-hop": 10_000, "hop": 30_000}, PARTITIONS, [
        Bar("one hop exactly once, of FastStream's rate at most once",
            "hop.appended_per_s/faststream-hop.appended_per_s", least=10.0)]),
    "quix": Question({"quix-hop": 30_000, "hop": 30_000}, PARTITIONS, [
        Bar("one hop exactly once, of Quix Streams' rate exactly once", "hop.appended_per_s/quix-hop.appended_per_s")]),
    "wait": Question({"wait": 10_000}, 1, [
        Bar("handlers that wait 1 s, 1,000 at once on one partition, of the ideal", "wait.of_ideal", least=0.95)]),
    "chain": Question({"bare-transaction": 100, "chain-1": 100}, 1, [
        Bar("five steps one run at a time, of a bare transaction's time (8 a step)",
            "chain-1.median_ms/bare-transaction.median_ms", most=40.0)]),
    "chain-200": Question({"chain-200": 3_000}, 1, [
        Bar("five steps, 200 runs at once, runs a second", "chain-200.per_s", least=300.0)]),
    "idle": Question({"idle-20": 0}, 1, [
        Bar("20 handlers idle, part of a core", "idle-20.of_a_core", most=0.05),
        Bar("20 handlers idle, MB", "idle-20.peak_mb", most=250.0)]),
    "partitions": Question({"idle-100": 0}, 100, [
        Bar("100 partitions, MB", "idle-100.peak_mb", most=300.0)]),
    "restore": Question({"restore": 100_000}, 1, [
        Bar("a worker starts with 100,000 open keys, seconds", "restore.seconds", most=5.0)]),
    "behind": Question({"hop": 200_000, "behind": 1_000_000}, PARTITIONS, [
        Bar("1,000,000 records behind, of the rate at 200,000", "behind.per_s/hop.per_s", least=0.9),
        Bar("1,000,000 records behind, of the memory at 200,000", "behind.peak_mb/hop.peak_mb", most=1.1)], rounds=1),
}  # fmt: skip


def _field(found: Mapping[str, Figures], name: str) -> float:
    load, _, field = name.partition(".")
    return found[load][field]


def fill(servers: str, topic: str, records: int) -> None:
    """Published by somebody else's client, with the six headers of CloudEvents."""
    producer = Producer({"bootstrap.servers": servers, "queue.buffering.max.messages": 2_000_000, "linger.ms": 5})
    for n in range(records):
        headers = {"ce_specversion": "1.0", "ce_id": str(n), "ce_source": "bench", "ce_type": "came.Came.v1",
                   "ce_time": "2026-01-01T00:00:00Z", "content-type": "application/json"}  # fmt: skip
        producer.produce(topic, json.dumps({"n": n, "text": TEXT}).encode(), key=b"k%d" % (n % 997), headers=headers)
        if n % 100_000 == 0:
            producer.flush(60)
    assert producer.flush(60) == 0


def stamps(servers: str, topic: str, partitions: int) -> list[int]:
    """When each record of a topic that is committed was stamped, in milliseconds."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "count", "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[int] = []
    while messages := consumer.consume(10_000, 2.0):
        found += [message.timestamp()[1] for message in messages if message.error() is None]
    consumer.close()
    return found


def rate(appended: Sequence[int]) -> float:
    """Records a second between the appends of the tenth and the ninetieth percent of the outputs.

    So neither who starts slowly nor who has much under way at the start and nothing at the end is judged by that.
    Raises Void when they came at once.
    """
    ordered = sorted(appended)
    first, last = ordered[len(ordered) // 10], ordered[len(ordered) * 9 // 10]
    if first == last:
        raise Void(f"{len(ordered)} outputs were appended within a millisecond: too few for a rate")
    return sum(first < stamp <= last for stamp in ordered) / (last - first) * 1_000


def command(load: str) -> list[str]:
    """The process of a load, but for broker, prefix and count. Raises MeasureFailed if a peer's is not installed."""
    if load == "faststream-hop":
        return [process.python("peers"), "-m", "bench.peer_faststream"]
    if load == "quix-hop":
        return [str(Path(sys.executable).with_name("uv")), "run", "--quiet", "--frozen", "--script", QUIX]
    return [sys.executable, "-m", "bench.kafka_loads", load]


def measured(load: str, servers: str, prefix: str, count: int, partitions: int) -> Figures:
    """The figures of one load, in a fresh process. Raises Void, or MeasureFailed when it does not end."""
    if not load.startswith(("chain", "restore")):
        create(servers, prefix + "came", partitions)
        create(servers, prefix + "went", partitions, STAMPED)
    if load in HOPS:
        fill(servers, prefix + "came", count)
    with tempfile.TemporaryFile("w+") as log:
        output, code = process.run([*command(load), servers, prefix, str(count)], log.fileno())
        log.seek(0)
        if code:
            raise Void(f"{load} ended with {code}: {log.read()[-2000:]}")
    found: dict[str, float] = {} if load in PEERS else json.loads(output)
    if load in HOPS:
        appended = stamps(servers, prefix + "went", partitions)
        if len(appended) != count:
            raise Void(f"{load} made {len(appended)} outputs of {count}")
        found["appended_per_s"] = rate(appended)
    return found


def rounds(question: Question, name: str, servers: str, times: int) -> list[Mapping[str, Figures]]:
    """The figures of each round."""
    found = []
    for number in range(min(times, question.rounds)):
        found.append({
            load: measured(load, servers, f"{name}-{load}-{number}.", count, question.partitions)
            for load, count in question.loads.items()
        })  # fmt: skip
        print(f"  {name}: {json.dumps(found[-1])}", file=sys.stderr)
    return found


def main(arguments: Sequence[str]) -> int:
    """The table, and its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(QUESTIONS), default=list(QUESTIONS))
    told = parser.parse_args(arguments)
    failed = False
    with tempfile.TemporaryDirectory() as home:
        try:
            for name in told.only:
                for load in QUESTIONS[name].loads:
                    command(load)  # whoever is missing is noticed now, not after minutes
            with start_cluster(Path(home), 1) as cluster:
                print(f"Kafka {VERSION}, one broker; {description(Path(home))}")
                for name in told.only:
                    found = rounds(QUESTIONS[name], name, cluster.bootstrap, told.rounds)
                    for bar in QUESTIONS[name].bars:
                        passed, line = bar.verdict([bar.value(each) for each in found])
                        failed |= not passed
                        print(line)
        except (NotHere, Void, process.MeasureFailed) as wrong:
            print(f"no figure: {wrong}", file=sys.stderr)
            return 2
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

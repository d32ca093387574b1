"""The Kafka table of `make bench`: our worker beside the bare client on one real broker, in turns, exactly once.

    python -m bench.kafka [--rounds 3] [--only hop ...]

In: nothing; a broker is started for it (Java needed). Out: a line for each question with pass or fail. Each figure
comes from a fresh process; where records are counted, librdkafka does it: one output too many or too few makes it void.
Exit code 0: every bar cleared; 1: one failed; 2: no figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from tests.brokers.client import create
from tests.brokers.cluster import start_cluster
from tests.brokers.jars import VERSION, NotHere

from bench.machine import description

PARTITIONS, TEXT = 4, "x" * 200
Figures = Mapping[str, float]


class Void(Exception):
    """A load that did not do its work: nothing can be said."""


class Line(NamedTuple):
    """One question: loads with how many, the figure, and its bar."""

    title: str
    loads: Mapping[str, int]
    partitions: int
    figure: str  #: load.field, or load.field/load.field
    least: float | None = None
    most: float | None = None

    def value(self, found: Mapping[str, Figures]) -> float:
        """This round's figure."""
        above, _, below = self.figure.partition("/")
        return _field(found, above) / (_field(found, below) if below else 1.0)

    def passed(self, value: float) -> bool:
        """Does it clear its bar?"""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


LINES = {
    "hop": Line("one hop, of the bare loop's rate", {"bare-hop": 30_000, "hop": 30_000}, PARTITIONS,
                "hop.per_s/bare-hop.per_s", least=1.0),
    "wait": Line("handlers that wait 1 s, 1,000 at once on one partition, of the ideal", {"wait": 10_000}, 1,
                 "wait.of_ideal", least=0.95),
    "chain": Line("five steps one run at a time, of a bare transaction's time (8 a step)",
                  {"bare-transaction": 100, "chain-1": 100}, 1,
                  "chain-1.median_ms/bare-transaction.median_ms", most=40.0),
    "chain-200": Line("five steps, 200 runs at once, runs a second", {"chain-200": 3_000}, 1,
                      "chain-200.per_s", least=300.0),
    "idle": Line("20 handlers idle, part of a core", {"idle-20": 0}, 1, "idle-20.of_a_core", most=0.05),
    "idle-memory": Line("20 handlers idle, MB", {"idle-20": 0}, 1, "idle-20.peak_mb", most=250.0),
    "partitions": Line("100 partitions, MB", {"idle-100": 0}, 100, "idle-100.peak_mb", most=300.0),
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
    assert producer.flush(60) == 0


def counted(servers: str, topic: str, partitions: int) -> int:
    """How many records of a topic are committed."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "count", "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    count = 0
    while found := consumer.consume(10_000, 2.0):
        count += sum(message.error() is None for message in found)
    consumer.close()
    return count


def measured(load: str, servers: str, prefix: str, count: int, partitions: int) -> Figures:
    """The figures of one load, in a fresh process. Raises Void."""
    topics = ("came", "went") if not load.startswith("chain") else ()
    for topic in topics:
        create(servers, prefix + topic, partitions)
    hops = load in ("hop", "wait", "bare-hop")
    if hops:
        fill(servers, prefix + "came", count)
    command = [sys.executable, "-m", "bench.kafka_loads", load, servers, prefix, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Void(f"{load} ended with {done.returncode}: {done.stderr[-2000:]}")
    if hops and (outputs := counted(servers, prefix + "went", partitions)) != count:
        raise Void(f"{load} made {outputs} outputs of {count}")
    found: Figures = json.loads(done.stdout)
    return found


def rounds(line: Line, name: str, servers: str, times: int) -> list[float]:
    """The figure of each round."""
    values = []
    for number in range(times):
        found = {
            load: measured(load, servers, f"{name}-{load}-{number}.", count, line.partitions)
            for load, count in line.loads.items()
        }
        values.append(line.value(found))
        print(f"  {name}: {json.dumps(found)}", file=sys.stderr)
    return values


def main(arguments: Sequence[str]) -> int:
    """The table, and its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(LINES), default=list(LINES))
    told = parser.parse_args(arguments)
    failed = False
    with tempfile.TemporaryDirectory() as home:
        try:
            with start_cluster(Path(home), 1) as cluster:
                print(f"Kafka {VERSION}, one broker; {description(Path(home))}")
                for name in told.only:
                    line = LINES[name]
                    values = rounds(line, name, cluster.bootstrap, told.rounds)
                    median = statistics.median(values)
                    failed |= not line.passed(median)
                    bar = f"at least {line.least:g}" if line.least is not None else f"at most {line.most:g}"
                    print(f"{'pass' if line.passed(median) else 'FAIL'}  {line.title}: {median:.3g} "
                          f"({min(values):.3g} to {max(values):.3g}), bar: {bar}")  # fmt: skip
        except (NotHere, Void) as wrong:
            print(f"no figure: {wrong}", file=sys.stderr)
            return 2
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""One hop on a real Kafka broker, exactly once: our worker beside the bare loop of the same client, in turns.

    python -m bench.kafka_hop [--records 30000] [--rounds 3]

In: nothing; a broker is started for it (Java needed). Out: a line for each round and the median ratio. Each figure
comes from a fresh process; the outputs are counted afterwards by librdkafka, and one too many or too few makes it void.
`bare` is what a person writes with aiokafka: fetch 500, parse, send, offsets into the transaction, commit; one record
at a time, in order, no fencing across rebalances. `ours` is a worker as `stepwire run` starts it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from tests.brokers.client import create
from tests.brokers.cluster import start_cluster

from stepwire import App, Event, handler

PARTITIONS, GROUP = 4, 500
TEXT = "x" * 200


class Came(Event, topic="came", entry=True):
    n: int
    text: str


class Went(Event, topic="went", terminal=True):
    n: int
    text: str


@handler(concurrency=2_000)
async def hop(came: Came) -> Went:
    return Went(n=came.n, text=came.text)


APP = App("hop", handlers=[hop])


def fill(servers: str, topic: str, records: int) -> None:
    """Published by somebody else's client, with the six headers of CloudEvents."""
    producer = Producer({"bootstrap.servers": servers, "queue.buffering.max.messages": 1_000_000, "linger.ms": 5})
    for n in range(records):
        headers = {"ce_specversion": "1.0", "ce_id": str(n), "ce_source": "bench", "ce_type": "came.Came.v1",
                   "ce_time": "2026-01-01T00:00:00Z", "content-type": "application/json"}  # fmt: skip
        producer.produce(topic, json.dumps({"n": n, "text": TEXT}).encode(), key=b"k%d" % (n % 997), headers=headers)
    assert producer.flush(60) == 0


def counted(servers: str, topic: str) -> int:
    """How many records of a topic are committed."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "count", "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    count = 0
    while found := consumer.consume(10_000, 2.0):
        count += sum(message.error() is None for message in found)
    consumer.close()
    return count


async def ours(servers: str, prefix: str, records: int) -> float:
    """Seconds from the first fetch to the last commit."""
    from bench.ours_worker import telemetry
    from stepwire import Settings
    from stepwire.bus.kafka.bus import KafkaBus
    from stepwire.bus.protocol import Partition, Progress, Transaction
    from stepwire.telemetry import Committed, Fact
    from stepwire.worker import Worker, prepare

    bus = KafkaBus(servers, prefix=prefix, session=10.0, create_topics=True)
    await bus.open()
    settings = Settings(partitions=PARTITIONS, prefetch=2_000)
    await prepare(APP, bus, settings)
    member = await bus.join("hop.hop", ["came"], "hop.hop.control")  # the group starts where the records begin
    while not member.assignment.partitions:
        await asyncio.sleep(0.01)
    begin = {Partition("came", number): Progress(0) for number in range(PARTITIONS)}
    await member.commit(Transaction(progress=begin), member.assignment.generation)
    await member.leave()
    done, told = asyncio.Event(), telemetry(APP, Path(tempfile.mkdtemp()) / "hop")
    left = [records]

    def count(fact: Fact) -> None:
        told(fact)
        if isinstance(fact, Committed):
            left[0] -= sum(fact.outputs.values())
            if left[0] <= 0:
                done.set()

    worker = Worker(APP, bus, settings=settings, telemetry=count)
    begun = time.perf_counter()
    await worker.start()
    await done.wait()
    seconds = time.perf_counter() - begun
    await worker.stop()
    await bus.close()
    return seconds


async def bare(servers: str, prefix: str, records: int) -> float:
    """The same work with aiokafka alone."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    consumer = AIOKafkaConsumer(
        prefix + "came", bootstrap_servers=servers, group_id=prefix + "bare", auto_offset_reset="earliest",
        enable_auto_commit=False, isolation_level="read_committed",
    )  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=prefix + "bare", max_batch_size=131_072)
    begun = time.perf_counter()
    await producer.start()
    await consumer.start()
    left = records
    while left:
        got = await consumer.getmany(timeout_ms=500, max_records=GROUP)
        if not got:
            continue
        async with producer.transaction():
            for some in got.values():
                for one in some:
                    value = Went.model_validate_json(one.value).model_dump_json().encode()
                    await producer.send(prefix + "went", value, key=one.key, headers=list(one.headers))
                    left -= 1
            offsets = {place: some[-1].offset + 1 for place, some in got.items()}
            await producer.send_offsets_to_transaction(offsets, prefix + "bare")
    seconds = time.perf_counter() - begun
    await consumer.stop()
    await producer.stop()
    return seconds


def measured(mode: str, servers: str, prefix: str, records: int) -> float:
    """Records a second, in a fresh process."""
    for topic in ("came", "went"):
        create(servers, prefix + topic, PARTITIONS)
    fill(servers, prefix + "came", records)
    command = [sys.executable, "-m", "bench.kafka_hop", "--mode", mode, "--servers", servers, "--prefix", prefix]
    done = subprocess.run([*command, "--records", str(records)], capture_output=True, text=True, check=True)
    if (count := counted(servers, prefix + "went")) != records:
        raise SystemExit(f"void: {mode} made {count} outputs of {records}")
    return records / float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mode", choices=["ours", "bare"])
    parser.add_argument("--servers", default="")
    parser.add_argument("--prefix", default="")
    told = parser.parse_args()
    if told.mode:
        print(asyncio.run((ours if told.mode == "ours" else bare)(told.servers, told.prefix, told.records)))
        return
    ratios = []
    with tempfile.TemporaryDirectory() as home, start_cluster(Path(home), 1) as cluster:
        for number in range(told.rounds):
            rates = {m: measured(m, cluster.bootstrap, f"{m}{number}.", told.records) for m in ("bare", "ours")}
            ratios.append(rates["ours"] / rates["bare"])
            print(" ".join(f"{mode} {rate:,.0f}/s" for mode, rate in rates.items()), f"ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), bar: at least 1")


if __name__ == "__main__":
    main()

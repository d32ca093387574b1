"""The loads of the Kafka benchmark; each runs in a fresh process of its own and prints one number or more as JSON.

In: a load's name, a broker, a prefix, how many. Out: a line of JSON. `bare` loads are what a person writes with
aiokafka: fetch, parse, send, offsets into the transaction, commit; one record at a time, no fencing across rebalances.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.ours_worker import telemetry  # sets the process up as `stepwire run` does
from stepwire import App, Event, Join, Settings, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.protocol import Partition, Progress, Transaction
from stepwire.handler import Handler
from stepwire.telemetry import Assigned, Committed, Fact
from stepwire.worker import Worker, prepare

PARTITIONS, GROUP = 4, 500


class Came(Event, topic="came", entry=True):
    n: int
    text: str


class Went(Event, topic="went", terminal=True):
    n: int
    text: str


@handler(concurrency=2_000)
async def hop(came: Came) -> Went:
    return Went(n=came.n, text=came.text)


@handler(name="hop", concurrency=1_000)
async def wait(came: Came) -> Went:
    await asyncio.sleep(1.0)
    return Went(n=came.n, text="")


@asynccontextmanager
async def worker(
    servers: str, prefix: str, app: App, settings: Settings, heard: Callable[[Fact], None]
) -> AsyncIterator[KafkaBus]:
    """As `stepwire run` starts one, with metrics and log; its groups start where the records begin."""
    bus = KafkaBus(servers, prefix=prefix, session=10.0, create_topics=True)
    await bus.open()
    await prepare(app, bus, settings)
    for each in app.runnable:
        await _from_the_beginning(bus, f"{app.name}.{each.name}", each, settings)
    told = telemetry(app, Path(tempfile.mkdtemp()) / "worker")

    def tell(fact: Fact) -> None:
        told(fact)
        heard(fact)

    running = Worker(app, bus, settings=settings, telemetry=tell)
    await running.start()
    yield bus
    await running.stop()
    await bus.close()


async def _from_the_beginning(bus: KafkaBus, group: str, each: Handler, settings: Settings) -> None:
    topics = sorted({event.spec.topic for event in each.signature.taken})
    member = await bus.join(group, topics, f"{group}.control")
    while not member.assignment.partitions:
        await asyncio.sleep(0.01)
    begin = {Partition(topic, number): Progress(0) for topic in topics for number in range(settings.partitions)}
    await member.commit(Transaction(progress=begin), member.assignment.generation)
    await member.leave()


async def _worked_off(servers: str, prefix: str, app: App, settings: Settings, records: int) -> tuple[float, float]:
    """Seconds to the last commit: from the start of the worker, and from when it had its partitions."""
    done, left, given = asyncio.Event(), [records], [0.0]

    def count(fact: Fact) -> None:
        if isinstance(fact, Assigned) and fact.partitions:
            given[0] = time.perf_counter()
        if isinstance(fact, Committed):
            left[0] -= sum(fact.outputs.values())
            if left[0] <= 0:
                done.set()

    async with worker(servers, prefix, app, settings, count):
        begun = time.perf_counter()
        await done.wait()
        end = time.perf_counter()
        return end - begun, end - given[0]


# -- ours


async def ours_hop(servers: str, prefix: str, records: int) -> dict[str, float]:
    """One trivial handler."""
    settings = Settings(partitions=PARTITIONS, prefetch=2_000)
    seconds, _ = await _worked_off(servers, prefix, App("hop", handlers=[hop]), settings, records)
    return {"per_s": records / seconds, "peak_mb": peak()}


async def ours_wait(servers: str, prefix: str, records: int) -> dict[str, float]:
    """A handler that waits a second, 1,000 at once, one partition: the part of the ideal, once it has begun."""
    settings = Settings(partitions=1, prefetch=2_000, span=10_000)
    _, seconds = await _worked_off(servers, prefix, App("hop", handlers=[wait]), settings, records)
    return {"of_ideal": records / 1_000 / seconds}


def chain() -> tuple[App, type[Event], type[Event]]:
    """Five trivial steps."""
    kinds = [type(f"Step{n}", (Event,), {"__annotations__": {"n": int}, "__module__": __name__}, topic=f"step{n}",
                  entry=n == 0, terminal=n == 5) for n in range(6)]  # fmt: skip

    def step(n: int) -> Handler:
        async def move(event):  # type: ignore[no-untyped-def]
            return kinds[n + 1](n=event.n)

        move.__annotations__ = {"event": kinds[n], "return": kinds[n + 1]}
        return handler(name=f"move{n}")(move)

    return App("chain", handlers=[step(n) for n in range(5)]), kinds[0], kinds[5]


async def ours_chain(servers: str, prefix: str, runs: int, at_once: int) -> dict[str, float]:
    """Runs of five steps: their median time, and how many a second."""
    app, first, last = chain()
    arrived: dict[int, asyncio.Event] = {}
    settings = Settings(partitions=1)
    times: list[float] = []
    gate = asyncio.Semaphore(at_once)
    ends = asyncio.Queue[int]()

    async with worker(servers, prefix, app, settings, lambda _: None) as bus:
        watching = asyncio.create_task(_watch(servers, prefix + last.spec.topic, ends))
        handing = asyncio.create_task(_hand_over(ends, arrived))

        async def one(n: int) -> None:
            async with gate:
                arrived[n] = asyncio.Event()
                begun = time.perf_counter()
                await bus.publish([app.record(first(n=n), now=time.time())[0]])
                await arrived[n].wait()
                times.append(time.perf_counter() - begun)

        await one(-1)  # connections are made
        times.clear()
        begun = time.perf_counter()
        await asyncio.gather(*(one(n) for n in range(runs)))
        seconds = time.perf_counter() - begun
        for task in (watching, handing):
            task.cancel()
    return {"per_s": runs / seconds, "median_ms": statistics.median(times) * 1000}


async def _watch(servers: str, topic: str, ends: asyncio.Queue[int]) -> None:
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers, group_id=None, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async for one in consumer:
            ends.put_nowait(json.loads(one.value)["n"])
    finally:
        await consumer.stop()


async def _hand_over(ends: asyncio.Queue[int], arrived: dict[int, asyncio.Event]) -> None:
    while True:
        arrived[await ends.get()].set()


async def ours_idle(servers: str, prefix: str, handlers: int, partitions: int) -> dict[str, float]:
    """So many handlers of so many partitions with nothing to do for 15 s: a core's part, and memory."""

    def nothing(n: int) -> Handler:
        async def look(came: Came) -> None:
            raise AssertionError(f"there is nothing to look at, not {came}")

        return handler(name=f"look{n}")(look)

    app = App("idle", handlers=[nothing(n) for n in range(handlers)])
    async with worker(servers, prefix, app, Settings(partitions=partitions), lambda _: None):
        await asyncio.sleep(5.0)
        before = time.process_time()
        await asyncio.sleep(15.0)
        return {"of_a_core": (time.process_time() - before) / 15.0, "peak_mb": peak()}


class Left(Event, topic="left", entry=True):
    n: int


class Right(Event, topic="right", entry=True):
    n: int


class Both(Event, topic="both", terminal=True):
    n: int


@handler(join=Join(timeout=86_400.0))
async def join(left: Left, right: Right) -> Both:
    return Both(n=left.n + right.n)


async def ours_restore(servers: str, prefix: str, keys: int) -> dict[str, float]:
    """So many merges are open and wait for their other half: seconds until a fresh worker has them and takes work."""
    app, settings = App("restore", handlers=[join]), Settings(partitions=PARTITIONS, prefetch=2_000)
    opened, left = asyncio.Event(), [2 * keys]  # each half is passed on to its partition of joins, and arrives there

    def count(fact: Fact) -> None:
        if isinstance(fact, Committed):
            left[0] -= fact.deliveries
            if left[0] <= 0:
                opened.set()

    async with worker(servers, prefix, app, settings, count) as bus:
        for first in range(0, keys, GROUP):
            await bus.publish([app.record(Left(n=n), now=time.time())[0] for n in range(first, first + GROUP)])
        await opened.wait()
    bus = KafkaBus(servers, prefix=prefix, session=10.0)
    await bus.open()
    restored = asyncio.Event()

    def look(fact: Fact) -> None:
        if isinstance(fact, Assigned) and fact.partitions.get(f"{fact.group}.control") == settings.control_partitions:
            restored.set()

    fresh = Worker(app, bus, settings=settings, telemetry=look)
    begun = time.perf_counter()
    await fresh.start()
    await restored.wait()
    seconds = time.perf_counter() - begun
    there = sum(len(box.joins) for each in fresh.dispatchers for box in each.committer.mailboxes.values())
    await fresh.stop()
    await bus.close()
    if there != keys:
        raise RuntimeError(f"{there} merges are open, not {keys}")
    return {"seconds": seconds, "peak_mb": peak()}


# -- bare


async def bare_hop(servers: str, prefix: str, records: int) -> dict[str, float]:
    """The same work with aiokafka alone, 500 records in a transaction."""
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
    return {"per_s": records / seconds}


async def bare_transaction(servers: str, prefix: str, count: int) -> dict[str, float]:
    """One record and a commit, so many times: the median time."""
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=prefix + "bare")
    await producer.start()
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        async with producer.transaction():
            await producer.send_and_wait(prefix + "went", b"{}")
        times.append(time.perf_counter() - begun)
    await producer.stop()
    return {"median_ms": statistics.median(times) * 1000}


def peak() -> float:
    """Megabytes that this process held at most; getrusage would also count what its parent held when it forked."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


LOADS: dict[str, Callable[[str, str, int], Awaitable[dict[str, float]]]] = {
    "hop": ours_hop,
    "behind": ours_hop,
    "restore": ours_restore,
    "wait": ours_wait,
    "chain-1": lambda servers, prefix, runs: ours_chain(servers, prefix, runs, 1),
    "chain-200": lambda servers, prefix, runs: ours_chain(servers, prefix, runs, 200),
    "idle-20": lambda servers, prefix, _: ours_idle(servers, prefix, 20, 1),
    "idle-100": lambda servers, prefix, _: ours_idle(servers, prefix, 1, 100),
    "bare-hop": bare_hop,
    "bare-transaction": bare_transaction,
}


def main(arguments: Sequence[str]) -> None:
    """One load; its figures as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("load", choices=list(LOADS))
    parser.add_argument("servers")
    parser.add_argument("prefix")
    parser.add_argument("count", type=int)
    told = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(LOADS[told.load](told.servers, told.prefix, told.count))))


if __name__ == "__main__":
    main(sys.argv[1:])

"""What a worker makes of answers that are errors, late or lost: it goes on by itself, and no output doubles."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.kafka.faulty import AFTER, CUT, INSTEAD, LATE, SILENT, Fault, Faulty
from tests.kafka.stage import SETTINGS, Stage, stage

from stepwire import App, Event, Join, handler
from stepwire.bus.protocol import Out, Partition
from stepwire.errors import BusUnavailable
from stepwire.worker import Worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CALM = replace(SETTINGS, partitions=2, control_partitions=2, session=30.0)
#: seconds; less than a session: whoever waits for one to end is too slow
SOON = 20.0


class Asked(Event, topic="asked", entry=True):
    n: int


class Left(Event, topic="left"):
    n: int


class Right(Event, topic="right"):
    n: int


class Half(Event, topic="half"):
    n: int


class Whole(Event, topic="whole", terminal=True):
    n: int


@handler()
async def split(asked: Asked) -> tuple[Left, Right]:
    return Left(n=asked.n), Right(n=asked.n)


@handler()
async def halve(left: Left) -> Half:
    return Half(n=left.n)


@handler(join=Join(timeout=600))
async def meet(half: Half, right: Right) -> Whole:
    return Whole(n=half.n if half.n == right.n else -1)


APP = App("a", handlers=[split, halve, meet])


class Office:
    """Publishes numbers, and counts which came out: by librdkafka, on the straight way to the broker."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self._topic, self.asked = prefix + "asked", 0
        self.found: Counter[int] = Counter()
        self._producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
        self._consumer = Consumer({
            "bootstrap.servers": kafka, "group.id": prefix + "judge", "isolation.level": "read_committed",
            "enable.auto.commit": False, "log_level": 0,
        })  # fmt: skip
        self._consumer.assign([TopicPartition(prefix + "whole", number, 0) for number in range(CALM.partitions)])

    def ask(self, count: int) -> None:
        """So many more."""
        for _ in range(count):
            self._producer.produce(self._topic, json.dumps({"n": self.asked}), key=str(self.asked))
            self.asked += 1
        assert self._producer.flush(20) == 0

    async def answered(self, seconds: float) -> bool:
        """Is each there, once and no other, within this time?"""
        until = time.monotonic() + seconds
        while len(self.found) < self.asked and time.monotonic() < until:
            for message in self._consumer.consume(1_000, 0.02):
                self.found[json.loads(message.value() or b"{}")["n"]] += message.error() is None
            await asyncio.sleep(0.05)
        return self.found == Counter(range(self.asked))

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


@pytest.fixture
async def proxy(kafka: str) -> AsyncIterator[Faulty]:
    """In front of the shared broker."""
    async with Faulty(kafka) as found:
        yield found


@pytest.fixture
async def here(kafka: str, topic_prefix: str, proxy: Faulty) -> AsyncIterator[Stage]:
    """The app behind the proxy."""
    async with stage(proxy.address, topic_prefix, APP, CALM) as found:
        yield found


@asynccontextmanager
async def office_of(kafka: str, prefix: str) -> AsyncIterator[Office]:
    """Open, and closed in the end."""
    opened = Office(kafka, prefix)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
async def office(kafka: str, here: Stage) -> AsyncIterator[Office]:
    """The app's publisher and judge."""
    async with office_of(kafka, here.prefix) as opened:
        yield opened


async def met(proxy: Faulty, api: str, count: int = 1) -> None:
    """So many requests were met by the fault."""
    async with asyncio.timeout(SOON):
        while proxy.met[api] < count:
            await asyncio.sleep(0.02)


def rejoin(worker: Worker) -> None:
    """As when a member comes or goes."""
    for dispatcher in worker.dispatchers:
        member: Any = dispatcher._member
        if member is not None and member._consumer is not None:
            member._consumer._coordinator.request_rejoin()


@pytest.mark.parametrize(
    ("api", "code"),
    [("Heartbeat", 30), ("Heartbeat", -1), ("JoinGroup", 30), ("JoinGroup", -1), ("SyncGroup", 7),
     ("TxnOffsetCommit", 22), ("TxnOffsetCommit", 25), ("TxnOffsetCommit", 27)],
)  # fmt: skip
async def test_a_seat_that_is_refused_once_is_taken_again(
    here: Stage, proxy: Faulty, office: Office, api: str, code: int
) -> None:
    """One error of the group's coordinator stops nothing: a right given back, a restart, a fence without rebalance."""
    worker = await here.worker()
    proxy.next(api, Fault(INSTEAD, code))
    if api in ("JoinGroup", "SyncGroup"):
        rejoin(worker)
    office.ask(10)
    await met(proxy, api)
    office.ask(10)
    assert await office.answered(SOON)
    assert worker.alive


async def test_a_seat_is_taken_again_while_a_commit_is_fenced(here: Stage, proxy: Faulty, office: Office) -> None:
    """A member that was fenced, and whose next JoinGroup is refused, does not wait for ever for an assignment."""
    worker = await here.worker()
    refused = Counter({"TxnOffsetCommit": 1, "JoinGroup": 3})

    def plan(api: str) -> Fault | None:
        refused[api] -= 1
        return Fault(INSTEAD, 25 if api == "TxnOffsetCommit" else 30) if refused[api] >= 0 else None

    proxy.plan = plan
    office.ask(10)
    await met(proxy, "JoinGroup", 3)
    assert await office.answered(SOON)
    assert worker.alive


async def test_a_fetch_that_is_cut_off_leaves_nothing_behind_that_an_error_is_put_into(
    here: Stage, proxy: Faulty
) -> None:
    """An error of the group that comes after it is no "exception was never retrieved" in the log."""
    reported = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    bus = here.new_bus()
    await bus.open()
    member: Any = await bus.join("a.halve", ["left"], "a.halve.control")

    async def fetch() -> None:
        while True:
            await member.fetch(dict.fromkeys(member.assignment.partitions, 0), 10)

    fetching = asyncio.create_task(fetch())
    async with asyncio.timeout(SOON):
        while not member._consumer._fetcher._fetch_waiters:
            await asyncio.sleep(0)
    fetching.cancel()
    await asyncio.wait([fetching])
    del fetching  # it holds what it waited for
    proxy.next("JoinGroup", Fault(INSTEAD, 27))
    coordinator = member._consumer._coordinator
    coordinator.request_rejoin()
    async with asyncio.timeout(SOON):
        while coordinator._pending_exception is None:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    gc.collect()
    await member.leave()
    await bus.close()
    assert reported == []


async def test_a_call_that_ends_while_its_seat_is_taken_again_is_committed_once(
    kafka: str, topic_prefix: str, proxy: Faulty
) -> None:
    """What is to be committed while the new seat is not there yet waits for it; brokers make that take a while."""
    gate, calls = asyncio.Event(), list[int]()

    @handler()
    async def slow(asked: Asked) -> Whole:
        calls.append(asked.n)
        await gate.wait()
        return Whole(n=asked.n)

    def plan(api: str) -> Fault | None:
        if api == "Heartbeat" and not proxy.met[api]:
            return Fault(INSTEAD, 30)
        return Fault(AFTER, 5) if api == "Metadata" and proxy.met["Heartbeat"] else None

    app = App("a", handlers=[slow])
    async with stage(proxy.address, topic_prefix, app, CALM) as here, office_of(kafka, topic_prefix) as office:
        worker = await here.worker()
        office.ask(10)
        async with asyncio.timeout(SOON):
            while len(calls) < 10:
                await asyncio.sleep(0.02)
        proxy.plan = plan
        await met(proxy, "Metadata", 3)
        gate.set()
        await met(proxy, "Metadata", proxy.met["Metadata"] + 3)
        proxy.heal()
        assert await office.answered(SOON)
        assert worker.alive


async def test_a_broker_that_lags_behind_ends_no_worker(here: Stage, proxy: Faulty, office: Office) -> None:
    """OFFSET_OUT_OF_RANGE for a record that is there is asked again; for one that is not, the worker ends."""
    worker = await here.worker()
    proxy.next("Fetch", Fault(INSTEAD, 1), 3)
    office.ask(10)
    await met(proxy, "Fetch", 3)
    assert await office.answered(SOON)
    assert worker.alive


@pytest.mark.parametrize(("api", "code"), [("CreateTopics", 7), ("CreateTopics", 41), ("CreateTopics", 89)])
async def test_topics_are_made_by_a_controller_that_is_busy(
    kafka: str, topic_prefix: str, proxy: Faulty, api: str, code: int
) -> None:
    """What passes by itself is no setting that is wrong: it is asked again."""
    proxy.next(api, Fault(INSTEAD, code), 2)
    async with stage(proxy.address, topic_prefix, APP, CALM) as made:
        assert len(await made.bus.describe(["asked", "whole"])) == 2
    assert proxy.met[api] == 2


async def test_a_leader_that_does_not_know_its_offsets_yet_is_waited_for(here: Stage, proxy: Faulty) -> None:
    """KIP-207: right after an election a leader says OFFSET_NOT_AVAILABLE."""
    proxy.next("ListOffsets", Fault(INSTEAD, 78), 3)
    assert (await here.bus.ends(["asked"]))[Partition("asked", 0)] == 0
    assert proxy.met["ListOffsets"] == 3


async def test_a_topic_of_which_nothing_is_said_is_not_taken_for_missing(here: Stage, proxy: Faulty) -> None:
    """A broker that has trouble with a topic does not make a record one that can never be written."""
    bus = here.new_bus()
    await bus.open()
    proxy.next("Metadata", Fault(AFTER, 5), 100)
    with pytest.raises(BusUnavailable):
        await bus.publish([Out("whole", None, {}, b"{}")])
    proxy.heal()
    assert len(await bus.publish([Out("whole", None, {}, b"{}")])) == 1
    await bus.close()


PASSES = {
    "Produce": (-1, 2, 3, 6, 7, 19, 20, 45, 47, 48, 56, 59, 90), "Fetch": (-1, 2, 3, 6, 29, 56, 74, 75, 78),
    "Metadata": (3, 5), "FindCoordinator": (-1, 14, 15, 30), "JoinGroup": (-1, 7, 14, 15, 16, 27, 30, 81),
    "SyncGroup": (-1, 14, 15, 16, 27, 30), "Heartbeat": (-1, 7, 14, 15, 16, 27, 30),
    "OffsetFetch": (-1, 14, 15, 16, 30, 88), "InitProducerId": (-1, 14, 15, 16, 47, 51, 53, 90),
    "AddPartitionsToTxn": (-1, 3, 14, 15, 16, 29, 47, 48, 49, 51, 53, 90),
    "AddOffsetsToTxn": (-1, 14, 15, 16, 30, 47, 48, 51, 53, 90),
    "TxnOffsetCommit": (-1, 3, 14, 15, 16, 22, 25, 27, 30, 47, 90), "EndTxn": (-1, 14, 15, 16, 47, 48, 51, 53, 90),
}  # fmt: skip


@pytest.mark.parametrize("seed", [1])
async def test_any_mix_of_bad_answers_loses_and_doubles_nothing(
    here: Stage, proxy: Faulty, office: Office, seed: int
) -> None:
    """One in twenty answers is an error, late, lost or its connection's last for a while; each output is there once."""
    dice = Random(seed)
    worker = await here.worker()

    def plan(api: str) -> Fault | None:
        if api not in PASSES or dice.random() > 0.05:
            return None
        how = dice.choice((INSTEAD, INSTEAD, AFTER, CUT, LATE, SILENT if dice.random() < 0.1 else CUT))
        return Fault(how, dice.choice(PASSES[api]), dice.uniform(0.0, 1.0))

    proxy.plan = plan
    for _ in range(60):
        office.ask(5)
        await asyncio.sleep(0.5)
    proxy.heal()
    assert await office.answered(2 * CALM.session + 30), f"seed {seed}: {office.found - Counter(range(office.asked))}"
    assert worker.alive

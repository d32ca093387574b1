"""What commands see of an app on Kafka: the same as on a file, from a copy that can be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from tests.kafka.stage import Stage, stage

from stepwire import App, Decision, Event, Reject, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.gates import Gates
from stepwire_handlers.services.known import Offer, Turns
from stepwire_handlers.services.listing import newest
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.publishing import until_it_rests

pytestmark = pytest.mark.timeout(120)


class Asked(Event, topic="asked", entry=True):
    n: int


class Weighed(Event, topic="weighed"):
    n: int


class Done(Event, topic="done", result=True, terminal=True):
    n: int


@handler()
async def weigh(asked: Asked) -> Weighed:
    if asked.n == 3:
        raise Reject("three is too much")
    return Weighed(n=asked.n)


@handler()
async def approve(weighed: Decision[Weighed]) -> Done:
    return Done(n=weighed.final.n)


APP = App("a", handlers=[weigh, approve])


@asynccontextmanager
async def looking(here: Stage, folder: Path) -> AsyncIterator[Mirror]:
    """A copy of what lies on the cluster, as a command has it."""
    mirror = Mirror(here.new_bus(), APP, folder)
    await mirror.open()
    try:
        yield mirror
    finally:
        await mirror.close()


async def states(mirror: Mirror, state: str, runs: int) -> dict[str, str]:
    """The state of every run, once that many have the given one."""
    async with asyncio.timeout(60):
        while True:
            seen = {view.id: view.state for view in newest(APP, mirror, 100).views}
            if list(seen.values()).count(state) == runs:
                return seen
            await asyncio.sleep(0.05)


async def test_a_run_is_seen_decided_and_followed(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Gates, dead letters and results are seen; a decision goes to the cluster; a known identity is followed."""
    async with stage(kafka, topic_prefix, APP) as here:
        await here.worker()
        async with looking(here, tmp_path) as mirror:
            offers = [Offer(*APP.record(Asked(n=n), id=f"id-{n}", source="test", now=1.0), True) for n in range(1, 4)]
            runs, turns = [offer.run for offer in offers], Turns(mirror)
            assert await turns.publish(offers) == [None, None, None]
            views = await asyncio.gather(*(until_it_rests(APP, mirror, run, 30.0) for run in runs))
            assert [view.state for view in views] == ["waiting", "waiting", "failed"]
            (letter,) = DeadLetters(APP, mirror).open()
            assert letter.message == "three is too much"
            gates = Gates(APP, mirror)
            for gate in gates.open():
                await gates.decide(gate, approved=True, by="test", why="", edited=None, key="")
            views = await asyncio.gather(*(until_it_rests(APP, mirror, run, 30.0) for run in runs[:2]))
            assert [view.state for view in views] == ["completed", "completed"]
            assert Gates(APP, mirror).open() == []
            (earlier,) = await turns.publish(offers[:1])
            assert earlier is not None and earlier.headers["ce_id"] == "id-1"
        assert len(await here.records("asked")) == 3


async def test_the_copy_can_be_lost_and_shared(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """A new file shows the same runs; two processes may follow into one file at once."""
    async with stage(kafka, topic_prefix, APP) as here:
        await here.worker()
        await here.publish(*(Asked(n=n) for n in range(10, 20)))
        await here.until("weighed", 10)
        async with looking(here, tmp_path / "a") as one, looking(here, tmp_path / "a") as other:
            await here.publish(*(Asked(n=n) for n in range(20, 25)))
            await here.until("weighed", 15)
            seen = await states(one, "waiting", 15)
            assert await states(other, "waiting", 15) == seen
            assert len(Gates(APP, one).open()) == len(Gates(APP, other).open()) == 15
        async with looking(here, tmp_path / "b") as anew:
            assert {view.id: view.state for view in newest(APP, anew, 100).views} == seen
        assert len(seen) == 15


async def test_a_partition_that_is_new_is_followed(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Business topics may grow while a door runs: who published there is answered, and the event is seen."""
    async with stage(kafka, topic_prefix, APP) as here:
        await here.worker()
        async with looking(here, tmp_path) as mirror:
            topic = topic_prefix + "asked"
            admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
            admin.create_partitions([NewPartitions(topic, 4)])[topic].result(20)
            producer = Producer({"bootstrap.servers": kafka, "log_level": 2})
            producer.produce(topic, b'{"n": 1}', partition=3)
            assert producer.flush(20) == 0
            follower = mirror._follower
            assert follower is not None
            async with asyncio.timeout(90):  # a reader that got no record is given up after `copies.SILENT`
                await follower.shows([(Partition("asked", 3), 0)])
            assert [record.value for record in await LocalBus.read(mirror, Partition("asked", 3), 0, 10)] == [
                b'{"n": 1}'
            ]


async def test_topics_that_were_made_anew_are_followed_anew(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """A copy of topics that were deleted since is thrown away, not mixed with the new ones."""
    async with stage(kafka, topic_prefix, APP) as here:
        worker = await here.worker()
        await here.publish(*(Asked(n=n) for n in range(10, 20)))
        await here.until("weighed", 10)
        async with looking(here, tmp_path) as mirror:
            assert len(newest(APP, mirror, 100).views) == 10
        await here.stop(worker)
        admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
        names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(topic_prefix)]
        for deleted in admin.delete_topics(names).values():
            deleted.result(20)
        for deleted in admin.delete_consumer_groups([f"{topic_prefix}a.weigh", f"{topic_prefix}a.approve"]).values():
            deleted.result(20)
    async with stage(kafka, topic_prefix, APP) as here:
        await here.worker()
        await here.publish(Asked(n=1))
        await here.until("weighed", 1)
        async with looking(here, tmp_path) as mirror:
            assert [view.lines[0].event for view in newest(APP, mirror, 100).views] == [Asked(n=1)]


async def test_what_kafka_deleted_is_deleted_in_the_copy(
    kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that is followed, one that was left, and one that is built anew show the same: what Kafka still has."""
    monkeypatch.setattr("stepwire_handlers.services.copies.TRIM", 0.2)
    async with stage(kafka, topic_prefix, APP) as here:
        await here.publish(*(Asked(n=n) for n in range(30)))
        async with looking(here, tmp_path / "left") as left:
            assert stored(left) == 30
        async with looking(here, tmp_path / "followed") as followed:
            admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
            ends = await here.bus.ends(["asked"])
            before = [
                TopicPartition(topic_prefix + place.topic, place.number, max(0, end - 2)) for place, end in ends.items()
            ]
            for deleted in admin.delete_records(before).values():
                deleted.result(20)
            kept = len(await here.records("asked"))
            assert 0 < kept < 10
            async with asyncio.timeout(20):
                while stored(followed) != kept:
                    await asyncio.sleep(0.05)
        for folder in ("left", "anew"):
            async with looking(here, tmp_path / folder) as mirror:
                assert stored(mirror) == kept
                assert len(newest(APP, mirror, 100).views) == kept


def stored(mirror: Mirror) -> int:
    """How many records the file holds."""
    (count,) = mirror.store.db.execute("SELECT count(*) FROM events").fetchone()
    return int(count)

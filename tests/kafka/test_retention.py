"""Retention that passes records before they were finished: said, counted, and gone past only if a person says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from tests.kafka.stage import SETTINGS, Stage, stage

from stepwire import App, Event, handler
from stepwire.bus.kafka.groups import commit
from stepwire.bus.protocol import Partition, Progress
from stepwire.errors import BusError, RecordsLost, SettingsError
from stepwire.settings import Settings
from stepwire.telemetry import Lost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
ONE = Settings(**{name: getattr(SETTINGS, name) for name in ("session", "drain", "backoff")})


class Asked(Event, topic="asked", entry=True):
    n: int


class Done(Event, topic="done", terminal=True):
    n: int


@handler()
async def work(asked: Asked) -> Done:
    return Done(n=asked.n)


APP = App("a", handlers=[work])


def delete(servers: str, topic: str, before: int) -> None:
    """As retention does it."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 2})
    for done in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        done.result(20)


async def interrupted(here: Stage) -> None:
    """Two events are done; of five more that came while nobody worked, three are gone."""
    worker = await here.worker()
    await here.publish(*(Asked(n=n) for n in range(2)))
    await here.until("done", 2)
    await here.stop(worker)
    first = (await here.bus.ends(["asked"]))[("asked", 0)]  # type: ignore[index]
    await here.publish(*(Asked(n=n) for n in range(2, 7)))
    delete(here.servers, f"{here.prefix}asked", first + 3)


async def test_unfinished_records_that_are_gone_stop_the_worker(kafka: str, topic_prefix: str) -> None:
    """The worker ends with where and how to go on; how many are gone is counted; nothing else is done meanwhile."""
    facts: list[Any] = []
    async with stage(kafka, topic_prefix, APP, ONE) as here:
        await interrupted(here)
        worker = await here.worker(telemetry=facts.append)
        with pytest.raises(RecordsLost, match=r"retention passed them\. Start with --accept-loss"):
            await worker.wait()
        assert [fact for fact in facts if isinstance(fact, Lost)] == [Lost("a.work", "asked", 0, 3)]
        assert len(await here.records("done")) == 2


async def test_a_person_may_accept_the_loss(kafka: str, topic_prefix: str) -> None:
    """What is still there is done, once, and the next worker needs nobody's word any more."""
    async with stage(kafka, topic_prefix, APP, ONE) as here:
        await interrupted(here)
        accepting = await here.worker(accept_loss=True)
        await here.until("done", 4)
        await here.stop(accepting)
        await here.worker()
        await here.publish(Asked(n=7))
        found = await here.until("done", 5)
        assert sorted(Done.model_validate_json(one.value).n for one in found) == [0, 1, 5, 6, 7]


async def test_an_accepted_loss_is_stored_also_if_nothing_is_left(kafka: str, topic_prefix: str) -> None:
    """Where everything is gone, the group's progress moves past the gap without any event."""
    async with stage(kafka, topic_prefix, APP, ONE) as here:
        await interrupted(here)
        (end,) = (await here.bus.ends(["asked"])).values()
        delete(here.servers, f"{here.prefix}asked", end)
        accepting = await here.worker(accept_loss=True)
        async with asyncio.timeout(30):
            while (await here.bus.progress("a.work"))[("asked", 0)].watermark < end:  # type: ignore[index]
                await asyncio.sleep(0.05)
        await here.stop(accepting)
        next_one = await here.worker()
        await next_one.settle()
        assert next_one.alive and len(await here.records("done")) == 2


async def test_a_topic_that_is_shorter_than_what_was_read_is_no_loss_to_accept(kafka: str, topic_prefix: str) -> None:
    """Records that a broker lost at the end are not retention's doing: refused with the cure, whatever was accepted."""
    async with stage(kafka, topic_prefix, APP, ONE) as here:
        far = {Partition(f"{topic_prefix}asked", 0): Progress(1_000)}
        await commit(here.bus._connection, f"{topic_prefix}a.work", far, 10.0)
        worker = await here.worker(accept_loss=True)
        with pytest.raises(BusError, match="shorter than what was read of it"):
            await worker.wait()


async def test_a_topic_that_was_made_anew_is_refused(kafka: str, topic_prefix: str) -> None:
    """Kafka forgets a group's progress with the topic; its start is not guessed (R15)."""
    async with stage(kafka, topic_prefix, APP, ONE) as here:
        worker = await here.worker()
        await here.publish(*(Asked(n=n) for n in range(3)))
        await here.until("done", 3)
        await here.stop(worker)
        admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
        for deleted in admin.delete_topics([f"{topic_prefix}asked"]).values():
            deleted.result(20)
        async with asyncio.timeout(30):
            while await here.bus.describe(["asked"]):
                await asyncio.sleep(0.05)
        with pytest.raises(SettingsError, match="or the topic was made anew"):
            await here.worker()

"""The rights that `topics plan` writes down are enough for a worker, and none of them is too many.

On a broker that refuses what no ACL allows: the app's administrator makes the topics and gives the rights, the worker
is another user. Its listener asks for a name and password; the brokers' own listener is a super user's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kafka.guarded import Guarded, lent
from tests.kafka.stage import SETTINGS

from stepwire import App, Event, Reject, Retry, RetryLater, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.worker import Worker, prepare
from stepwire_handlers.cluster.rights import rights
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.doctor import kafka as doctor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PREFIX = "env."
SEEN_AS = {"topic": "rights to topics", "group": "rights to groups", "transactionalId": "transactions"}


class Asked(Event, topic="asked"):
    n: int


class Half(Event, topic="halves"):
    n: int


class Whole(Event, topic="wholes", terminal=True):
    n: int


@handler(retry=Retry(attempts=2))
async def halve(asked: Asked) -> list[Half]:
    """Uses its dead letter topic, and parks one delivery in its mailbox."""
    if asked.n == 13:
        raise Reject("thirteen")
    if asked.n == 7:
        raise RetryLater(3600.0)
    return [Half(n=asked.n), Half(n=asked.n)]


@handler()
async def join(halves: list[Half]) -> Whole:
    return Whole(n=halves[0].n)


APP = App("a", [halve, join])


@pytest.fixture
def broker(service: Callable[..., None], tmp_path: Path) -> Iterator[Guarded]:
    with lent(service, tmp_path) as found:
        yield found


async def applied(broker: Guarded) -> KafkaBus:
    """The topics, made by the administrator, whose bus stays open."""
    bus = KafkaBus(broker.address, prefix=PREFIX, create_topics=True)
    await bus.open()
    await prepare(APP, bus, SETTINGS)
    return bus


async def found_by_doctor(broker: Guarded, home: Path) -> dict[str, str]:
    """What was looked at -> how it is, as the worker's user."""
    values = Configuration(bus=f"kafka://127.0.0.1:{broker.doors.sasl}", prefix=PREFIX, blobs=str(home / "blobs"))
    app = App("a", [halve, join], settings=SETTINGS)
    return {line.what: line.state for line in await doctor.examine(app, values, broker.bus(), "m:a")}


async def test_a_worker_does_its_job_with_exactly_these_rights(broker: Guarded, tmp_path: Path) -> None:
    """A whole flow runs: emit, scatter, gather, park, dead-letter, store the wiring. Without rights nothing does."""
    admin = await applied(broker)
    assert "failed" in (await found_by_doctor(broker, tmp_path)).values()
    broker.give(rights(APP, PREFIX))
    states = await found_by_doctor(broker, tmp_path)
    assert "failed" not in states.values(), states
    bus = broker.bus()
    await bus.open()
    worker = Worker(APP, bus, settings=SETTINGS)
    await worker.start()
    outs = [APP.record(Asked(n=n), now=0.0)[0] for n in (1, 7, 13)]
    await admin.publish(outs)
    async with asyncio.timeout(60):
        for topic in ("wholes", "a.halve.dlt", "a.join.control", "a.halve.control"):
            while not sum((await admin.ends([topic])).values()):
                await asyncio.sleep(0.05)
    place = next(place for place, end in (await admin.ends(["wholes"])).items() if end)
    assert [record.value for record in await admin.read(place, 0, 10)] == [b'{"n":1}']
    await worker.stop()
    await bus.close()
    await admin.close()


async def test_the_doctor_names_each_right_that_is_missing(broker: Guarded, tmp_path: Path) -> None:
    """One right after the other is taken away and given back: each is needed, and each is missed (minimal)."""
    admin = await applied(broker)
    needed = rights(APP, PREFIX)
    broker.give(needed)
    for right in needed:
        if right.name == f"{PREFIX}a.":
            continue  # for handlers that are gone; nothing of this app is missed without it
        lost = right._replace(operations=(right.operations[-1],))
        broker.take(lost)
        states = await found_by_doctor(broker, tmp_path)
        missed = {what for what in ("rights to topics", "rights to groups", "transactions") if states[what] != "ok"}
        assert SEEN_AS[right.resource] in missed, (right, states)
        broker.give([lost])
    await admin.close()

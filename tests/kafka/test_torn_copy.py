"""A copy of Kafka's topics is not of one moment: of what it shows nothing may read as over that is still to happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.kafka import feigned
from tests.kafka.feigned import Feigned

from stepwire import App, Event, Settings, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition
from stepwire.worker import Worker
from stepwire_handlers.services import copies, following
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.services.tally import reader

SETTINGS = Settings(partitions=1, control_partitions=1)


class Asked(Event, topic="asked", entry=True):
    who: str = "ann"


class Left(Event, topic="left"):
    pass


class Right(Event, topic="right"):
    pass


class Paid(Event, topic="paid", result=True, terminal=True):
    pass


def kept_in_order(goes_on: asyncio.Event) -> App:
    """Its events wait in the mailbox until they are called."""

    @handler(order="who")
    async def pay(asked: Asked) -> Paid:
        del asked
        await goes_on.wait()
        return Paid()

    return App("x", [pay])


def joined(goes_on: asyncio.Event) -> App:
    """Its parts do."""

    @handler()
    async def split(asked: Asked) -> tuple[Left, Right]:
        del asked
        return Left(), Right()

    @handler()
    async def pay(left: Left, right: Right) -> Paid:
        del left, right
        await goes_on.wait()
        return Paid()

    return App("x", [split, pay])


class StateFirst(feigned.Reader):
    """Of two partitions that one commit wrote, the state's page comes first."""

    async def to_the_end(self, page: int) -> AsyncIterator[Any]:
        self._places = sorted(self._places, key=lambda place: not place.topic.endswith(".state"))
        async for found in super().to_the_end(page):
            yield found


class EventsLate(feigned.Reader):
    """The events of a commit show a whole reading after what it wrote to mailboxes: their marker was late."""

    _shown: Mapping[Partition, int] = {}

    async def to_the_end(self, page: int) -> AsyncIterator[Any]:
        del page  # all at once
        ends = await self._cluster.ends([place.topic for place in self._places])
        shown, self._shown = self._shown, ends
        for place in sorted(self._places, key=lambda place: not place.topic.endswith(".state")):
            begin = self._at[place]
            self._at[place] = max(begin, (ends if place.topic.endswith(".state") else shown).get(place, 0))
            if begin < self._at[place]:
                yield self._cluster.logs[place.topic][begin : self._at[place]], {place: self._at[place]}


class Twin(LocalBus):
    """What a worker commits here lies on the feigned cluster too."""

    def __init__(self, cluster: Feigned) -> None:
        super().__init__()
        self._cluster = cluster

    async def commit(self, group: Any, transaction: Any, generation: int) -> None:
        await super().commit(group, transaction, generation)
        await self._cluster.publish(list(transaction.outputs))
        changes = [Out(f"{group.name}.state", each.key, {}, each.value or b"") for each in transaction.changes]
        await self._cluster.publish(changes)
        self._cluster.groups.setdefault(group.name, {}).update(transaction.progress)

    async def publish(self, outputs: Any) -> Any:
        placed = await super().publish(outputs)
        await self._cluster.publish(outputs)
        return placed


@asynccontextmanager
async def copied(app: App, cluster: Feigned, folder: Path) -> AsyncIterator[tuple[Twin, Worker, Mirror]]:
    """A worker, and a copy whose passes are made by hand."""
    bus, feigns_kafka = Twin(cluster), cast("KafkaBus", cluster)
    await bus.open()
    worker = Worker(app, bus, settings=SETTINGS)
    await worker.start()
    mirror = Mirror(feigns_kafka, app, folder)
    await mirror.open()
    assert mirror._follower is not None
    await mirror._follower.close()
    try:
        yield bus, worker, mirror
    finally:
        await mirror.close()
        await worker.stop()
        await bus.close()


@pytest.mark.parametrize("order", [StateFirst, EventsLate])
@pytest.mark.parametrize("made", [kept_in_order, joined])
async def test_a_run_is_completed_when_its_result_is_there_not_when_its_mailbox_is_empty(
    made: Any, order: type[feigned.Reader], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After every transaction, over the copy itself and over a second look into its file as the lists take it."""
    monkeypatch.setattr(following, "LOOK", 3_600.0)
    monkeypatch.setattr(feigned, "Reader", order)
    goes_on, seen = asyncio.Event(), []
    app = made(goes_on)
    cluster = Feigned(app)
    async with copied(app, cluster, tmp_path) as (bus, worker, mirror):
        second = reader(mirror)
        looks = [Runs(app, mirror), Runs(app, second)]
        out, run = app.record(Asked(), now=time.time())
        await bus.publish([out])
        calls = worker.dispatchers[-1].caller.running
        async with asyncio.timeout(20):
            while not calls:
                await asyncio.sleep(0.01)
            while worker.dispatchers[-1].committer.queue or worker.dispatchers[-1].committer.busy:
                await asyncio.sleep(0.01)
        copy = mirror._copy
        assert copy is not None
        for _ in range(2):
            await copy.catch_up()
        assert [look.view(run).state for look in looks] == ["running", "running"]
        goes_on.set()
        await worker.settle()
        write = copies.Copy._write

        async def written(self: copies.Copy, change: Any) -> None:
            await write(self, change)
            seen.extend((view.state, view.result) for view in (look.view(run) for look in looks))

        monkeypatch.setattr(copies.Copy, "_write", written)
        await copy.catch_up()
        assert [look.view(run).result for look in looks] == [Paid(), Paid()]
        second.store.close()
    assert ("running", None) in seen  # a page came before the result
    assert ("completed", None) not in seen

"""Several processes follow into one file: none takes it from under another, and whoever lost it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from tests.kafka.feigned import Feigned, following

from stepwire import App, Event, handler
from stepwire.bus.protocol import Partition
from stepwire.errors import BusUnavailable
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.tally import reader


class Asked(Event, topic="asked", entry=True):
    n: int = 0


@handler()
async def take(asked: Asked) -> None:
    del asked


APP = App("x", [take])
ASKED = Partition("asked", 0)


class Busy(Feigned):
    """While `asker` asks where its topics end, more comes, and whoever follows has it already."""

    asker: asyncio.Task[None] | None = None
    follows: Mirror

    async def ends(self, topics: Collection[str]) -> Mapping[Partition, int]:
        found = await super().ends(topics)
        if asyncio.current_task() is self.asker:
            self.asker = None
            await self.follows.publish(self.outs(Asked(n=2)))
        return found


def seen(mirror: Mirror) -> int:
    """How many events are in the file that is there now."""
    look = reader(mirror)
    try:
        return look.log.end(ASKED) if ASKED.topic in look.log.topics else 0
    finally:
        look.store.close()


async def test_who_comes_later_takes_the_file_from_nobody(tmp_path: Path) -> None:
    """Ends that were asked for before the file was looked at say nothing of topics that were made anew."""
    cluster = Busy(APP)
    async with asyncio.timeout(20), following(cluster, tmp_path) as mirror:
        await mirror.publish(cluster.outs(Asked(n=1)))
        cluster.follows, cluster.asker = mirror, asyncio.current_task()
        async with following(cluster, tmp_path) as other:
            assert seen(other) == 2
        await mirror.publish(cluster.outs(Asked(n=3)))
        assert seen(mirror) == 3


async def test_a_copy_of_deleted_topics_is_not_made_anew_while_others_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would go on in a file that nobody sees; once they have ended, it is."""
    monkeypatch.setattr("stepwire_handlers.services.copy_file.PATIENCE", 0.1)
    cluster = Feigned(APP)
    async with asyncio.timeout(20), following(cluster, tmp_path) as mirror:
        await mirror.publish(cluster.outs(Asked(n=1), Asked(n=2)))
        cluster.logs.clear()
        with pytest.raises(BusUnavailable, match="other processes look at them through it: end them"):
            async with following(cluster, tmp_path):
                pass
        assert seen(mirror) == 2
    async with asyncio.timeout(20), following(cluster, tmp_path) as mirror:
        await mirror.publish(cluster.outs(Asked(n=3)))
        assert seen(mirror) == 1


async def test_those_who_want_it_anew_at_once_get_it(tmp_path: Path) -> None:
    """One makes it, the others find it made; nobody is told of others who look at it."""
    cluster = Feigned(APP)
    async with asyncio.timeout(20), following(cluster, tmp_path) as mirror:
        await mirror.publish(cluster.outs(Asked(n=1), Asked(n=2)))
    cluster.logs.clear()

    async def look() -> None:
        async with following(cluster, tmp_path) as mirror:
            assert seen(mirror) == 0

    async with asyncio.timeout(20), asyncio.TaskGroup() as all_:
        for _ in range(5):
            all_.create_task(look())


async def test_who_follows_into_a_file_that_was_deleted_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its pages would show nothing any more, and nobody would know why."""
    cluster = Feigned(APP)
    caplog.set_level("ERROR", "stepwire")
    async with asyncio.timeout(20), following(cluster, tmp_path) as mirror:
        for file in tmp_path.glob("*.db*"):
            file.unlink()
        while "was deleted while it was in use; start this process again" not in caplog.text:
            await asyncio.sleep(0.01)
        assert mirror.follows()  # for a minute: what it knows is that old

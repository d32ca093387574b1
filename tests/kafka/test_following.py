"""A copy of Kafka's topics stays whole and young whatever happens to a pass, and says when it cannot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.kafka.feigned import Feigned, following

from stepwire import App, Event, handler
from stepwire.bus.protocol import Partition, Progress
from stepwire.bus.sqlite import Store
from stepwire.errors import BusCorrupt, BusUnavailable, OutcomeUnknown
from stepwire_handlers.services import copies
from stepwire_handlers.services import following as passes
from stepwire_handlers.services import mirror as mirrors
from stepwire_handlers.services.mirror import Mirror

pytestmark = pytest.mark.timeout(60)


class Asked(Event, topic="asked", entry=True):
    n: int


class Done(Event, topic="done", result=True, terminal=True):
    n: int


@handler()
async def answer(asked: Asked) -> Done:
    return Done(n=asked.n)


APP = App("a", handlers=[answer])
PLACE = Partition("asked", 0)


@pytest.fixture
def cluster() -> Feigned:
    """Without any record."""
    return Feigned(APP)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed pass is followed by the next at once."""
    monkeypatch.setattr(passes, "PAUSE", 0.01)


def copied(mirror: Mirror, topic: str = "asked") -> list[int]:
    """The offsets that the file has of a topic."""
    number, _ = mirror.store.topics()[topic]
    return [record.offset for record in mirror.store.read(topic, number, 0, 0, 1_000_000)]


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return once it is so."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


# -- nothing is lost


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_page_that_the_disk_refused_is_copied_later(
    cluster: Feigned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    """A full disk costs time, no record: neither while the copy is followed, nor after a restart."""
    refused, append = [], Store.append

    def full(self: Store, rows: Any) -> None:
        if not refused and rows:
            refused.append(1)
            raise BusUnavailable("the disk is full")
        append(self, rows)

    async with following(cluster, tmp_path) as mirror:
        await mirror.publish(cluster.outs(Asked(n=0)))
        monkeypatch.setattr(Store, "append", full)
        await cluster.publish(cluster.outs(Asked(n=1), Asked(n=2)))
        await until(lambda: bool(refused))
        await mirror.publish(cluster.outs(Asked(n=3)))
        if not restarted:
            assert copied(mirror) == [0, 1, 2, 3]
    async with following(cluster, tmp_path) as mirror:
        assert copied(mirror) == [0, 1, 2, 3]


async def test_a_waiter_whose_time_is_up_cuts_no_pass_off(
    cluster: Feigned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher that gives up says that its record was written, and the copy holds it once the pass has ended."""
    monkeypatch.setattr(mirrors, "PATIENCE", 0.2)
    monkeypatch.setattr(passes, "LOOK", 3600.0)
    async with following(cluster, tmp_path) as mirror:
        cluster.formats.open.clear()
        with pytest.raises(OutcomeUnknown, match="it was written"):
            await mirror.publish(cluster.outs(Asked(n=0)))
        assert cluster.formats.waiting == 1
        cluster.formats.open.set()
        monkeypatch.undo()
        await mirror.publish(cluster.outs(Asked(n=1)))
        assert copied(mirror) == [0, 1]


# -- it does not stop unseen


@pytest.mark.parametrize("error", [OutcomeUnknown("an I/O error"), BusCorrupt("damaged"), ValueError("a secret")])
async def test_no_error_ends_the_following(
    cluster: Feigned, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Whatever a pass raises is logged once, a foreign error without its text; then the copy follows again."""
    caplog.set_level(logging.INFO, "stepwire")
    async with following(cluster, tmp_path) as mirror:
        cluster.formats.errors += [error, error, error]
        await cluster.publish(cluster.outs(Asked(n=0)))
        await until(lambda: copied(mirror) == [0])
        await until(lambda: "again" in caplog.text)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1 and type(error).__name__ in told[0]
    assert (str(error) in told[0]) is not isinstance(error, ValueError)


async def test_a_copy_that_stands_still_says_so(
    cluster: Feigned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`follows` fails once no pass was completed for FRESH seconds, and is true again after the next."""
    monkeypatch.setattr(passes, "FRESH", 0.3)
    async with following(cluster, tmp_path) as mirror:
        assert mirror.follows()
        cluster.formats.open.clear()
        await cluster.publish(cluster.outs(Asked(n=0)))
        await until(lambda: not mirror.follows())
        cluster.formats.open.set()
        await until(mirror.follows)
    assert not mirror.follows()


# -- it does not grow without bound


async def test_what_the_cluster_deleted_is_deleted_here(
    cluster: Feigned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old records go, in pieces; the copy is as one that is built anew; freed pages are used again."""
    monkeypatch.setattr(copies, "PAGE", 10)
    monkeypatch.setattr(copies, "TRIM", 0.1)
    async with following(cluster, tmp_path) as mirror:
        await mirror.publish(cluster.outs(*(Asked(n=n) for n in range(35))))
        size = mirror.store.db.execute("PRAGMA page_count").fetchone()
        cluster.first["asked"] = 32
        await until(lambda: copied(mirror) == [32, 33, 34])
        for start in range(35, 235, 25):
            await mirror.publish(cluster.outs(*(Asked(n=n) for n in range(start, start + 25))))
            cluster.first["asked"] = start + 24
            await until(lambda start=start: copied(mirror) == [start + 24])  # type: ignore[misc]
        assert mirror.store.db.execute("PRAGMA page_count").fetchone()[0] <= size[0] + 4
        seen = copied(mirror)
        cluster.first["asked"] = 235
        await until(lambda: copied(mirror) == [])
        places = await mirror.publish(cluster.outs(Asked(n=1)))
        assert (places, copied(mirror)) == ([(PLACE, 235)], [235])
    assert seen == [234]


async def test_finished_messages_of_control_topics_go_too(cluster: Feigned, tmp_path: Path) -> None:
    """Kafka keeps a control topic for ever; the copy keeps what its group has not finished."""
    control = "a.answer.control"
    outs = [out._replace(topic=control) for out in cluster.outs(*(Asked(n=n) for n in range(5)))]
    async with following(cluster, tmp_path) as mirror:
        await mirror.publish(outs)
        assert copied(mirror, control) == [0, 1, 2, 3, 4]
        cluster.groups["a.answer"] = {Partition(control, 0): Progress(3), PLACE: Progress(0)}
        number, _ = mirror.store.groups()["a.answer"]
        await until(lambda: Progress(3) in mirror.store.progress(number).values())
    async with following(cluster, tmp_path) as mirror:
        await mirror.publish(cluster.outs(Asked(n=1)))
        assert copied(mirror, control) == [3, 4]
        assert copied(mirror) == [0]


# -- what it asks


async def test_publishers_share_passes(cluster: Feigned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred at once cost no hundred passes: all but those that began too late are served by one."""
    monkeypatch.setattr(passes, "LOOK", 3600.0)
    async with following(cluster, tmp_path) as mirror:
        before = cluster.passes
        await asyncio.gather(*(mirror.publish(cluster.outs(Asked(n=n))) for n in range(100)))
        assert cluster.passes - before <= 4
        assert copied(mirror) == [*range(100)]


async def test_groups_are_asked_when_records_come_and_seldom_else(
    cluster: Feigned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle copy asks its groups each IDLE seconds, not in each pass; a record's progress is seen at once."""
    monkeypatch.setattr(passes, "LOOK", 0.01)
    monkeypatch.setattr(copies, "IDLE", 3600.0)  # however slow this machine is
    async with following(cluster, tmp_path) as mirror:
        begun, asked = cluster.passes, cluster.questions
        await until(lambda: cluster.passes > begun + 40)
        assert cluster.questions == asked
        monkeypatch.setattr(copies, "IDLE", 0.0)
        await until(lambda: cluster.questions > asked)
        monkeypatch.setattr(copies, "IDLE", 3600.0)
        cluster.groups["a.answer"] = {PLACE: Progress(1)}
        await mirror.publish(cluster.outs(Asked(n=0)))
        number, _ = mirror.store.groups()["a.answer"]
        await until(lambda: [*mirror.store.progress(number).values()] == [Progress(1)], 0.5)

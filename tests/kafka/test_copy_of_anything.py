"""A copy of Kafka's topics: what foreign bytes, a topic of a later release, and an end in its first pass do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest
from tests.kafka.feigned import Feigned, following
from tests.kafka.test_foreign import APP, ASKED, WORK, Asked, Done, done, raw

from stepwire import App, Decision, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition, Progress
from stepwire.event import identity
from stepwire.worker import Worker
from stepwire_handlers.services import foreign
from stepwire_handlers.services.copies import Copy
from stepwire_handlers.services.gates import Gates
from stepwire_handlers.services.runs import Runs


@pytest.mark.parametrize("where", ["key", "run"])
async def test_bytes_that_are_no_text(where: str, tmp_path: Path) -> None:
    """A foreign key or header of any bytes is copied, and what comes after it too."""
    cluster = Feigned(APP)
    cluster.groups[WORK] = {ASKED: Progress(0)}
    await cluster.publish([raw(0), raw(1)])
    if where == "key":
        cluster.logs["asked"][0].key = b"\xff\x80"
    else:
        cluster.logs["asked"][0].headers = [
            ("ce_swrun", b"\xff\x80"),
            ("ce_id", b"1"),
            ("ce_source", b"s"),
            ("ce_type", Asked.spec.type.encode()),
            ("ce_specversion", b"1.0"),
        ]
    async with asyncio.timeout(60), following(cluster, tmp_path) as mirror:
        async with asyncio.timeout(20):
            await mirror._follower.shows([(ASKED, 1)])


class Older(Event, topic="older"):
    n: int


@handler(name="do")
async def do2(asked: Asked | Older) -> Done:
    return Done(n=asked.n)


APP2 = App("a", [do2])
OLDER = Partition("older", 0)


async def test_a_topic_that_a_later_release_takes_from_now_on(tmp_path: Path) -> None:
    """What lay there before anybody took it begins no run, also in a copy that is there already."""
    cluster = Feigned(APP)
    cluster.groups[WORK] = {ASKED: Progress(0)}
    await cluster.publish([raw(0)])
    cluster.groups[WORK] = {ASKED: Progress(1)}
    async with following(cluster, tmp_path):
        pass
    later = Feigned(APP2)
    later.logs, later.groups = cluster.logs, cluster.groups
    await later.publish([Out("older", None, {}, b'{"n": %d}' % n) for n in range(3)])
    later.groups[WORK] |= {OLDER: Progress(3)}  # its start was committed when topics were applied: now
    async with following(later, tmp_path) as mirror:
        runs = Runs(APP2, mirror)
        assert [len(runs.view(identity("older", f"0/{n}")).lines) for n in range(3)] == [0, 0, 0]


async def test_an_end_in_the_first_pass(tmp_path: Path, monkeypatch: Any) -> None:
    """A pass that is cut off anywhere is as if what it had not written was never read."""
    cluster = Feigned(APP)
    await cluster.publish([raw(0), done(0)])
    cluster.groups[WORK] = {ASKED: Progress(1)}
    path = str(tmp_path / "x.db")
    topics = dict.fromkeys(["asked", "done", "a.runs", "a.do.dlt", "a.do.control", "a.do.state"], 1)
    copy = await Copy.begin(path, cast("Any", cluster), APP, topics)
    known = foreign.Foreign.known

    def cut(*_: Any) -> Any:
        raise asyncio.CancelledError

    monkeypatch.setattr(foreign.Foreign, "known", cut)
    with pytest.raises(asyncio.CancelledError):
        await copy.catch_up()
    await copy.close()
    monkeypatch.setattr(foreign.Foreign, "known", known)
    copy = await Copy.begin(path, cast("Any", cluster), APP, topics)
    await copy.catch_up()
    rows = copy._store.db.execute("SELECT count(*) FROM events WHERE run IS NOT NULL").fetchone()
    await copy.close()
    assert rows == (2,)


class Ask(Event, topic="ask", entry=True):
    n: int = 0


@handler()
async def approve(asked: Decision[Ask]) -> Done | None:
    return None


GATED = App("g", [approve])


async def asked_and_gone(folder: Path) -> LocalBus:
    """A bus on which a gate is open, and nobody works."""
    bus = LocalBus(str(folder / "b.db"))
    await bus.open()
    worker = Worker(GATED, bus)
    await worker.start()
    await bus.publish([GATED.record(Ask(), now=time.time())[0]])
    await worker.settle()
    await worker.stop()
    return bus


async def thrown(junk: bytes, bus: LocalBus) -> None:
    """Into every partition of the gate's control topic."""
    topic = "g.approve.control"
    await bus.publish([Out(topic, None, {}, junk, n) for n in range(bus.log.topics[topic][1])])


@pytest.mark.parametrize("junk", [b"1[]\n\n", b"1" + b'{"z":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n"])
async def test_junk_on_a_control_topic_hides_no_gate(junk: bytes, tmp_path: Path) -> None:
    """While no worker has skipped it, the lists still work, and a decision is still told about."""
    bus = await asked_and_gone(tmp_path)
    await thrown(junk, bus)
    gates = Gates(GATED, bus)
    assert len(gates.open()) == 1


@pytest.mark.parametrize("junk", [b"1[]\n\n", b"1{}\n[]\n"])
async def test_junk_between_look_and_decision(junk: bytes, tmp_path: Path) -> None:
    """It is no rival."""
    bus = await asked_and_gone(tmp_path)
    gates = Gates(GATED, bus)
    gate = gates.open()[0]
    await thrown(junk, bus)
    assert await gates.decide(gate, approved=True, by="a", why="", edited=None, key="")


@pytest.mark.parametrize(("changes", "size", "readings"), [(20_002, 0, 2), (3_000, 100_000, 1)])
async def test_what_is_held(changes: int, size: int, readings: int, tmp_path: Path) -> None:
    """A gather of 10,000 items that came and closed waits for its events; what is too large to hold does not."""
    cluster = Feigned(APP)
    cluster.groups[WORK] = {ASKED: Progress(0)}
    topics = dict.fromkeys(["asked", "done", "a.runs", "a.do.dlt", "a.do.control", "a.do.state"], 1)
    copy = await Copy.begin(str(tmp_path / "x.db"), cast("Any", cluster), APP, topics)
    value = b'1{"kind":"item"}\n\n' + bytes(size) if size else b""
    await cluster.publish([Out("a.do.state", f"i/{n}", {}, value) for n in range(changes)])
    before, settle = [], copy._settle

    def spy(pages: Any, progress: Any) -> None:
        if pages:
            before.append((cluster.passes, sum(len(r.value) for p in pages for r in p.records)))
        settle(pages, progress)

    copy._settle = spy  # type: ignore[method-assign]
    await copy.catch_up()
    await copy.close()
    assert before[0][0] == readings
    assert all(held < 200 << 20 for _, held in before)  # a page beyond the bound; all together are 286 MiB

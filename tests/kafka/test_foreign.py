"""Upstream systems know nothing of runs: a copy of Kafka's topics shows what they published as the begin of its run."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.kafka.feigned import Feigned, following

from stepwire import App, Event, handler
from stepwire.bus.protocol import Out, Partition, Progress
from stepwire.event import identity
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.runs import Runs


class Asked(Event, topic="asked"):
    n: int


class Done(Event, topic="done", result=True):
    n: int


@handler()
async def do(asked: Asked) -> Done:
    return Done(n=asked.n)


APP = App("a", [do])
WORK, ASKED = "a.do", Partition("asked", 0)


def raw(n: int) -> Out:
    """As any Kafka client writes it."""
    return Out("asked", None, {}, b'{"n": %d}' % n)


def done(n: int) -> Out:
    """What the handler makes of it."""
    source, id_ = "asked", f"0/{n}"
    headers = {
        "ce_id": f"d{n}", "ce_source": "stepwire:a/do", "ce_type": Done.spec.type, "ce_swrun": identity(source, id_),
        "ce_swcause": identity(source, id_), "ce_swhandler": "do",
    }  # fmt: skip
    return Out("done", None, headers, b'{"n": %d}' % n)


async def seen(mirror: Mirror, place: Partition, offset: int) -> None:
    """Once the copy has this record."""
    async with asyncio.timeout(20):
        await mirror._follower.shows([(place, offset)])  # type: ignore[union-attr]


async def test_a_run_is_there_before_its_first_step_is_over(tmp_path: Path) -> None:
    """It runs, and shows its event; then it is completed, and still shows it."""
    cluster = Feigned(APP)
    cluster.groups[WORK] = {ASKED: Progress(0)}
    async with following(cluster, tmp_path) as mirror:
        await cluster.publish([raw(0)])
        await seen(mirror, ASKED, 0)
        runs, run = Runs(APP, mirror), identity("asked", "0/0")
        assert (runs.view(run).state, [line.event for line in runs.view(run).lines]) == ("running", [Asked(n=0)])
        await cluster.publish([done(0)])
        cluster.groups[WORK] = {ASKED: Progress(1)}
        await seen(mirror, Partition("done", 0), 0)
        view = runs.view(run)
        assert (view.state, [line.event for line in view.lines]) == ("completed", [Asked(n=0), Done(n=0)])


async def test_what_lay_there_before_anybody_took_it_begins_no_run(tmp_path: Path) -> None:
    """A group that began behind it never takes it; what was worked on belongs to its run, also in a copy made later."""
    cluster = Feigned(APP)
    await cluster.publish([raw(0), raw(1), raw(2), done(1)])
    cluster.groups[WORK] = {ASKED: Progress(2)}
    async with following(cluster, tmp_path) as mirror:
        runs = Runs(APP, mirror)
        views = [runs.view(identity("asked", f"0/{n}")) for n in range(3)]
        assert [[type(line.event) for line in view.lines] for view in views] == [[], [Asked, Done], [Asked]]
        assert views[2].state == "running"

"""Random wirings, looked at as doors and consoles do: what is shown of a run is true."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import behaviour as b
from tests.properties.build import World
from tests.properties.profiles import SOAK, budget
from tests.properties.stage import Stage
from tests.properties.wirings import Plan, Style, plans

from stepwire import WiringError
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition, Record
from stepwire.clock import VirtualClock
from stepwire.state import decode_meta
from stepwire_handlers.services.foreign import Foreign
from stepwire_handlers.services.history import History
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.services.tally import Teller
from stepwire_handlers.telemetry.runs import STATES

ODDS = b.Odds()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if SOAK else 240)]
PEEKS = 0.05  #: of the turns of the event loop


class Known(LocalBus):
    """Foreign events are marked with their run, as a copy of Kafka's topics marks them."""

    def __init__(self, world: World, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self._foreign = Foreign(world.app)

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """Marked."""
        marked = []
        for out in outputs:
            record = Record(out.topic, 0, 0, 0.0, out.key, out.headers, out.value)
            run = self._foreign.run(record)
            marked.append(out._replace(headers={**out.headers, "ce_swrun": run}) if run else out)
        return await super().publish(marked)


class Watched(Stage):
    """Notes what is shown wrongly whenever nothing can happen without time passing or somebody acting."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.wrong: list[str] = []
        self.states: set[str] = set()
        self._over: dict[str, int] = {}  #: runs that read as completed since somebody acted -> how many records then
        self._rest._disturb = self._peek
        self._teller: Teller | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._teller = Teller(self.world.app, self.bus)
        self._teller.look()
        return self

    def _peek(self) -> None:
        """Now and then on the way: what reads as completed is, unless somebody acts."""
        if self.dice.random() > PEEKS:
            return
        runs, history = Runs(self.world.app, self.bus), History(self.bus.store)
        for run in self.world.labels:
            records = len(history.of_run(run))
            if records > self._over.get(run, records):
                self.wrong.append(f"{run} read as completed, and more came of it")
            if records and runs.view(run).state == "completed":
                self._over.setdefault(run, records)

    async def rest(self) -> None:
        """Come to rest, then look."""
        self._over.clear()
        await super().rest()
        states = [Runs(self.world.app, self.bus).view(run).state for run in self.world.labels]
        assert self._teller is not None
        counted = self._teller.look().open
        if counted != tuple(states.count(state) for state in STATES):
            self.wrong.append(f"{counted} are counted as {STATES}, and they read as {states}")
        runs, unfinished = Runs(self.world.app, self.bus), set(self._unfinished())
        for run in self.world.labels:
            view = runs.view(run)
            self.states.add(view.state)
            if view.state == "running":
                self.wrong.append(f"{run} reads as running, and nothing runs: {view.open}")
            if view.state == "completed" and run in unfinished:
                self.wrong.append(f"{run} reads as completed, and mailboxes keep something of it")

    def _unfinished(self) -> Iterator[str]:
        for _, mailbox in self.mailboxes:
            yield from (join.run for join in mailbox.joins.values() if join.stub is None and not _given_up(join.call))
            yield from (str(decode_meta(raw).get("run")) for raw in mailbox.items.values())


def _given_up(call: Any) -> bool:
    return call is not None and bool(call.get("dead"))


async def trial(plan: Plan, seed: int, met: set[str]) -> list[str]:
    world, clock = World(plan, seed, ODDS), VirtualClock(1_000_000.0)
    async with Watched(world, Known(world, clock), clock, Random(seed)) as stage:
        await stage.play()
        met |= stage.states
        runs = Runs(world.app, stage.bus)
        states = {run: runs.view(run) for run in world.labels}
        left = [
            f"{run} is over and reads as {v.state}: {v.open}" for run, v in states.items() if v.state != "completed"
        ]
        return stage.wrong + left


def test_what_is_shown_of_a_run_is_true() -> None:
    """Nothing reads as running that rests, nor as completed that somebody waits for; in the end all are completed."""
    met: set[str] = set()

    @given(plans(Style(outside=True)), st.integers(0, 2**16))
    @budget(100)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong[:5], str(plan)])

    each()
    assert met == {"waiting", "failed", "completed"}

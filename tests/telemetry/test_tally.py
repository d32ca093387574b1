"""How many runs began, completed and failed, and what is open: against the truth of each run, read one by one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cli import market
from tests.telemetry.plain_tally import PlainTeller

from stepwire import Event
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.clock import VirtualClock
from stepwire.memory import Run
from stepwire.worker import Worker
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.services.tally import Tally, Teller, reader
from stepwire_handlers.telemetry.runs import STATES


class World:
    """An app with gates, dead letters, joins, effects, timers and a foreign service, and whoever looks at it."""

    def __init__(self, run: Run, worker: Worker, bus: LocalBus) -> None:
        self.run, self.worker, self.bus = run, worker, bus
        self.teller, self.runs = Teller(market.app, bus), Runs(market.app, bus)
        self.plain = PlainTeller(market.app, bus)
        self.started = self.completed = self.failed = 0
        self.took = 0.0  #: seconds of all that completed
        self.names: list[str] = []

    async def publish(self, *events: Event) -> None:
        records = [market.app.record(event, now=self.bus.clock.now()) for event in events]
        self.names += [name for _, name in records if name not in self.names]
        await self.bus.publish([out for out, _ in records])

    def look(self) -> Tally:
        """Look twice: what closed is counted when it is seen closed again."""
        for _ in range(2):
            tally = self.teller.look()
            assert tally == self.plain.look()
            assert sum(self.teller.took.counts) == tally.completed
            self.took += self.teller.took.total
            self.started += tally.started
            self.completed += tally.completed
            self.failed += tally.failed
        return tally

    def agrees(self) -> None:
        """The counts are those of every run, read by itself."""
        tally, views = self.look(), [self.runs.view(name) for name in self.names]
        states = Counter(view.state for view in views)
        assert dict(zip(STATES, tally.open, strict=True)) == {state: states[state] for state in STATES}
        assert (self.started, self.completed) == (len(self.names), states["completed"])
        begun = [view.started for view in views if view.state in ("running", "waiting")]
        assert tally.oldest == min(begun, default=0.0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = VirtualClock()
    bus = LocalBus(clock=clock)
    await bus.open()
    worker = Worker(market.app, bus, clock=clock)
    await worker.start()
    run = Run(market.app, worker, bus, clock, "")
    found = World(run, worker, bus)
    assert found.look() == Tally()
    yield found
    await run.close()


async def test_each_state_is_counted(world: World) -> None:
    """Completed, waiting for a person, failed, unknown outcome, a foreign service, a join; the oldest by its start."""
    await world.publish(market.Order(n=0), market.Order(n=1), market.Order(n=500), market.Order(n=-1))
    await world.publish(market.Charge(amount=1), market.Wish(what="w"), market.Left(number="7"))
    await world.run.advance(0.0)
    world.agrees()
    assert world.look().open == (0, 4, 1)
    assert (world.started, world.completed, world.failed) == (7, 2, 1)
    world.worker.dispatchers[0].stopping = True  # `check` takes nothing any more
    await world.run.advance(100.0)
    await world.publish(market.Order(n=2))
    assert world.look().open == (1, 4, 1)
    world.worker.dispatchers[0].stopping = False


async def test_a_run_that_goes_on_after_it_failed_completes_once(world: World) -> None:
    """A dead letter that is dropped or replayed, a gate that is decided."""
    await world.publish(market.Order(n=-1), market.Order(n=500))
    await world.run.advance(0.0)
    world.agrees()
    await world.run.replay(world.run.dead_letters[0], market.Order(n=3))
    await world.run.decide()
    world.agrees()
    assert (world.look().open, world.completed, world.failed) == ((0, 0, 0), 2, 1)


async def test_a_completed_run_tells_how_long_it_took(world: World) -> None:
    """From its first record to its last: the time a person took is in it, what came before it was looked at too."""
    await world.publish(market.Order(n=1))
    await world.run.advance(0.0)
    world.look()
    assert world.took == 0.0
    await world.publish(market.Order(n=500))
    await world.run.advance(5_000.0)
    world.look()
    assert world.took == 0.0
    late = Teller(market.app, world.bus)
    late.look()
    await world.run.decide()
    world.look()
    assert world.took == pytest.approx(5_000.0)
    late.look()
    assert late.look().completed == 1
    assert late.took.total == pytest.approx(5_000.0)
    assert late.look().completed == sum(late.took.counts) == 0


async def test_what_was_there_before_is_open_but_did_not_start_now(world: World) -> None:
    """A process that looks for the first time finds what is open, and counts what it sees completing."""
    await world.publish(market.Order(n=500), market.Order(n=-1), market.Order(n=1))
    await world.run.advance(0.0)
    late = Teller(market.app, world.bus)
    first = late.look()
    assert (first.started, first.completed, first.failed, first.open) == (0, 0, 0, (0, 1, 1))
    await world.run.decide()
    assert late.look().open == (0, 0, 1)
    assert late.look().completed == 1


async def test_a_repeat_of_a_completed_run_neither_starts_nor_completes_one(world: World) -> None:
    """The same record again, as an outbox sends it: steps run again, in the run that is there."""
    out, name = market.app.record(market.Order(n=1), now=world.bus.clock.now())
    world.names.append(name)
    for _ in range(3):
        await world.bus.publish([out])
        await world.run.advance(0.0)
        world.agrees()
    assert (world.started, world.completed) == (1, 1)


async def test_what_is_finished_above_an_open_record_is_not_open(world: World, tmp_path: Path) -> None:
    """One call lasts, those behind it are done: the progress of the partition says which."""
    await world.publish(market.Order(n=1, hold=str(tmp_path / "go")))
    await world.publish(*(market.Order(n=n) for n in (2, 3)))
    async with asyncio.timeout(20):
        while sum(world.runs.view(name).state == "completed" for name in world.names) < 2:
            await asyncio.sleep(0.01)
    world.agrees()
    assert (world.look().open, world.completed) == ((1, 0, 0), 2)
    (tmp_path / "go").touch()
    await world.run.advance(0.0)
    world.agrees()


async def test_a_run_that_another_app_began_starts_here_when_it_comes_here(world: World) -> None:
    """Two apps on one file: each counts the run once, though it has one number."""
    out, name = market.app.record(market.Order(n=1), now=1.0)
    await world.bus.create({"elsewhere": 1})
    await world.bus.publish([Out("elsewhere", "k", {"ce_swrun": name}, b"{}")])
    assert world.look() == Tally()
    await world.bus.publish([out])
    await world.run.advance(0.0)
    world.look()
    assert (world.started, world.completed) == (1, 1)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
async def test_any_history_is_counted_as_its_runs_are(world: World, seed: int) -> None:
    """Random events, decisions, replays, drops, answers and hours; after each the counts are the truth."""
    dice = random.Random(seed)
    for _ in range(40):
        number = str(dice.randrange(8))
        event = dice.choice([
            market.Order(n=dice.choice([-1, 0, 1, 500])), market.Charge(amount=1), market.Wish(what=number),
            market.Left(number=number), market.Right(number=number, bad=dice.random() < 0.3), market.Loud(card="c"),
        ])  # fmt: skip
        known = market.app.record(event, now=0.0)[1] in world.names
        if not known or world.runs.view(market.app.record(event, now=0.0)[1]).state != "completed":
            await world.publish(event)
        await world.run.advance(dice.choice([0.0, 0.0, 5.0, 700.0]))
        if world.run.dead_letters and dice.random() < 0.3:
            dead = dice.choice(world.run.dead_letters)
            await (world.run.drop(dead) if dice.random() < 0.5 else world.run.replay(dead))
        if world.run.gates and dice.random() < 0.3:
            await world.run.decide(dice.choice(world.run.gates), approved=dice.random() < 0.5)
        if world.run.unknown and dice.random() < 0.3:
            await world.run.resolve(dice.choice(world.run.unknown), "drop")
        world.agrees()


async def test_another_connection_to_the_same_file_sees_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a door does it: in a thread, over a connection of its own."""
    bus = LocalBus(str(tmp_path_factory.mktemp("tally") / "bus.db"))
    await bus.open()
    worker = Worker(market.app, bus)
    await worker.start()
    other = reader(bus)
    teller = Teller(market.app, other)
    assert await asyncio.to_thread(teller.look) == Tally()
    await bus.publish([market.app.record(market.Order(n=n), now=bus.clock.now())[0] for n in (1, 500)])
    await worker.settle()
    seen = await asyncio.to_thread(teller.look)
    assert (seen.started, seen.open) == (2, (0, 1, 0))
    other.store.close()
    await worker.stop()
    await bus.close()

"""Random wirings, random behaviour, random people: the kernel in memory against the reference interpreter."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import behaviour as b
from tests.properties import judges
from tests.properties.build import World
from tests.properties.features import features
from tests.properties.profiles import budget
from tests.properties.stage import Stage
from tests.properties.wirings import Plan, Style, plans

from stepwire import WiringError
from stepwire.bus.local import LocalBus
from stepwire.clock import VirtualClock

ODDS = b.Odds()
WANTED = (
    "merge",
    "gather",
    "head",
    "apart",
    "optional",
    "gate",
    "loop",
    "on_limit",
    "nested",
    "merge in a scatter",
    "order",
)
OUTSIDE = ("dedupe", "dropped", "repeated", "echo", "match", "inner", "runs")


async def trial(plan: Plan, seed: int, met: Counter[str]) -> list[str]:
    world, clock = World(plan, seed, ODDS), VirtualClock(1_000_000.0)
    async with Stage(world, LocalBus(clock=clock), clock, Random(seed)) as stage:
        await stage.play()
        wrong, wanted = await judges.everything(stage), judges.reference(stage)
        met.update(features(plan))
        met.update(["accepted", *{fact.error for fact in stage.called("dead_letter")}])
        met.update({"runs": len(stage.world.labels) > 1, "repeated": bool(stage.outside.repeated)})
        met.update({"dropped": bool(wanted.dropped), "late": bool(stage.skipped("late"))})
        wrong += judges.called_once(stage) + judges.dropped_once(stage, wanted)
        return wrong + judges.fired_once(stage, wanted)


def test_a_run_comes_to_what_the_interpreter_says() -> None:
    """Every run closes, every join fires once with the right items in order, every event is emitted exactly once."""
    met: Counter[str] = Counter()

    @given(plans(Style(timed=False, outside=True)), st.integers(0, 2**16))
    @budget(400)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, met))
        except WiringError:
            met["refused"] += 1
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert met["accepted"] > 0.4 * (met["accepted"] + met["refused"]), f"too few are accepted to prove much: {met}"
    troubles = ("Reject", "Surprise", "HandlerTimeout", "TooManyOutputs", "WrongReturn", "VisitLimit", "DecodeError")
    assert not [name for name in (*WANTED, *OUTSIDE, *troubles) if not met[name]], f"never met: {met}"


@pytest.mark.slow
def test_a_run_with_joins_that_depend_on_time() -> None:
    """With take, until, deadlines and parts that may be missing: what was called was allowed, all else is exact."""
    met: Counter[str] = Counter()

    @given(plans(Style(outside=True)), st.integers(0, 2**16))
    @budget(200)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert not [
        name for name in ("take", "until", "timeout", "partial", "go_without", "meet", *OUTSIDE) if not met[name]
    ], met


def test_a_run_with_effects_at_most_once() -> None:
    """Unknown outcomes, redone or dropped by a person, change nothing of what a run comes to."""
    met: Counter[str] = Counter()

    @given(plans(Style(timed=False, gates=False, once=True)), st.integers(0, 2**16))
    @budget(80)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert met["once"]


async def repeated(plan: Plan, seed: int, met: Counter[str]) -> list[str]:
    world, clock = World(plan, seed, b.Odds(0, 0)), VirtualClock(1_000_000.0)
    async with Stage(world, LocalBus(clock=clock), clock, Random(seed), freely=True) as stage:
        await stage.play()
        wrong, wanted = await judges.everything(stage), judges.reference(stage)
        again = {p.emit.path for p in stage.outside.published if stage.outside.published.count(p) > 1}
        met.update({"dropped": bool(wanted.dropped), "twice": any(n > 1 for n in wanted.emitted.values())})
        met.update({"in the middle": bool(wanted.dropped.keys() - _first(plan)), "at once": bool(again)})
        return wrong + judges.dropped_once(stage, wanted)


def _first(plan: Plan) -> set[str]:
    """The steps that take what is published."""
    return {step.name for event in (*plan.entries, *plan.inner) for step in b.steps_that_take(plan, event)}


def test_ids_that_come_again() -> None:
    """Whenever an id is published again: each `dedupe=` on its way drops it within its own window, and only then."""
    met: Counter[str] = Counter()

    @given(plans(Style(timed=False, gates=False, outside=True, joins=False)), st.integers(0, 2**16))
    @budget(100)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(repeated(plan, seed, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert not [name for name in ("dropped", "twice", "in the middle", "at once") if not met[name]], met

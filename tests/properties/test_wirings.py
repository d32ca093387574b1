"""Random wirings, random behaviour, random people: the kernel in memory against the reference interpreter."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.properties import behaviour as b
from tests.properties import judges
from tests.properties.build import World
from tests.properties.profiles import budget
from tests.properties.stage import Stage
from tests.properties.wirings import Plan, features, plans

from stepwire import WiringError
from stepwire.bus.local import LocalBus
from stepwire.clock import VirtualClock

ODDS = b.Odds()
WANTED = ("merge", "gather", "head", "optional", "gate", "loop", "on_limit", "nested", "merge in a scatter", "order")


async def trial(plan: Plan, seed: int, met: Counter[str]) -> list[str]:
    world, clock = World(plan, seed, ODDS), VirtualClock(1_000_000.0)
    async with Stage(world, LocalBus(clock=clock), clock, Random(seed)) as stage:
        await stage.play()
        wrong = await judges.everything(stage)
        met.update(features(plan))
        met.update(["accepted", *{fact.error for fact in stage.called("dead_letter")}])
        return wrong + judges.called_once(stage) + judges.fired_once(stage, judges.reference(stage))


def test_a_run_comes_to_what_the_interpreter_says() -> None:
    """Every run closes, every join fires once with the right items in order, every event is emitted exactly once."""
    met: Counter[str] = Counter()

    @given(plans(timed=False), st.integers(0, 2**16))
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
    assert not [name for name in (*WANTED, *troubles) if not met[name]], f"never met: {met}"


def test_a_run_with_joins_that_depend_on_time() -> None:
    """With take, until, deadlines and parts that may be missing: what was called was allowed, all else is exact."""
    met: Counter[str] = Counter()

    @given(plans(), st.integers(0, 2**16))
    @budget(200)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert not [name for name in ("take", "until", "timeout", "partial", "go_without") if not met[name]], met


def test_a_run_with_effects_at_most_once() -> None:
    """Unknown outcomes, redone or dropped by a person, change nothing of what a run comes to."""
    met: Counter[str] = Counter()

    @given(plans(timed=False, gates=False, once=True), st.integers(0, 2**16))
    @budget(80)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert met["once"]

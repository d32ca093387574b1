"""Everything at once: rare signatures and options together, small limits, workers that die, people who act in vain."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import behaviour as b
from tests.properties import judges
from tests.properties.build import World
from tests.properties.features import features
from tests.properties.profiles import budget
from tests.properties.rough import PickyBus, Rough, settings
from tests.properties.wirings import Plan, Style, plans

from stepwire import WiringError
from stepwire.clock import VirtualClock
from stepwire.dispatch import commit, loop

ODDS = b.Odds(answers=15)
STYLE = Style(outside=True, once=True, rough=True)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bus is back at once, so the worker need not pause before it tries again."""
    monkeypatch.setattr(commit, "PAUSE", 0.0)
    monkeypatch.setattr(loop, "RECONNECT", 0.0)
    return


async def trial(plan: Plan, seed: int, met: Counter[str]) -> list[str]:
    clock, dice = VirtualClock(1_000_000.0), Random(seed)
    refused, every, unknown = dice.choice((0, 0, 3)), dice.choice((0, 0, 3, 5)), dice.choice((0, 50))
    bus = PickyBus(clock, Random(seed), refused=refused, every=every, unknown=unknown)
    async with Rough(World(plan, seed, ODDS), bus, clock, dice, settings=settings(dice)) as stage:
        await stage.play()
        bus.heal()
        met.update(features(plan))
        met.update(["accepted", *{fact.error for fact in stage.called("dead_letter")}])
        met["deaths"] += stage.deaths
        met["aborted"] += bus.aborted
        met["refusals"] += bus.refusals
        return await judges.everything(stage)


@pytest.mark.slow
def test_a_run_on_which_nothing_goes_smoothly() -> None:
    """Whatever comes together: each run closes, each event is there exactly once, memory is what is stored."""
    met: Counter[str] = Counter()

    @given(plans(STYLE), st.integers(0, 2**16))
    @budget(150)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, met))
        except WiringError:
            met["refused"] += 1
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert not [name for name in ("once", "order", "deaths", "aborted", "JoinExpired") if not met[name]], met

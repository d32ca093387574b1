"""The same properties on a bus that aborts every k-th transaction, confirmed and unknown, while the worker lives."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import behaviour as b
from tests.properties import judges
from tests.properties.build import World
from tests.properties.faulty_bus import FaultyBus
from tests.properties.profiles import budget
from tests.properties.stage import Stage
from tests.properties.wirings import Plan, Style, plans

from stepwire import WiringError
from stepwire.clock import VirtualClock
from stepwire.dispatch import commit, loop

ODDS = b.Odds()
Judge = Callable[[Stage], list[str]]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bus is back at once, so the worker need not pause before it tries again."""
    monkeypatch.setattr(commit, "PAUSE", 0.0)
    monkeypatch.setattr(loop, "RECONNECT", 0.0)
    return


async def trial(plan: Plan, seed: int, every: int, unknown: int, met: Counter[str], *also: Judge) -> list[str]:
    clock = VirtualClock(1_000_000.0)
    bus = FaultyBus(clock, Random(seed), every=every, unknown=unknown)
    async with Stage(World(plan, seed, ODDS), bus, clock, Random(seed)) as stage:
        await stage.play()
        bus.heal()
        met["aborted"] += bus.aborted
        return [*await judges.everything(stage), *(line for judge in also for line in judge(stage))]


def test_a_confirmed_abort_calls_nobody_again() -> None:
    """After a confirmed abort without a rebalance the same results are written; no call is made twice."""
    met: Counter[str] = Counter()

    @given(plans(Style(outside=True)), st.integers(0, 2**16), st.integers(2, 7))
    @budget(150)
    def each(plan: Plan, seed: int, every: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, every, 0, met, judges.called_once))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert met["aborted"] > 300, met  # what is drawn decides; usually about a thousand


def test_an_unknown_outcome_neither_loses_nor_doubles() -> None:
    """After commits of which nobody knows whether they happened, every event is there exactly once."""
    met: Counter[str] = Counter()

    @given(plans(Style(outside=True)), st.integers(0, 2**16), st.integers(2, 7), st.sampled_from([50, 100]))
    @budget(150)
    def each(plan: Plan, seed: int, every: int, unknown: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, every, unknown, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert met["aborted"] > 300, met  # what is drawn decides; usually about a thousand

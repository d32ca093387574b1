"""Two workers that exchange partitions at random: 3, 5 and 7 partitions, foreign keys, control topics really used."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import behaviour as b
from tests.properties import judges
from tests.properties.build import SETTINGS, World
from tests.properties.exchange import Exchange
from tests.properties.faulty_bus import FaultyBus
from tests.properties.profiles import budget
from tests.properties.stage import Stage
from tests.properties.wirings import Plan, Style, plans

from stepwire import WiringError
from stepwire.clock import VirtualClock
from stepwire.dispatch import commit, loop
from stepwire.telemetry import Assigned

ODDS = b.Odds()
APART = replace(SETTINGS, partitions=3, control_partitions=5)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bus is back at once, so the worker need not pause before it tries again."""
    monkeypatch.setattr(commit, "PAUSE", 0.0)
    monkeypatch.setattr(loop, "RECONNECT", 0.0)
    return


async def trial(plan: Plan, seed: int, every: int, met: Counter[str]) -> list[str]:
    clock, dice = VirtualClock(1_000_000.0), Random(seed)
    bus = FaultyBus(clock, Random(seed + 1), every=every, unknown=50, split=Exchange(Random(seed + 2)))
    stage = Stage(World(plan, seed, ODDS), bus, clock, dice, workers=2, settings=APART)
    often = dice.choice((0.0, 0.01, 0.05))

    def exchange() -> None:
        if dice.random() < often:
            bus.rebalance(dice.choice(sorted(bus._groups)))

    stage.disturb = exchange
    async with stage:
        await stage.play()
        often = 0.0
        bus.heal()
        met["exchanged"] += sum(isinstance(fact, Assigned) and fact.kind == "revoked" for fact in stage.facts)
        met["aborted"] += bus.aborted
        return await judges.everything(stage)


@pytest.mark.slow
def test_partitions_that_change_hands_lose_and_double_nothing() -> None:
    """Whoever owns which partition when: every event exactly once, every join closed, memory as stored."""
    met: Counter[str] = Counter()

    @given(plans(Style(outside=True)), st.integers(0, 2**16), st.sampled_from([0, 2, 3]))
    @budget(100)
    def each(plan: Plan, seed: int, every: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, every, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert met["exchanged"] > 150, met
    assert met["aborted"] > 100, met


def test_effects_at_most_once_while_partitions_change_hands() -> None:
    """Claims that another worker finds are unknown outcomes; once a person has resolved them nothing is missing."""
    met: Counter[str] = Counter()

    @given(plans(Style(timed=False, gates=False, once=True)), st.integers(0, 2**16))
    @budget(40)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed, 0, met))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()
    assert met["exchanged"] > 100, met

"""A bus that aborts transactions while the worker lives: outputs are the same, none twice, memory is what is stored."""

from __future__ import annotations

import asyncio

import pytest
from tests.wirings.faulty_bus import FaultyBus
from tests.wirings.test_wirings import _memory_is_what_is_stored, trial

from stepwire.clock import VirtualClock
from stepwire.dispatch import commit, loop

SEEDS = range(0, 120, 3)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat a confirmed abort at once."""
    monkeypatch.setattr(commit, "PAUSE", 0.0)
    monkeypatch.setattr(loop, "RECONNECT", 0.0)


async def aborted(seed: int, every: int, *, unknown: bool, broken: bool = False) -> tuple[int, bool, bool]:
    """How many transactions failed, whether the outputs are right, whether nothing was called twice."""
    bus = FaultyBus(every, seed, unknown=unknown, clock=VirtualClock(1_000.0), broken=broken)
    outcome = await trial(seed, bus)
    if outcome is None:
        return 0, True, True
    tried, reference, calls = outcome
    try:
        if not broken:
            _memory_is_what_is_stored(tried)
            assert tried.run.state == "completed"
        return bus.aborted, tried.emitted == reference.emitted, calls == reference.calls
    finally:
        await tried.run.close()


@pytest.mark.parametrize("every", [2, 3, 7])
def test_a_confirmed_abort_repeats_the_results_and_calls_nobody_twice(every: int) -> None:
    """R11: the same results again; a model call that was paid for is not paid twice."""
    total = 0
    for seed in SEEDS:
        failed, right, once = asyncio.run(aborted(seed, every, unknown=False))
        assert right, seed
        assert once, seed
        total += failed
    assert total > 20


@pytest.mark.parametrize("every", [3, 5])
def test_an_unknown_outcome_loses_nothing_and_doubles_nothing(every: int) -> None:
    """R11: memory is rebuilt from what is stored, whether the commit had happened or not."""
    total = 0
    for seed in SEEDS:
        failed, right, _ = asyncio.run(aborted(seed, every, unknown=True))
        assert right, seed
        total += failed
    assert total > 20


def test_the_judge_sees_a_bus_that_lies() -> None:
    """If an abort that was called confirmed was written all the same, outputs are there twice."""
    assert not all(asyncio.run(aborted(seed, 3, unknown=False, broken=True))[1] for seed in SEEDS)

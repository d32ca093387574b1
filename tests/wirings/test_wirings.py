"""Random wirings and random failures, against a reference interpreter that imports nothing of the kernel."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.wirings.build import Trial, app_of
from tests.wirings.interpreter import Interpreter
from tests.wirings.wirings import generate

from stepwire import WiringError
from stepwire.bus.local import LocalBus
from stepwire.clock import VirtualClock
from stepwire.state import Mailbox

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
EXAMPLES = settings(
    max_examples=20_000 if SOAK else 250, deadline=None, derandomize=not SOAK, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


async def trial(seed: int, bus: LocalBus | None = None) -> tuple[Trial, Interpreter, Counter[tuple[str, str]]] | None:
    """Run one random wiring on the kernel and in the interpreter; None if the wiring is refused."""
    wiring, calls = generate(seed), Counter[tuple[str, str]]()
    try:
        app = app_of(wiring, seed, calls)
    except WiringError:
        return None
    clock = VirtualClock(1_000.0)
    tried = Trial(app, bus or LocalBus(clock=clock), clock)
    begin = next(event for event in app.wiring.graph.entries if event.__name__ == "E0")
    await tried.to_the_end(begin(p="start"))
    reference = Interpreter(wiring, seed)
    reference.run()
    return tried, reference, calls


async def check(seed: int) -> None:
    outcome = await trial(seed)
    if outcome is None:
        return
    tried, reference, calls = outcome
    try:
        assert tried.emitted == reference.emitted
        assert calls == reference.calls
        assert tried.run.state == "completed"
        assert not tried.duplicates
        assert not tried.leftovers()
        _memory_is_what_is_stored(tried)
    finally:
        await tried.run.close()


def _memory_is_what_is_stored(tried: Trial) -> None:
    for dispatcher in tried.worker.dispatchers:
        number, _ = tried._bus.store.group(dispatcher.step.group)
        for mailbox in dispatcher.committer.mailboxes.values():
            fresh = Mailbox(mailbox.partition)
            for key, raw in tried._bus.store.state(number, mailbox.partition, "", 100_000):
                fresh.put(key, raw)
            assert fresh.items == mailbox.items
            assert fresh.joins.keys() == mailbox.joins.keys()
            assert fresh.verdicts == mailbox.verdicts


@given(seed=st.integers(0, 2**40))
@EXAMPLES
def test_every_run_closes_and_every_join_fires_once_with_the_right_items(seed: int) -> None:
    """Whatever the wiring and whatever fails: what is emitted and called is what the interpreter says, and it ends."""
    asyncio.run(check(seed))


def test_enough_of_the_random_wirings_are_accepted() -> None:
    """The property says something only if most wirings are not refused."""
    accepted = 0
    for seed in range(400):
        try:
            app_of(generate(seed), seed, Counter())
        except WiringError:
            continue
        accepted += 1
    assert accepted >= 200, accepted


def test_the_judge_can_fail() -> None:
    """An interpreter that forgets a rule (an empty scatter gathers nothing) disagrees with the kernel."""

    class Forgetful(Interpreter):
        def _scatter(self, step, kind, events, out, scope):  # type: ignore[no-untyped-def]
            super()._scatter(step, kind, events[:-1] or events, out + "x", scope)

    disagreed = 0
    for seed in range(60):
        outcome = asyncio.run(_outcome(seed))
        if outcome is not None:
            forgetful = Forgetful(generate(seed), seed)
            forgetful.run()
            disagreed += forgetful.emitted != outcome
    assert disagreed > 0


async def _outcome(seed: int) -> Counter[tuple[int, str]] | None:
    found = await trial(seed)
    if found is None:
        return None
    emitted = found[0].emitted
    await found[0].run.close()
    return emitted


if __name__ == "__main__":
    pytest.main([__file__])

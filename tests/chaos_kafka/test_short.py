"""A short chaos on Kafka: kill -9, a network that is cut, judged from outside; with a broken commit it must fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.brokers.plugin import OwnKafka
from tests.chaos_kafka import faults, trial
from tests.chaos_kafka.trial import Plan, Trial, bad
from tests.chaos_kafka.worker import SESSION

pytestmark = [pytest.mark.slow, pytest.mark.service("java"), pytest.mark.timeout(240)]


async def test_kill_9_loses_nothing_and_doubles_nothing(own_kafka: OwnKafka, tmp_path: Path) -> None:
    """Workers that die in the middle of calls lose no event, double none, and keep order and joins right."""
    plan = Plan(events=1_500, rate=50.0, workers=2, kills=4, every=8.0, seed=11)
    counts = await Trial(own_kafka(), tmp_path, plan, lambda _: None).run(tmp_path)
    assert not bad(counts), counts
    assert (counts["published"], counts["outputs"], counts["kills"]) == (1_500, 3_000, 4)


async def test_the_judge_sees_offsets_beside_the_transaction(
    own_kafka: OwnKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offsets that are committed after the outputs, not with them: a kill between the two doubles outputs."""
    monkeypatch.setattr(trial, "STALLED", 15.0)  # what it loses never comes, so it is not waited for
    monkeypatch.setattr(trial, "SETTLING", 3)
    plan = Plan(events=600, rate=40.0, workers=2, kills=4, every=4.0, seed=12, broken="offsets")
    counts = await Trial(own_kafka(), tmp_path, plan, lambda _: None).run(tmp_path)
    assert counts["duplicated"] > 0, counts


async def test_a_network_that_is_cut_loses_nothing(
    own_kafka: OwnKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that nobody hears for three of its sessions gives up nothing of its own and doubles nothing after."""
    monkeypatch.setattr(faults, "CUT", 3 * SESSION)
    plan = Plan(events=1_200, rate=40.0, workers=2, kills=0, every=1.0, seed=13, others=("cut",))
    counts = await Trial(own_kafka(), tmp_path, plan, lambda _: None).run(tmp_path)
    assert not bad(counts), counts
    assert (counts["outputs"], counts["stuck"]) == (2_400, 0)
    assert counts["held"] > 0  # the worker did speak through the relay

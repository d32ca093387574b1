"""A short chaos: 200 events and 5 x kill -9, judged from outside; and with a broken commit, which must fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.run import bad, chaos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def surroundings_as_they_were() -> Iterator[None]:
    """The flows read their surroundings from the environment, which is given back afterwards."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ |= before


async def test_nothing_is_lost_and_nothing_twice_whatever_is_killed(tmp_path: Path) -> None:
    """Every published run ends, or waits for a person because a kill fell into its effect; nothing is there twice."""
    counts = await chaos(tmp_path, events=200, kills=5, seed=11, every=4.0, quiet=True)
    assert not bad(counts), counts
    assert counts["published"] == 220
    assert counts["kills"] == 5


async def test_the_judge_sees_a_commit_in_the_wrong_order(tmp_path: Path) -> None:
    """Outputs written before what says that they are written: after a kill they are there twice."""
    counts = await chaos(tmp_path, events=100, kills=6, seed=12, every=5.0, broken=True, quiet=True)
    assert counts["outputs_twice"] + counts["effects_twice"] + counts["lost"] > 0, counts

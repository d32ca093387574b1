"""What the load on a door says of its memory; the load itself is no test, for a busy machine would decide about it."""

from __future__ import annotations

import pytest
from tests.door.load import FLAT, Verdict, growth, judged


def test_a_leak_shows_while_a_door_is_filled_and_after_it() -> None:
    """512 bytes for each event."""
    early, late = growth([(500.0 * n, 80.0 + 500 * n * 512 / 2**20) for n in range(101)])
    assert early == pytest.approx(512.0)
    assert late == pytest.approx(512.0)


def test_what_fills_a_door_shows_first_only() -> None:
    """Memory that grows up to 100 MB and no further."""
    early, late = growth([(500.0 * n, min(60.0 + 1.5 * n, 100.0)) for n in range(101)])
    assert early > 1_000
    assert late == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("second", range(41, 100))
def test_one_late_step_is_no_leak(second: int) -> None:
    """2 MB at any second of the minute keep the bar."""
    assert growth([(500.0 * n, 80.0 + 2.0 * (n >= second)) for n in range(101)])[1] < FLAT


GOOD = Verdict(50_000, 0, 2.0, 99.0, 1.0, 70.0, 72.0, 300.0, 20.0)


@pytest.mark.parametrize(
    ("verdict", "total", "bars"),
    [
        (GOOD, 50_000, "pass pass pass"), (GOOD._replace(failed=1), 50_000, "fail pass pass"),
        (GOOD._replace(sent=49_999), 50_000, "fail pass pass"), (GOOD._replace(p99_ms=100.0), 50_000, "pass fail pass"),
        (GOOD._replace(late_bytes=512.0), 50_000, "pass pass fail"),
        (GOOD._replace(sent=20_500, late_bytes=512.0), 20_500, "pass pass skip"),
    ],
)  # fmt: skip
def test_each_bar_is_judged(verdict: Verdict, total: int, bars: str) -> None:
    """None failed or lost, 99 of 100 in time, memory flat once there were enough events to tell."""
    assert [bar for bar, _ in judged(verdict, total)] == bars.split()

"""From the figures of several rounds to spreads, ratios and verdicts.

In: for each measure and field one value per round. Out: median with lowest and highest, and for each bar a
ratio: each round gives one, of figures taken one after another, so that a slow minute of the machine slows
both sides; their median is judged.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.bars import SMALLER_IS_BETTER, Bar

Figures = Mapping[str, Mapping[str, Sequence[float]]]  #: measure -> field -> one value per round


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar, and what came of it."""

    claim: str
    relation: str
    factor: float
    ratio: Spread
    passed: bool
    reason: str


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest. Raises ValueError without any value."""
    if not values:
        raise ValueError("no value to take a median of: the measure was never run")
    return Spread(statistics.median(values), min(values), max(values))


def judge(bar: Bar, figures: Figures) -> Verdict:
    """Whether the bar is cleared; exactly on it is cleared."""
    ours = figures[bar.measure][bar.field]
    name, theirs = _opponent(bar, figures, rounds=len(ours))
    ratio = spread([mine / other for mine, other in zip(ours, theirs, strict=True)])
    passed = ratio.median >= bar.factor if bar.relation == "at least" else ratio.median <= bar.factor
    claim = f"{bar.measure}: {bar.field} {bar.relation} {bar.factor:g} x {name}"
    return Verdict(claim, bar.relation, bar.factor, ratio, passed, bar.reason)


def _opponent(bar: Bar, figures: Figures, rounds: int) -> tuple[str, Sequence[float]]:
    """Against whom: the fixed figure in every round, or the best of the measures by its median."""
    if isinstance(bar.against, float):
        return f"{bar.against:g}", [bar.against] * rounds
    best = min if bar.field in SMALLER_IS_BETTER else max
    name = best(bar.against, key=lambda measure: statistics.median(figures[measure][bar.field]))
    return name, figures[name][bar.field]

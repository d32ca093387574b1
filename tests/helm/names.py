"""Which metrics an expression asks for, and which of them there are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stepwire_handlers.telemetry import runs
from stepwire_handlers.telemetry.metrics import BUILD, COUNTERS, GAUGES, HISTOGRAMS

EXISTING = (
    {f"{family.name}_total" for family in (*COUNTERS, *runs.COUNTERS)}
    | {f"{family.name}_{part}" for family in HISTOGRAMS for part in ("bucket", "sum", "count")}
    | {family.name for family in (*GAUGES, *runs.FAMILIES) if family.kind == "gauge"}
    | {f"{BUILD.name}_info"}
)
NAME = re.compile(r"\b((?:[a-z]+:)?(?:stepwire|gen_ai)_[a-z_0-9:]+)\b(?![\"=!])")
LABELS = {label for family in (*COUNTERS, *HISTOGRAMS, *GAUGES, *runs.FAMILIES) for label in family.labels}


def names(expressions: Iterable[str]) -> set[str]:
    """The metrics that expressions ask for."""
    return {name for one in expressions for name in NAME.findall(one)} - LABELS


def unknown_names(expressions: Iterable[str]) -> set[str]:
    """Those that no worker or door has."""
    return names(expressions) - EXISTING

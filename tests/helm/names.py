"""Which metrics an expression asks for, and which of them there are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stepwire_handlers.telemetry import console, door, runs, tools
from stepwire_handlers.telemetry.metrics import BUILD, BUILDS, COUNTERS, GAUGES, HISTOGRAMS
from stepwire_handlers.telemetry.series import Family

#: every family that a worker, a door, a console or an MCP server has
FAMILIES = (*COUNTERS, *HISTOGRAMS, *GAUGES, BUILD, *runs.FAMILIES, *door.FAMILIES, *console.FAMILIES, *tools.FAMILIES)


def series(family: Family) -> set[str]:
    """What Prometheus calls the series of a family."""
    if family.kind == "histogram":
        return {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    suffix = "_total" if family.kind == "counter" else "_info" if family in BUILDS else ""
    return {f"{family.name}{suffix}"}


EXISTING = {name for family in FAMILIES for name in series(family)}
NAME = re.compile(r"\b((?:[a-z]+:)?(?:stepwire|gen_ai)_[a-z_0-9:]+)\b(?![\"=!])")
LABELS = {label for family in FAMILIES for label in family.labels}


def names(expressions: Iterable[str]) -> set[str]:
    """The metrics that expressions ask for."""
    return {name for one in expressions for name in NAME.findall(one)} - LABELS


def unknown_names(expressions: Iterable[str]) -> set[str]:
    """Those that no worker, door, console or MCP server has."""
    return names(expressions) - EXISTING

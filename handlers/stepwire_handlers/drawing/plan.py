"""What an app needs on its bus, and what of it is there.

In: an app, settings, an open bus. Out: a row for each topic. A topic that exists with fewer partitions than planned
would grow; one that has more is left alone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from stepwire import App, Settings
from stepwire.bus.protocol import Bus
from stepwire.dispatch.step import control_topic, dead_letter_topic, runs_topic
from stepwire.worker import topics_of

Kind = Literal["business", "control", "dlt", "runs"]


class Planned(NamedTuple):
    """One topic of an app."""

    topic: str
    kind: Kind
    partitions: int  #: that it should have
    exists: int  #: partitions that it has; 0: it is missing


async def plan(app: App, settings: Settings, bus: Bus | None) -> list[Planned]:
    """Every topic, business topics first; without a bus nothing exists yet."""
    wanted = topics_of(app, settings)
    known = await bus.describe(list(wanted)) if bus is not None else {}
    kinds: dict[str, Kind] = {control_topic(app.name, handler.name): "control" for handler in app.runnable}
    kinds |= {dead_letter_topic(app.name, handler.name): "dlt" for handler in app.runnable}
    kinds[runs_topic(app.name)] = "runs"
    order = ("business", "control", "dlt", "runs")
    rows = [
        Planned(name, kinds.get(name, "business"), count, known[name].partitions if name in known else 0)
        for name, count in wanted.items()
    ]
    return sorted(rows, key=lambda row: (order.index(row.kind), row.topic))


def lacking(rows: list[Planned]) -> list[str]:
    """What must be applied, in words."""
    return [
        f"{row.topic} is missing"
        if not row.exists
        else f"{row.topic} has {row.exists} partitions, not {row.partitions}"
        for row in rows
        if row.exists < row.partitions
    ]

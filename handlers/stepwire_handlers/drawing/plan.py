"""What an app needs on its bus, and what of it is there.

In: an app, settings, an open local bus or none. Out: a row for each topic. On Kafka (`cluster.planning`) there are
more: those that the bus itself keeps, and how each must be configured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from stepwire import App, Settings
from stepwire.bus.local import LocalBus
from stepwire.dispatch.step import control_topic, dead_letter_topic, runs_topic
from stepwire.worker import topics_of

Kind = Literal["business", "control", "state", "dlt", "runs", "wiring"]
ORDER: tuple[Kind, ...] = ("business", "control", "state", "dlt", "runs", "wiring")


class Planned(NamedTuple):
    """One topic of an app."""

    topic: str  #: its name on the cluster, with the environment's prefix
    kind: Kind
    partitions: int  #: that it should have
    exists: int = 0  #: partitions that it has; 0: it is missing, or nobody looked
    config: Mapping[str, str] = {}  #: Kafka's configuration of it, by Kafka's names

    @property
    def is_fixed(self) -> bool:
        """May the number of its partitions never change? Keys of state lie where their number put them."""
        return self.kind in ("control", "state")


async def plan(app: App, settings: Settings, bus: LocalBus | None) -> list[Planned]:
    """Every topic on the local bus, business topics first; without a bus nothing exists yet."""
    wanted = topics_of(app, settings)
    known = await bus.describe(list(wanted)) if bus is not None else {}
    kinds = kinds_of(app)
    return in_order(
        Planned(name, kinds.get(name, "business"), count, known[name].partitions if name in known else 0)
        for name, count in wanted.items()
    )


def lacking(rows: list[Planned]) -> list[str]:
    """What `topics apply` makes, in words."""
    return [
        f"{row.topic} is missing"
        if not row.exists
        else f"{row.topic} has {row.exists} partitions, not {row.partitions}"
        for row in rows
        if row.exists < row.partitions
    ]


def kinds_of(app: App) -> dict[str, Kind]:
    """Topic -> what it is for; all others are business topics."""
    found: dict[str, Kind] = {runs_topic(app.name): "runs", f"{app.name}.wiring": "wiring"}
    for handler in app.runnable:
        control = control_topic(app.name, handler.name)
        found[control] = "control"
        found[control.removesuffix(".control") + ".state"] = "state"
        found[dead_letter_topic(app.name, handler.name)] = "dlt"
    return found


def in_order(rows: Iterable[Planned]) -> list[Planned]:
    """Business topics first."""
    return sorted(rows, key=lambda row: (ORDER.index(row.kind), row.topic))

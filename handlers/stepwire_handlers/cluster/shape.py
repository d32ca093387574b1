"""Are the topics that are there what the app needs? Judged from the plan and the cluster's configuration.

In: planned topics, an app, what the cluster says. Out: findings, each with its cure. A problem refuses: going on would
lose or hide something. A warning is somebody else's topic that may be deliberately so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stepwire import App, Settings
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.dispatch.step import join_rules
from stepwire.wiring.graph import AnyHandler
from stepwire_handlers.cluster.asking import asking, configurations
from stepwire_handlers.drawing.plan import Planned

RETENTION, CLEANUP, LARGEST = "retention.ms", "cleanup.policy", "max.message.bytes"
FOREVER = -1
Config = Mapping[str, str]


class Finding(NamedTuple):
    """What is wrong with one topic."""

    topic: str
    problem: str
    cure: str
    refuses: bool = True  #: else it is a warning

    def __str__(self) -> str:
        return f"{self.topic} {self.problem}; {self.cure}"


async def findings(app: App, settings: Settings, rows: list[Planned], bus: KafkaBus, name: str) -> list[Finding]:
    """Everything that is wrong. `name` is how the app is named on the command line."""
    async with asking(bus) as connection:
        there = await configurations(connection, [row.topic for row in rows if row.exists])
    needed = {bus.cluster_name(topic): seconds for topic, seconds in kept_for(app, settings).items()}
    return judged(rows, there, needed, name)


def judged(
    rows: list[Planned], there: Mapping[str, Config], needed: Mapping[str, float], name: str
) -> list[Finding]:  # fmt: skip
    """What is wrong, without asking anybody."""
    found: list[Finding] = []
    for row in rows:
        if not row.exists:
            found.append(Finding(row.topic, "is missing", f"run: stepwire topics apply {name}"))
            continue
        if row.is_fixed and row.exists != row.partitions:
            found.append(_other_count(row))
        if row.topic in there:
            found += _configured(row, there[row.topic], needed.get(row.topic, 0.0))
    if hidden := [row.topic for row in rows if row.exists and row.topic not in there]:
        said = f"may not be looked at, as {len(hidden)} topics: their configuration is not known"
        cure = "give this user DescribeConfigs, or let somebody else check; a worker works without it"
        found.append(Finding(hidden[0], said, cure, False))
    return found


def kept_for(app: App, settings: Settings) -> dict[str, float]:
    """Business topic -> seconds that a record of it may be needed: until its deliveries ended, or its joins closed."""
    found: dict[str, float] = {}
    for handler in app.runnable:
        seconds = _needs(app, handler, settings)
        for event in handler.signature.taken:
            found[event.spec.topic] = max(seconds, found.get(event.spec.topic, 0.0))
    return found


def _needs(app: App, handler: AnyHandler, settings: Settings) -> float:
    """A join or gate until its deadline: whoever looks at the run reads its parts there. Others until the last try."""
    if handler.signature.is_join:
        return max(join_rules(handler, settings, app.wiring).timeout, settings.newer_type_wait)
    attempts = settings.attempts
    waits: float = sum(min(settings.backoff * 2.0**n, settings.backoff_cap) for n in range(attempts))
    return max(attempts * (handler.options.timeout or settings.timeout) + waits, settings.newer_type_wait)


def _other_count(row: Planned) -> Finding:
    return Finding(
        row.topic,
        f"has {row.exists} partitions, not {row.partitions}: that number says where each key of state lies",
        f"set worker.control_partitions to {row.exists}, or, once nothing is open, delete the handler's .control and "
        f".state and apply again",
    )


def _configured(row: Planned, config: Config, needed: float) -> list[Finding]:
    policies = set(config.get(CLEANUP, "delete").split(","))
    wanted = row.config.get(CLEANUP, "delete")
    found: list[Finding] = []
    if policies != {wanted}:
        why = "would keep only the last record of each key" if wanted == "delete" else "would delete what is still true"
        found.append(
            Finding(row.topic, f"has cleanup.policy={config.get(CLEANUP)}, which {why}", _alter(row, CLEANUP, wanted))
        )
    found += _retained(row, config, needed)
    largest = int(config.get(LARGEST) or 0)
    if largest < int(row.config.get(LARGEST, 0)):
        text = f"takes records up to {largest} bytes only; larger entries and dead letters do not fit"
        found.append(Finding(row.topic, text, _alter(row, LARGEST, row.config[LARGEST]), False))
    return found


def _retained(row: Planned, config: Config, needed: float) -> list[Finding]:
    kept = int(config.get(RETENTION) or FOREVER)
    if kept == FOREVER or row.config.get(CLEANUP) == "compact":
        return []
    if row.kind == "control":
        text = f"has retention.ms={kept}: what waits longer for a worker is lost"
        return [Finding(row.topic, text, _alter(row, RETENTION, "-1"))]
    least = int(row.config.get(RETENTION, needed * 1000))
    if kept >= least:
        return []
    what = "its dead letters and ends" if row.kind in ("dlt", "runs") else "the gates, joins and retries that read it"
    text = f"has retention.ms={kept} ({_span(kept)}), and {what} need {least} ({_span(least)})"
    return [Finding(row.topic, text, _alter(row, RETENTION, str(least)), False)]


def _span(milliseconds: int) -> str:
    hours = milliseconds / 3_600_000
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:.3g} h"


def _alter(row: Planned, name: str, value: str) -> str:
    return f"run: kafka-configs.sh --alter --entity-type topics --entity-name {row.topic} --add-config {name}={value}"

"""What an app needs on Kafka: its topics with the prefix of the environment, those that the bus keeps among them."""

from __future__ import annotations

from stepwire import App, Settings
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.topics import plan as specs
from stepwire.worker import topics_of
from stepwire_handlers.drawing.plan import Planned, in_order, kinds_of


def planned_on_kafka(app: App, settings: Settings, prefix: str) -> list[Planned]:
    """Every topic, with its configuration; no cluster is asked."""
    kinds = kinds_of(app)
    return in_order(
        Planned(prefix + name, kinds.get(name, "business"), spec.partitions, config=dict(spec.config))
        for name, spec in specs(topics_of(app, settings)).items()
    )


async def plan_on_kafka(app: App, settings: Settings, bus: KafkaBus) -> list[Planned]:
    """The same, with what is there."""
    rows = planned_on_kafka(app, settings, bus.prefix)
    known = await bus.describe([bus.own_name(row.topic) for row in rows])
    there = {bus.cluster_name(name): info.partitions for name, info in known.items()}
    return [row._replace(exists=there.get(row.topic, 0)) for row in rows]

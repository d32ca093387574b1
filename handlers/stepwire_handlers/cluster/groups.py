"""The consumer groups of an app on Kafka: one for each handler, and those that former releases left."""

from __future__ import annotations

from stepwire import App
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.topics import groups
from stepwire.dispatch.step import group_name
from stepwire_handlers.cluster.asking import asking, group_seen
from stepwire_handlers.services.groups import Row, handlers_of


async def groups_on_kafka(app: App, bus: KafkaBus) -> list[Row]:
    """A row for each. Raises BusUnavailable."""
    found: list[Row] = []
    async with asking(bus) as connection:
        every = [bus.own_name(name) for name in await groups(connection) if name.startswith(bus.prefix)]
        for handler, in_app in handlers_of(app, every):
            group = group_name(app.name, handler)
            progress = await bus.progress(group)
            ends = await bus.ends([*{place.topic for place in progress}])
            behind = sum(max(0, end - progress[place].watermark) for place, end in ends.items() if place in progress)
            seen = await group_seen(connection, bus.cluster_name(group))
            found.append(Row(bus.cluster_name(group), handler, in_app, [*seen.members], bool(progress), behind))
    return found

"""Where handlers start on Kafka that never read a topic (R15): progress stored for a group that nobody is in.

In: what was asked for, an app, an open bus whose topics exist. Out: committed offsets. After a kill the same command
goes on with the groups that have none yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepwire import App
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.connection import Connection
from stepwire.bus.kafka.groups import commit
from stepwire.bus.kafka.reader import EARLIEST, offsets
from stepwire.bus.kafka.wiring_topic import WiringTopic
from stepwire.bus.protocol import Partition, Progress
from stepwire.dispatch.step import group_name
from stepwire_handlers.cluster.asking import asking
from stepwire_handlers.services.starting import Start, Started, read_by

PATIENCE = 30.0  #: seconds for one group's coordinator


async def start_on_kafka(app: App, bus: KafkaBus, start: Start) -> list[Started]:
    """Store the start, for each handler in one request. Raises BusUnavailable, Fenced if somebody is in a group."""
    if start == "now":
        return []
    found: list[Started] = []
    born = await WiringTopic(bus, app.name).born()
    async with asking(bus) as connection:
        for handler, topics in read_by(app).items():
            group = group_name(app.name, handler)
            known = {place.topic for place in await bus.progress(group)}
            fresh = [topic for topic in topics if topic not in known and (group, topic) not in born]
            if fresh:
                places = await _places(connection, bus, fresh, start)
                await commit(connection, bus.cluster_name(group), places, PATIENCE)
                found += [Started(handler, topic) for topic in fresh]
    return found


async def _places(
    connection: Connection, bus: KafkaBus, topics: Sequence[str], start: Start
) -> Mapping[Partition, Progress]:
    """Where each partition starts, under its name on the cluster; at its end if nothing is that young."""
    ends = {bus.cluster_place(place): end for place, end in (await bus.ends(topics, PATIENCE)).items()}
    at = int(start * 1000) if isinstance(start, float) else EARLIEST
    found = await offsets(connection, [*ends], at)
    return {place: Progress(found[place] if found[place] >= 0 else end) for place, end in ends.items()}

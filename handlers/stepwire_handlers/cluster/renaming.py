"""A step gets another name on Kafka: progress moves from the old group to the new one, and survives kill -9.

The steps, in this order; each may be repeated:

1. Look: nobody in either group, nothing open under the old name, the new group has not worked.
2. Make the new handler's topics, and copy the events that it has seen (`dedupe=`).
3. Store the old progress for the new group, in one request, which the coordinator refuses if somebody is in it.
4. Note on `<app>.wiring` that this progress was moved. From here on a repeated move only finishes.
5. Note which topics the new group began to read, and that the old one no longer does (R15).
6. Delete the old group. If somebody came into it meanwhile, the new group is deleted instead, and the move refused.
7. Take the note of step 4 away.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepwire import App
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.connection import Connection
from stepwire.bus.kafka.groups import commit
from stepwire.bus.kafka.reader import latest
from stepwire.bus.kafka.wiring_topic import BORN, WiringTopic
from stepwire.bus.protocol import Out, Partition, Progress
from stepwire.dispatch.step import control_topic, dead_letter_topic, group_name
from stepwire.errors import SettingsError
from stepwire.event import digest
from stepwire.worker import topics_of
from stepwire_handlers.cluster.asking import asking, delete_group, group_seen
from stepwire_handlers.services.renaming import (
    Moved,
    check_left,
    check_names,
    check_topics,
    has_worked,
    kept,
    refuse_progress,
    unfinished,
)
from stepwire_handlers.services.starting import read_by

MOVED = "moved"
PAGE = 2_000  #: records of one transaction
MOST = 20_000  #: records that are looked at to say how many are left; one is enough to refuse


async def move_on_kafka(app: App, bus: KafkaBus, old: str, new: str) -> Moved:
    """Move. Raises SettingsError where it cannot be, BusUnavailable; after a kill the same command finishes it."""
    check_names(app, old, new)
    async with asking(bus) as connection:
        for name in (old, new):
            await _refuse_members(connection, bus.cluster_name(group_name(app.name, name)))
        return await Move(app, bus, connection, old, new).run()


async def _refuse_members(connection: Connection, group: str) -> None:
    if members := (await group_seen(connection, group)).members:
        raise SettingsError(
            f"{members[0]} is in group {group}; stop the app's workers, then move; nothing was moved. A worker that "
            f"was killed leaves its group after worker.session seconds"
        )


class Move:
    """One move, step by step."""

    def __init__(self, app: App, bus: KafkaBus, connection: Connection, old: str, new: str) -> None:
        self._app, self._bus, self._connection, self._old, self._new = app, bus, connection, old, new
        self._source, self._target = group_name(app.name, old), group_name(app.name, new)
        self._control, self._reads = control_topic(app.name, old), read_by(app)[new]
        self._wiring = f"{app.name}.wiring"
        self._note = f"{MOVED}/{old}/{new}"

    async def run(self) -> Moved:
        """All of it, or what an earlier one left."""
        before = await self._bus.progress(self._source)
        if not before:
            return await self._nothing_there()
        mine = {place: value for place, value in before.items() if place.topic in self._reads}
        notes = await WiringTopic(self._bus, self._app.name).read()
        if notes.get(self._note, b"").decode() == _mark(before):
            return await self._finish(before, Moved(len(mine), 0))
        after = await self._bus.progress(self._target)
        if has_worked(after) and any(after.get(place) != value for place, value in mine.items()):
            raise refuse_progress(self._new)
        seen = await self._look(before)
        await self._make_topics()
        await self._copy(seen)
        cluster = {self._bus.cluster_place(place): value for place, value in mine.items()}
        await commit(self._connection, self._bus.cluster_name(self._target), cluster, patience=30.0)  # 3
        await self._write({self._note: _mark(before)})  # 4
        return await self._finish(before, Moved(len(mine), len(seen)))

    async def _nothing_there(self) -> Moved:
        if not await self._bus.describe([self._control]):
            raise SettingsError(f"there is no group {self._source}; stepwire groups list shows those there are")
        if (await WiringTopic(self._bus, self._app.name).read()).get(self._note):
            await self._write({self._note: ""})  # killed between 6 and 7
        return Moved(0, 0, repeated=True)

    async def _look(self, before: Mapping[Partition, Progress]) -> dict[str, bytes]:
        """Step 1, what is open; the seen events that go along."""
        bus, behind, unread = self._bus, dict[str, int](), 0
        for place, value in before.items():
            if place.topic in self._reads:
                continue  # goes along, however much it is
            count = unfinished(await bus.read(place, value.watermark, MOST), value)
            if place.topic == self._control:
                unread += count
            else:
                behind[place.topic] = behind.get(place.topic, 0) + count
        state = bus.state_topic(self._control)
        rows = await latest(self._connection, await self._partitions(state))
        letters = dead_letter_topic(self._app.name, self._old)
        records = await bus.read(Partition(letters, 0), 0, 1 << 30) if await bus.describe([letters]) else ()
        left, seen = kept(rows.items(), records, unread)
        check_left(self._old, left)
        check_topics(self._old, self._new, behind)
        return seen

    async def _partitions(self, topic: str) -> list[Partition]:
        known = (await self._bus.describe([topic])).get(topic)
        return [Partition(self._bus.cluster_name(topic), n) for n in range(known.partitions if known else 0)]

    async def _make_topics(self) -> None:
        """Step 2: what `topics apply` would make for the new handler."""
        names = {control_topic(self._app.name, self._new), dead_letter_topic(self._app.name, self._new)}
        self._bus.creates_topics = True
        await self._bus.create({n: c for n, c in topics_of(self._app, self._app.settings).items() if n in names})

    async def _copy(self, seen: Mapping[str, bytes]) -> None:
        """Step 2: seen events, each into the partition where its event will be looked for."""
        if not seen:
            return
        target = self._bus.state_topic(control_topic(self._app.name, self._new))
        places = await self._partitions(self._bus.state_topic(self._control))
        count = len(await self._partitions(target))
        if count != len(places):
            raise SettingsError(
                f"{self._new} has {count} control partitions and {self._old} {len(places)}: what it has seen (dedupe=) "
                f"cannot be moved; nothing was moved. Set worker.control_partitions to {len(places)}"
            )
        for place in places:
            rows = await latest(self._connection, [place])
            outs = [Out(target, key, {}, raw, place.number) for key, raw in rows.items() if key in seen]
            for begin in range(0, len(outs), PAGE):
                await self._bus.publish(outs[begin : begin + PAGE])

    async def _finish(self, before: Mapping[Partition, Progress], moved: Moved) -> Moved:
        """Steps 5 to 7."""
        topics = {place.topic for place in before}
        await WiringTopic(self._bus, self._app.name).bear({(self._target, topic) for topic in topics & {*self._reads}})
        await self._write({f"{BORN}/{self._source}/{topic}": "" for topic in topics})
        if not await delete_group(self._connection, self._bus.cluster_name(self._source)):
            await delete_group(self._connection, self._bus.cluster_name(self._target))
            await self._write({self._note: "", **{f"{BORN}/{self._source}/{topic}": "1" for topic in topics}})
            raise SettingsError(
                f"a worker came into group {self._source} meanwhile; stop it, then move; nothing was moved"
            )
        await self._write({self._note: ""})
        return moved

    async def _write(self, notes: Mapping[str, str]) -> None:
        await self._bus.publish([Out(self._wiring, key, {}, value.encode(), 0) for key, value in notes.items()])


def _mark(progress: Mapping[Partition, Progress]) -> str:
    """What tells one state of progress from every other."""
    return digest(
        *(f"{topic}/{number}/{value.watermark}/{value.map}" for (topic, number), value in sorted(progress.items()))
    )

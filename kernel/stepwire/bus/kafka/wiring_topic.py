"""What an app's releases leave for the next one: a compacted topic with a few keys.

In: an app. Out: the table of owed slots that was stored with its last release, and which releases there were; which
groups ever began to read what.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from stepwire.bus.protocol import Out, Partition
from stepwire.jsontext import dump, load

if TYPE_CHECKING:
    from stepwire.bus.kafka.bus import KafkaBus

OWED, BORN = "owed", "born"


class WiringTopic:
    """The topic `<app>.wiring`."""

    def __init__(self, bus: KafkaBus, app: str) -> None:
        self._bus, self._topic = bus, f"{app}.wiring"

    async def read(self) -> dict[str, bytes]:
        """Every key and its latest value."""
        if not await self._bus.describe([self._topic]):
            return {}
        return {
            record.key or "": record.value for record in await self._bus.read(Partition(self._topic, 0), 0, 1 << 30)
        }

    async def table(self, key: str, table: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """The table that was stored there; one that is given and differs is stored instead."""
        stored = (await self.read()).get(key)
        before: Mapping[str, Sequence[str]] = load(stored) if stored else {}
        if table is not None and dump(table) != stored:
            await self._bus.publish([Out(self._topic, key, {}, dump(table), 0)])
        return before

    async def born(self) -> set[tuple[str, str]]:
        """(group, topic) of every group that ever began to read a topic (R15)."""
        keys = (key.split("/") for key, value in (await self.read()).items() if value)
        return {(rest[0], rest[1]) for kind, *rest in keys if kind == BORN and len(rest) == 2}

    async def bear(self, pairs: Collection[tuple[str, str]]) -> None:
        """Note that these groups began; an app without such a topic keeps no note."""
        if pairs and await self._bus.describe([self._topic]):
            await self._bus.publish(
                [Out(self._topic, f"{BORN}/{group}/{topic}", {}, b"1", 0) for group, topic in pairs]
            )

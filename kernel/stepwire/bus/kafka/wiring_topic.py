"""What an app's releases leave for the next one: a compacted topic with a few keys.

In: an app. Out: the table of owed slots that was stored with its last release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stepwire.bus.protocol import Out, Partition
from stepwire.jsontext import dump, load

if TYPE_CHECKING:
    from stepwire.bus.kafka.bus import KafkaBus

OWED = "owed"


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

    async def owed(self, table: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """The table that was stored; one that is given and differs is stored instead."""
        stored = (await self.read()).get(OWED)
        before: Mapping[str, Sequence[str]] = load(stored) if stored else {}
        if table is not None and dump(table) != stored:
            await self._bus.publish([Out(self._topic, OWED, {}, dump(table), 0)])
        return before

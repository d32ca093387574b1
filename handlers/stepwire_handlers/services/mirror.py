"""An app's topics on Kafka, followed into a local file: what commands and pages look at.

In: a Kafka bus and an app. Out: the same file as the local bus writes, so everything that reads runs, gates and dead
letters reads it unchanged; what is written goes to the cluster. The file can be lost, and is then built anew.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from stepwire import App
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.wiring_topic import WiringTopic
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Membership, Out, Partition, TopicInfo
from stepwire.errors import OutcomeUnknown
from stepwire.worker import topics_of
from stepwire_handlers.services.copies import Copy
from stepwire_handlers.services.following import Follower

PATIENCE = 30.0  #: seconds for the file to show what was published here


class Mirror(LocalBus):
    """What an app has on Kafka, as a local file shows it."""

    def __init__(self, kafka: KafkaBus, app: App, folder: Path) -> None:
        name = hashlib.blake2b(
            f"{kafka.options['bootstrap_servers']}|{kafka.prefix}|{app.name}".encode(), digest_size=8
        )
        super().__init__(str(folder / f"{name.hexdigest()}.db"))
        self._kafka, self._app = kafka, app
        self._copy: Copy | None = None
        self._follower: Follower | None = None

    async def open(self) -> None:
        """Connect, and follow up to the present end. Raises BusError."""
        await self._kafka.open()
        try:
            topics = await self._kafka.describe([*self._wanted()])
            self._copy = await Copy.begin(
                self.path, self._kafka, self._app, {n: i.partitions for n, i in topics.items()}
            )
            await self._copy.catch_up()
            await super().open()
        except BaseException:
            await self._let_go()
            raise
        self._follower = Follower(self._copy, self._app.name)

    def _wanted(self) -> Iterator[str]:
        for topic in topics_of(self._app, self._app.settings):
            yield topic
            if topic.endswith(".control"):
                yield self._kafka.state_topic(topic)

    async def close(self) -> None:
        """Stop following."""
        if self._follower is not None:
            await self._follower.close()
        await super().close()
        await self._let_go()

    async def _let_go(self) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            await copy.close()
        await self._kafka.close()

    def follows(self) -> bool:
        """Is Kafka in reach, as far as following tells? It does not ask; see `following.FRESH`."""
        return self._follower is not None and self._follower.follows()

    # -- what the cluster knows better

    async def create(self, topics: Mapping[str, int]) -> None:
        """On the cluster."""
        await self._kafka.create(topics)

    async def describe(self, topics: Sequence[str]) -> Mapping[str, TopicInfo]:
        """On the cluster."""
        return await self._kafka.describe(topics)

    async def found(self, groups: Mapping[str, Sequence[str]]) -> None:
        """On the cluster."""
        await self._kafka.found(groups)

    async def unfinished(self, prefix: str, known: Collection[str]) -> Mapping[str, tuple[int, int]]:
        """On the cluster."""
        return await self._kafka.unfinished(prefix, known)

    async def remember(self, app: str, table: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """On the cluster."""
        return await self._kafka.remember(app, table)

    async def left(self) -> Mapping[str, bytes]:
        """What the app's releases left on the cluster: every key of its wiring topic and the latest value."""
        return await WiringTopic(self._kafka, self._app.name).read()

    async def join(self, group: str, topics: Sequence[str], control: str) -> Membership:  # type: ignore[override]
        """On the cluster."""
        return await self._kafka.join(group, topics, control)

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """To the cluster; returns once the file shows it.

        Raises BusUnavailable: nothing was written; OutcomeUnknown: perhaps, or it was and is not seen here.
        """
        places = await self._kafka.publish(outputs)
        assert self._follower is not None
        try:
            async with asyncio.timeout(PATIENCE):
                await self._follower.shows(places)
        except TimeoutError:
            raise OutcomeUnknown("it was written, but is not seen here yet") from None
        return places

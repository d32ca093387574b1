"""How two workers share the partitions of every group, anew at random: a `split` for the local bus."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.properties.build import World, topic_of

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition

COUNTS = (3, 5, 7)  #: partitions of the business topics, in turn


class Exchange:
    """Shares partitions out by throws of dice."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def __call__(self, partitions: Sequence[Partition], members: int) -> list[frozenset[Partition]]:
        shares: list[set[Partition]] = [set() for _ in range(members)]
        for partition in partitions:
            shares[self._dice.randrange(members)].add(partition)
        return [frozenset(share) for share in shares]


async def create_topics(bus: LocalBus, world: World) -> None:
    """Business topics with different numbers of partitions."""
    topics = sorted({topic_of(world.plan, event) for event in range(world.plan.events)})
    await bus.create({topic: COUNTS[number % len(COUNTS)] for number, topic in enumerate(topics)})

"""A bus that aborts every k-th transaction while the worker lives: surely not done, or nobody knows."""

from __future__ import annotations

import random

from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Transaction
from stepwire.clock import Clock
from stepwire.errors import BusUnavailable, OutcomeUnknown


class FaultyBus(LocalBus):
    """The local bus, and every `every`-th commit fails.

    Args:
        unknown: fail with an unknown outcome; half of those were written all the same.
        broken: for the self-test of a judge: an abort that was said to be confirmed was written all the same.
    """

    def __init__(self, every: int, seed: int, *, unknown: bool, clock: Clock, broken: bool = False) -> None:
        super().__init__(clock=clock)
        self._every, self._unknown, self._broken = every, unknown, broken
        self._random, self._count, self.aborted = random.Random(seed), 0, 0

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        """Commit, or fail."""
        self._count += 1
        if self._count % self._every:
            await super().commit(group, transaction, generation)
            return
        self.aborted += 1
        if self._broken or (self._unknown and self._random.random() < 0.5):
            await super().commit(group, transaction, generation)
        raise OutcomeUnknown("nobody knows") if self._unknown else BusUnavailable("surely not done")

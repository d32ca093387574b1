"""A local bus whose commits fail now and then, confirmed or unknown, while the worker lives."""

from __future__ import annotations

from random import Random

from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group, Split, exclusive
from stepwire.bus.protocol import Transaction
from stepwire.clock import Clock
from stepwire.errors import BusUnavailable, OutcomeUnknown


class FaultyBus(LocalBus):
    """Aborts every `every`-th transaction.

    Args:
        every: which transactions fail; 0: none.
        unknown: how many of those, in percent, end with an unknown outcome, half of them written.
    """

    def __init__(self, clock: Clock, dice: Random, *, every: int, unknown: int = 0, split: Split = exclusive) -> None:
        super().__init__(clock=clock, split=split)
        self._dice, self._every, self._unknown = dice, every, unknown
        self._count = self._twice = 0
        self.aborted = 0

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        """Write it, or fail."""
        self._count += 1
        if self._twice and self._count % self._twice == 0:
            transaction.outputs += transaction.outputs
        if not self._every or self._count % self._every:
            await super().commit(group, transaction, generation)
            return
        self.aborted += 1
        if self._dice.randrange(100) >= self._unknown:
            raise BusUnavailable("confirmed: nothing was written")
        if self._dice.random() < 0.5:
            await super().commit(group, transaction, generation)
        raise OutcomeUnknown("nobody knows")

    def double(self, every: int) -> None:
        """Write the outputs of every so many transactions twice: what a judge must notice; 0: none."""
        self._twice = every

    def heal(self) -> None:
        """From now on it does what it should."""
        self._every = self._twice = 0

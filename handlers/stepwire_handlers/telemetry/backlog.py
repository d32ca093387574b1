"""How far a worker is behind: what lies on the bus and is not finished, and whether anybody fetches it.

In: a worker. Out: lag in records and seconds, and steps whose poll loop stands still. Measured when somebody scrapes or
probes, never on the path of an event; while the bus does not answer the last lag stands, and `trouble` says why.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Bus, Partition
from stepwire.errors import BusError

if TYPE_CHECKING:
    from stepwire.dispatch.loop import Dispatcher
    from stepwire.ledger import Ledger
    from stepwire.worker import Worker

Labels = tuple[str, ...]
SLOW = 5.0  #: seconds of the same that a person is told of: a group may wait for a member that was killed
STALLED = 60.0  #: seconds without a poll although there is something and room for it; a poll takes milliseconds


class Backlog:
    """What one worker has not finished."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.messages: dict[Labels, float] = {}  #: (group, topic, partition) -> records not finished
        self.seconds: dict[Labels, float] = {}  #: the same -> age of the first of them
        self.slow: list[str] = []  #: steps that have not polled for a while, although there is something
        self.stalled: list[str] = []  #: those whose poll loop stands still
        self.trouble = ""  #: why the bus could not be asked the last time
        self._unread: set[str] = set()

    async def measure(self) -> None:
        """Ask the bus."""
        messages: dict[Labels, float] = {}
        seconds: dict[Labels, float] = {}
        slow, stalled, unread = list[str](), list[str](), set[str]()
        for dispatcher in self._worker.dispatchers:
            last_poll, group = dispatcher.last_poll, dispatcher.step.group
            try:
                waits = await self._measure(dispatcher, messages, seconds)
            except (BusError, sqlite3.Error) as error:
                self.trouble = str(error)  # for /readyz; the lag that was measured last stands until the bus answers
                self.slow, self.stalled = [], []  # a bus that does not answer is nothing that a restart mends
                return
            if waits:
                unread.add(group)
            for steps, limit in ((slow, SLOW), (stalled, STALLED)):
                if waits and self._worker.clock.now() - last_poll > limit:
                    steps.append(dispatcher.step.name)
        self.messages, self.seconds, self._unread = messages, seconds, unread
        self.slow, self.stalled = slow, stalled
        self.trouble = ""

    async def _measure(
        self, dispatcher: Dispatcher, messages: dict[Labels, float], seconds: dict[Labels, float]
    ) -> bool:  # fmt: skip
        """Is there something to fetch, and room for it?"""
        bus, clock = self._worker.bus, self._worker.clock
        held = dict(dispatcher.committer.ledgers)
        if not held:
            return False  # a standby
        ends = await _ends(bus, held)
        waits = False
        for partition, ledger in held.items():
            unread = max(0, ends.get(partition, 0) - ledger.next)
            waits = waits or (unread > 0 and _may_fetch(dispatcher, partition, ledger))
            labels = (dispatcher.step.group, partition.topic, str(partition.number))
            messages[labels], seconds[labels] = unread + ledger.open, 0.0
            if messages[labels]:
                first = await bus.read(partition, ledger.watermark, 1)
                seconds[labels] = max(0.0, clock.now() - first[0].time) if first else 0.0
        return waits

    def assigned(self) -> dict[Labels, float]:
        """(group, topic) -> partitions held."""
        found: dict[Labels, float] = {}
        for dispatcher in self._worker.dispatchers:
            counts = Counter(partition.topic for partition in dispatcher.committer.ledgers)
            topics = (*dispatcher.step.codecs, dispatcher.step.control)
            found |= {(dispatcher.step.group, topic): float(counts[topic]) for topic in topics}
        return found

    def polled(self) -> dict[Labels, float]:
        """Group -> when it last asked for records. One that has all there is waits to be told, and is up to date."""
        now = self._worker.clock.now()
        return {
            (d.step.group,): d.last_poll if d.step.group in self._unread else now
            for d in self._worker.dispatchers
            if d.joined
        }


async def _ends(bus: Bus, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
    """The ends as the worker's own fetches know them: news of other processes are for those who wait for them first."""
    if isinstance(bus, LocalBus):
        return {partition: bus.log.end(partition) for partition in partitions}
    return await bus.ends(list({partition.topic for partition in partitions}))


def _may_fetch(dispatcher: Dispatcher, partition: Partition, ledger: Ledger) -> bool:
    """Is there room, so that a poll is due? Waiting for room is backpressure, not a stall."""
    step, span = dispatcher.step, dispatcher.step.settings.span
    if dispatcher.room == 0 or dispatcher.stopping or ledger.span >= span:
        return False
    kept = sum(mailbox.waiting for mailbox in dispatcher.committer.mailboxes.values()) if step.keeps_first else 0
    return kept < span or partition.topic == step.control

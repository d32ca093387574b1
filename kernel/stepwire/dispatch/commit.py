"""Step 7, commit: outputs, state and progress of whatever finished meanwhile, in one transaction, without linger.

In: `Finished`, in order. Out: one transaction after the other on the bus; after each, memory follows.

R10: every transaction carries watermark and map of each partition whose state it touches. R11: a confirmed abort
repeats the same results; if one record is the culprit it is found by bisection and dead-lettered alone, so that model
calls already paid for survive a neighbour's bad output. Fenced: the results wait for the new assignment, which keeps
those whose partitions are provably still ours. Unknown: the dispatcher drops everything and rebuilds memory from what
is stored.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import replace

from stepwire.bus.protocol import Change, Membership, Partition, Progress, Transaction
from stepwire.dispatch.delivery import Finished
from stepwire.dispatch.step import Step
from stepwire.errors import BusError, BusUnavailable, Fenced, RecordRefused
from stepwire.ledger import CLEAN, Ledger, Writer
from stepwire.state import Mailbox
from stepwire.telemetry import Committed

PAUSE = 0.05  #: seconds before a confirmed abort is repeated; doubles up to PAUSE_MOST
PAUSE_MOST = 2.0


class Committer:
    """Commits for one dispatcher.

    Args:
        concluded: called for each `Finished` once it is committed and memory has followed.
        committed: called once after each transaction.
        culprit: called for a `Finished` of which a record can never be written.
    """

    def __init__(
        self, step: Step, nonce: str, concluded: Callable[[Finished], None], committed: Callable[[], None],
        culprit: Callable[[Finished, RecordRefused], None],
    ) -> None:  # fmt: skip
        self._step, self._nonce = step, nonce
        self._concluded, self._committed, self._culprit = concluded, committed, culprit
        self.ledgers: dict[Partition, Ledger] = {}
        self.mailboxes: dict[int, Mailbox] = {}
        self.queue: deque[Finished] = deque()
        self.returned = 0  #: how many deliveries wait here for their commit
        self.busy = False  #: is a commit under way?
        self.behind = False  #: was a commit interrupted, so that memory may lag behind what is stored?
        self.trouble = ""  #: why the bus does not take commits just now
        self._commits: Counter[Partition] = Counter()
        self._marks: dict[Partition, tuple[str, int]] = {}
        self._news = asyncio.Event()

    def add(self, finished: Finished) -> None:
        """Queue for the next transaction."""
        self.queue.append(finished)
        self._news.set()

    def conclude(self, finished: Finished) -> None:
        """Queue what a delivery came to; what it was computed from has seen every message so far."""
        delivery = finished.delivery
        if delivery is not None and delivery.mailbox is not None:
            delivery.mailbox.fresh.pop(delivery.entry, None)
        self.returned += delivery is not None
        self.add(finished)
        self.queue.rotate(finished.retries)  # a culprit's dead letter keeps its place before those called after it

    def owns(self, partition: Partition, progress: Progress) -> bool:
        """R12: was the last commit of this partition our own last?"""
        ledger = self.ledgers.get(partition)
        if ledger is None:
            return False
        writer = Ledger(progress).writer
        return writer.nonce == self._nonce and writer.commits == self._commits[partition]

    async def run(self, member: Membership, generation: int) -> None:
        """Commit until the assignment changes. Raises Fenced, OutcomeUnknown, BusCorrupt."""
        while member.assignment.generation == generation:
            if not self.queue:
                self._news.clear()
                await self._news.wait()
                continue
            batch = self._take()
            self.busy = True
            try:
                await self._commit(batch, member, generation)
            finally:
                self.busy = False

    def stop_waiting(self) -> None:
        """Let `run` look at the assignment."""
        self._news.set()

    def _take(self) -> list[Finished]:
        """Whole deliveries, up to the limits of one transaction."""
        batch: list[Finished] = []
        size = 0
        while self.queue and len(batch) < self._step.settings.batch:
            size += self.queue[0].size
            if batch and size > self._step.settings.max_bytes:
                break
            batch.append(self.queue.popleft())
        return batch

    async def _commit(self, batch: list[Finished], member: Membership, generation: int) -> None:
        pause = PAUSE
        while True:
            try:
                await self._attempt(batch, member, generation)
            except RecordRefused as error:
                await self._bisect(batch, member, generation, error)
                return
            except BusError as error:
                self._step.telemetry(Committed(self._step.group, len(batch), {}, 0.0, str(error), type(error).__name__))
                if isinstance(error, Fenced):  # surely not written: still ours to write where we keep partitions (R12)
                    self.queue.extendleft(reversed(batch))
                if not isinstance(error, BusUnavailable):
                    raise
                self.trouble = str(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_MOST)
            else:
                self.trouble = ""
                return

    async def _bisect(self, batch: list[Finished], member: Membership, generation: int, error: RecordRefused) -> None:
        if len(batch) == 1:
            self.returned -= batch[0].delivery is not None
            self._culprit(batch[0], error)
            return
        middle = len(batch) // 2
        self.queue.extendleft(reversed(batch[middle:]))
        await self._commit(batch[:middle], member, generation)

    async def _attempt(self, batch: list[Finished], member: Membership, generation: int) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        transaction, done = self._transaction(batch)
        try:
            await member.commit(transaction, generation)
        except asyncio.CancelledError:
            # The write goes on without us, so the ledgers may be behind what is stored: they must not be written again.
            self.behind = True
            raise
        for partition in transaction.progress:
            self.ledgers[partition].finish(done[partition])
            self._commits[partition] += 1
        outputs = Counter([out.topic for out in transaction.outputs])
        self._step.telemetry(Committed(self._step.group, len(batch), outputs, loop.time() - begun))
        for finished in batch:
            self._follow(finished)
        if self._marks:  # R12: a marked delivery that was concluded is marked no more
            concluded = {finished.delivery.id for finished in batch if finished.delivery is not None}
            self._marks = {partition: mark for partition, mark in self._marks.items() if mark[0] not in concluded}
        self._committed()

    def _transaction(self, batch: list[Finished]) -> tuple[Transaction, dict[Partition, list[int]]]:
        transaction = Transaction()
        done: dict[Partition, list[int]] = defaultdict(list)
        for finished in batch:
            transaction.outputs += finished.outputs
            transaction.changes += finished.changes
            for partition, offset in finished.done:
                done[partition].append(offset)
            for change in finished.changes:
                done.setdefault(Partition(self._step.control, change.partition), [])
            if finished.mark is not None:
                done.setdefault(finished.mark[0], [])
                self._marks[finished.mark[0]] = finished.mark[1:]
        for partition, offsets in done.items():
            transaction.progress[partition] = self.ledgers[partition].snapshot(offsets, self.writer(partition))
        return transaction, done

    def writer(self, partition: Partition) -> Writer:
        """What the map of the next commit says besides offsets."""
        marker, marks = self._marks.get(partition, ("", 0))
        takeovers = self.ledgers[partition].writer.takeovers
        return Writer(self._nonce, self._commits[partition] + 1, takeovers, marker, marks)

    def _follow(self, finished: Finished) -> None:
        """Memory follows what is stored now."""
        delivery = finished.delivery
        self.returned -= delivery is not None
        fresh: set[str] = set()
        if delivery is not None and delivery.mailbox is not None:
            delivery.mailbox.calling.discard(delivery.entry)
            fresh = delivery.mailbox.fresh.pop(delivery.entry, fresh)
        if not finished.applied:
            for change in finished.changes:
                if change.key not in fresh:  # a message wrote it later; its own commit is still to come
                    self.mailboxes[change.partition].put(change.key, change.value)
        if finished.closes and fresh:
            self._forget_late(finished, fresh)
        if finished.then is not None:
            finished.then()
        self._concluded(finished)

    def _forget_late(self, finished: Finished, fresh: set[str]) -> None:
        """Messages that reached a join while its close was on its way, and found no stub: they are duplicates."""
        assert finished.delivery is not None
        mailbox = finished.delivery.mailbox
        join = mailbox.joins.get(finished.delivery.entry) if mailbox is not None else None
        if mailbox is None or join is None or join.stub is not None:
            return
        changes = [Change(mailbox.partition, key, None) for key in sorted(fresh)]
        for change in changes:
            mailbox.put(change.key, None)
        self.add(Finished(changes=changes, applied=True))

    async def leave(self, member: Membership, generation: int) -> None:
        """The last commit of a worker that leaves in order says so."""
        progress = {
            partition: ledger.snapshot((), replace(self.writer(partition), nonce=CLEAN, takeovers=0))
            for partition, ledger in self.ledgers.items()
        }
        await member.commit(Transaction(progress=progress), generation)

    async def arrive(self, member: Membership, generation: int, partitions: list[Partition]) -> None:
        """R12: the first commit under an assignment says who is here, and counts unclean takeovers."""
        progress = {}
        for partition in partitions:
            ledger = self.ledgers[partition]
            found = ledger.writer
            self._commits[partition] = 1
            if found.marker:
                self._marks[partition] = (found.marker, found.marks)
            progress[partition] = ledger.snapshot((), replace(self.writer(partition), commits=1))
        if progress:
            await member.commit(Transaction(progress=progress), generation)

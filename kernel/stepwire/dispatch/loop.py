"""The dispatch loop: one handler of one worker, from fetch to forget (DESIGN §4; the code keeps its numbers).

In: a bus and a step. Out: calls of the handler, and transactions. Promises: what was committed never runs again, what
was not committed is never lost, a slow call blocks nobody, and what a lost assignment left behind is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid

from stepwire.bus.protocol import Assignment, Bus, Membership, Partition, Progress
from stepwire.clock import Timer
from stepwire.context import Context
from stepwire.dispatch.call import Caller, fact
from stepwire.dispatch.commit import Committer
from stepwire.dispatch.delivery import Delivery, Finished
from stepwire.dispatch.intake import Intake
from stepwire.dispatch.pump import Pump
from stepwire.dispatch.step import Step
from stepwire.errors import BusError, BusUnavailable, Fenced, OutcomeUnknown, RecordRefused, RecordsLost
from stepwire.ledger import Ledger, handed_over
from stepwire.outcome import CrashLoop, DeadLetter, Done, Outcome, RetryAt, Unknown
from stepwire.state import Mailbox, decode_meta
from stepwire.telemetry import Assigned, Lost

CAREFUL = 2  #: R12: so many unclean takeovers without progress, and open events are called one at a time
RECONNECT = 1.0  #: seconds before the bus is asked again when it could not even be read
MARKS = 3  #: R12: a delivery that was about to be called alone so often kills its worker


class Dispatcher:
    """Runs one step on a bus."""

    def __init__(self, step: Step, bus: Bus, *, accept_loss: bool = False) -> None:
        self.step, self._bus, self._accept_loss = step, bus, accept_loss
        self.colocated = bus.colocated  #: do we own all of the group, so that forward and store are one transaction?
        self.nonce = uuid.uuid4().hex[:12]
        self.caller = Caller(step, self._decide, self._retried)
        self.committer = Committer(step, self.nonce, self._forget, self._after_commit, self._culprit)
        self.pump = Pump(step, self)
        self.intake = Intake(step, self)
        self.active = 0  #: deliveries begun and not yet committed
        self.moved = asyncio.Event()  #: set whenever something happened, for those who wait for idleness
        self.last_poll = step.clock.now()
        self.stopping = False
        self._member: Membership | None = None
        self._generation = -1
        self._timer: Timer | None = None
        self._due: float | None = None
        self._held_back = False  #: did the last fetch leave something where it lies, for want of room?
        self._marked: dict[str, int] = {}
        self._alone: list[Delivery] = []
        self._wary = False  #: did workers before us die of something?

    # -- the loop

    async def run(self) -> None:
        """Dispatch until cancelled. Raises BusCorrupt."""
        assignment, fenced = Assignment(-1, frozenset()), False
        while True:
            try:
                if self._member is None:
                    self._member = await self._bus.join(self.step.group, list(self.step.codecs), self.step.control)
                    self._member.handed_over = handed_over
                while fenced and self._member.assignment.generation == assignment.generation:
                    await self._member.fetch({}, 0)  # until it is said what is ours now
                assignment, fenced = self._member.assignment, False
                await self._attach(assignment)
                self.committer.trouble = ""
                async with asyncio.TaskGroup() as loops:
                    loops.create_task(self._fetch(assignment))
                    loops.create_task(self.committer.run(self._member, assignment.generation))
            except* (OutcomeUnknown, BusUnavailable) as errors:
                # Nobody knows what is stored: memory is worthless, rebuild it.
                self._drop(set(self.committer.ledgers), "lost")
                self.committer.behind = False
                self.committer.trouble = str(errors.exceptions[0])
                await asyncio.sleep(RECONNECT)
            except* Fenced:
                fenced = True

    @property
    def joined(self) -> bool:
        """Does it work, or stand by for another process that has the group?"""
        return self._member is not None and self._generation == self._member.assignment.generation

    async def _fetch(self, assignment: Assignment) -> None:
        member = self._member
        assert member is not None
        try:
            while member.assignment.generation == assignment.generation:
                self.pump.listen(self._bus)
                positions = {} if self.stopping else self._positions()
                self._held_back = self.room == 0 or len(positions) < len(self.committer.ledgers)
                try:
                    records = await member.fetch(positions, self.room)  # 1
                except RecordsLost as error:
                    self._lost(error)
                    continue
                self.last_poll = self.step.clock.now()
                if member.assignment.generation != assignment.generation or self.stopping:
                    continue
                for record in records:
                    if self.committer.ledgers[Partition(record.topic, record.partition)].begin(record.offset):
                        self.intake.admit(record)  # 2, 3, 4
                for partition in positions:
                    self.committer.ledgers[partition].pass_to(member.passed(partition))
                self.pump.run()
                if records:
                    await asyncio.sleep(0)
        finally:
            self.committer.stop_waiting()

    def _lost(self, error: RecordsLost) -> None:
        """Say what retention took; go on after it, and store that, only if a person said so."""
        for (topic, number), (gone, there) in error.gaps.items():
            self.step.telemetry(Lost(self.step.group, topic, number, there - gone))
        if not self._accept_loss:
            raise error
        for place, (_, there) in error.gaps.items():
            self.committer.ledgers[Partition(*place)].pass_to(there)
            self.committer.add(Finished(done=[(Partition(*place), there - 1)]))

    def _positions(self) -> dict[Partition, int]:
        """Where to go on (3): partitions under the span limit; no new events while as many wait in state."""
        span, control = self.step.settings.span, self.step.control
        full = self.step.keeps_first and sum(m.waiting for m in self.committer.mailboxes.values()) >= span
        ledgers = self.committer.ledgers.items()
        return {p: ledger.next for p, ledger in ledgers if ledger.span < span and (not full or p.topic == control)}

    @property
    def room(self) -> int:
        """How many more records may be taken in."""
        return max(0, min(self.step.settings.prefetch - len(self.committer.queue), self.slots))

    @property
    def slots(self) -> int:
        """How many more calls may begin. One that returned keeps no slot, unless as many as run wait for commits."""
        return self.step.concurrency + min(self.committer.returned, self.step.concurrency) - self.active

    # -- 5: call

    def start(self, delivery: Delivery) -> None:
        """Begin a delivery; alone, after a committed marker, where workers died on something (R12)."""
        self.active += 1
        if not self._is_suspect(delivery):
            self.caller.start(delivery)
            return
        self._alone.append(delivery)
        if len(self._alone) == 1:
            self._mark(delivery)

    def _is_suspect(self, delivery: Delivery) -> bool:
        """R12: was it open when we took over from workers that died? What came later runs as always.

        What lies in the mailbox of a bus that stores as it forwards may be called before it is stored: then the record
        that it keeps was open, or one of a join's parts.
        """
        metas = [delivery.meta] if "t" in delivery.meta else []
        if self._wary and delivery.is_join and delivery.mailbox is not None:
            metas = [decode_meta(raw) for raw in delivery.mailbox.joins[delivery.entry].slots.values()]
        kept = ((self.committer.ledgers.get(Partition(meta["t"], meta["p"])), meta["o"]) for meta in metas)
        if any(came is not None and came.watermark <= offset < came.careful for came, offset in kept):
            return True
        ledger = self.committer.ledgers[self._home(delivery)]
        at = delivery.offset[1] if delivery.offset else ledger.watermark
        return ledger.careful >= 0 and (at < ledger.careful or delivery.entry in ledger.suspects)

    def _mark(self, delivery: Delivery) -> None:
        died = self._marked.get(delivery.id, 0)
        if died >= MARKS:
            error = CrashLoop(f"the worker died {died} times while this delivery, alone, was being called")
            self.finish(self.intake.emitter.dead(delivery, error), delivery, DeadLetter(error))
            return
        mark = (self._home(delivery), delivery.id, died + 1)
        self.committer.add(Finished(mark=mark, then=lambda: self.caller.start(delivery)))

    # -- 6: decide

    def _decide(self, delivery: Delivery, outcome: Outcome, context: Context) -> None:
        emitter = self.intake.emitter
        try:
            if isinstance(outcome, Done):
                finished = emitter.done(delivery, outcome.value, context.stamps)
            elif isinstance(outcome, RetryAt):
                finished = self.pump.park(delivery, outcome)
            elif isinstance(outcome, Unknown):
                finished = self.pump.unknown(delivery, outcome.error)
            else:
                finished = emitter.dead(delivery, outcome.error)
        except Exception as error:  # noqa: BLE001 - WrongReturn, TooManyOutputs, an output that no JSON can carry
            outcome = DeadLetter(error)
            finished = emitter.dead(delivery, error)
        self.finish(finished, delivery, outcome, context)

    def finish(self, finished: Finished, delivery: Delivery, outcome: Outcome, context: Context | None = None) -> None:
        """Queue what a delivery came to for the next transaction."""
        finished.delivery = delivery
        finished.fact = fact(self.step, delivery, outcome, context)
        self.committer.conclude(finished)
        if "order" in delivery.meta and delivery.mailbox is not None and isinstance(outcome, (Done, DeadLetter)):
            delivery.mailbox.pass_on(delivery.entry, delivery.meta["order"])
            self.pump.run()
        self._go_on(at=self.step.concurrency // 8 or 1)

    def _retried(self, delivery: Delivery, outcome: Outcome, context: Context) -> None:
        self.step.telemetry(fact(self.step, delivery, outcome, context))
        self.moved.set()

    # -- 7 is the committer's; 8: forget

    def _forget(self, finished: Finished) -> None:
        if finished.fact is not None:
            self.step.telemetry(finished.fact)
        if finished.delivery is not None:
            self.active -= 1
            if ledger := self.committer.ledgers.get(self._home(finished.delivery)):
                ledger.acquit(finished.delivery.entry)
            if finished.delivery in self._alone:
                self._alone.remove(finished.delivery)
                if self._alone:
                    self._mark(self._alone[0])

    def _after_commit(self) -> None:
        """Slots are free: what waits in state may start, and a fetch that had no room may go on."""
        self.pump.run()
        self._go_on(at=1)
        self.moved.set()

    def _go_on(self, at: int) -> None:
        """A fetch that had no room goes on once there is room for `at`."""
        if self._held_back and self.room >= at:
            self._held_back = False
            self.wake()

    def wake(self) -> None:
        """A waiting fetch looks again at what there is to do."""
        if self._member is not None:
            self._member.notice()

    def _culprit(self, finished: Finished, error: RecordRefused) -> None:
        """R11: the one whose record can never be written is dead-lettered alone."""
        delivery = finished.delivery
        if delivery is None or finished.retries:
            raise OutcomeUnknown(f"{self.step.group}: {error}") from error
        again = self.intake.emitter.dead(delivery, error)
        again.retries = 1
        self.finish(again, delivery, DeadLetter(error))

    # -- assignments

    async def _attach(self, assignment: Assignment) -> None:
        """Take over what was gained, keep what is provably still ours (R12), drop the rest."""
        member, committer, control, self._generation = self._member, self.committer, self.step.control, -1
        assert member is not None
        wanted = sorted(assignment.partitions)
        stored = await member.progress(wanted)
        kept = {p for p in wanted if p in stored and committer.owns(p, stored[p])}
        self._drop(set(committer.ledgers) - kept, "revoked")
        gained = [partition for partition in wanted if partition not in kept]
        committer.ledgers |= {partition: Ledger(stored.get(partition, Progress(0))) for partition in gained}
        for partition in gained:
            if partition.topic == control:
                await self._restore(member, partition.number)
        await self._count_takeovers(gained)
        await committer.arrive(member, assignment.generation, gained)
        self._generation = assignment.generation
        if assignment.partitions:
            topics = {p.topic: sum(q.topic == p.topic for q in wanted) for p in wanted}
            self.step.telemetry(Assigned(self.step.group, "assigned", topics))
        self.pump.arrive({p.number for p in gained if p.topic == control})
        self.pump.run()
        self.moved.set()

    async def _restore(self, member: Membership, number: int) -> None:
        """State is what was stored, read after the offsets and before any call."""
        mailbox = Mailbox(number)
        async for key, raw in member.scan(number):
            mailbox.put(key, raw)
        mailbox.restore_order()
        self.committer.mailboxes[number] = mailbox

    async def _count_takeovers(self, gained: list[Partition]) -> None:
        """R12: the one before did not leave in order; if that happened before without progress, go carefully."""
        ends = await self._bus.ends(list({partition.topic for partition in gained}))
        for partition in gained:
            ledger = self.committer.ledgers[partition]
            if ledger.writer.marker:
                self._marked[ledger.writer.marker] = ledger.writer.marks
            if not ledger.taken_over or ledger.writer.nonce == self.nonce:
                continue  # who was here before left in order, or it was us
            if partition.topic == self.step.control:
                mailbox = self.committer.mailboxes[partition.number]
                ledger.suspects = mailbox.callable(self.step.rules, self.step.clock.now())
            unfinished = ends.get(partition, 0) > ledger.watermark or bool(ledger.suspects)
            ledger.taken_over_again(unfinished)
            if unfinished and (ledger.writer.takeovers >= CAREFUL or ledger.writer.marker):
                # no more than ran or waited for a commit had begun, each with at most a transaction's marker behind it
                self._wary = True
                ledger.careful = min(ends.get(partition, 0), ledger.reach + 4 * self.step.concurrency)

    def _drop(self, partitions: set[Partition], kind: str) -> None:
        """Forget partitions and everything in flight that belongs to them; calls are cut off."""
        if not partitions:
            return
        whole = partitions >= set(self.committer.ledgers)
        concluded = {finished.delivery for finished in self.committer.queue}
        begun = {*self.caller.running, *(d for d in self._alone if not d.started and d not in concluded)}
        for delivery in [delivery for delivery in begun if self._home(delivery) in partitions]:
            self.caller.cancel(delivery)
            self.caller.running.pop(delivery, None)
            self.active -= 1
        keep = [f for f in self.committer.queue if not self._touches(f, partitions)]
        gone = [f for f in self.committer.queue if self._touches(f, partitions)]
        self.active -= sum(f.delivery is not None or f.holds for f in gone)
        self.committer.returned -= sum(f.delivery is not None for f in gone)
        self.committer.queue.clear()
        self.committer.queue.extend(keep)
        head, self._alone = self._alone[:1], [d for d in self._alone if self._home(d) not in partitions]
        if self._alone and self._alone[:1] != head:
            self._mark(self._alone[0])
        if whole:  # the batch whose commit failed is gone too
            self.active = self.committer.returned = 0
        for partition in partitions:
            self.committer.ledgers.pop(partition, None)
            if partition.topic == self.step.control:
                self.committer.mailboxes.pop(partition.number, None)
        self.step.telemetry(Assigned(self.step.group, kind))

    def _home(self, delivery: Delivery) -> Partition:
        if delivery.offset is not None:
            return delivery.offset[0]
        assert delivery.mailbox is not None
        return Partition(self.step.control, delivery.mailbox.partition)

    def _touches(self, finished: Finished, partitions: set[Partition]) -> bool:
        state = (Partition(self.step.control, change.partition) for change in finished.changes)
        marked = finished.mark is not None and finished.mark[0] in partitions
        return marked or not partitions.isdisjoint([*(place for place, _ in finished.done), *state])

    # -- time

    def remind(self) -> None:
        """Arm the timer for the earliest thing that is due in any mailbox."""
        due = min((m.next_due for m in self.committer.mailboxes.values() if m.next_due is not None), default=None)
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due is None else self.step.clock.at(due, self._ring)

    def _ring(self) -> None:
        self._timer = self._due = None
        self.pump.expire()
        self.pump.run()
        self.moved.set()

    # -- the end

    async def stop(self, drain: float) -> None:
        """SIGTERM: stop intake, let calls finish for `drain` seconds, commit. Call it before cancelling `run`."""
        self.stopping = True
        self.wake()
        loop = asyncio.get_running_loop()
        until = loop.time() + drain
        while (self.active or self.committer.queue or self.committer.busy) and loop.time() < until:
            self.moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(until - loop.time(), 0.1)):
                    await self.moved.wait()

    async def leave(self) -> None:
        """After `run` was cancelled: cut off what still runs, commit that we leave in order, give partitions back."""
        for delivery in list(self.caller.running):
            self.caller.cancel(delivery)
        self.caller.close()
        self.pump.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._member is not None:
            if self.joined and self.committer.ledgers and not self.committer.behind:
                with contextlib.suppress(BusError):  # then the next worker counts an unclean end, no more
                    await self.committer.leave(self._member, self._generation)
            await self._member.leave()

    async def idle(self) -> bool:
        """Is there nothing to do without time passing or an event arriving?"""
        busy = self.active > self.caller.sleeping or self.committer.queue or self.committer.busy or self.pump.listening
        if busy or not self.joined or not self.committer.ledgers:
            return False
        # how far we are is noted before the ends are asked: what comes in between is then work that is left
        at = {partition: ledger.next for partition, ledger in self.committer.ledgers.items()}
        ends = await self._bus.ends([*self.step.codecs, self.step.control], patience=1.0)
        return all(offset >= ends.get(partition, 0) for partition, offset in at.items())

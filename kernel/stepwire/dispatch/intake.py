"""Steps 2 to 4 for one record: decode, admit, forward or meet.

In: a fetched record whose offset is open. Out: a delivery that is started, a message for the mailbox, a dead letter,
or a skip. What must meet, wait, keep order, be claimed, deduplicated or replayed goes to the control topic (R3); where
one worker owns all of the group, forward and store are one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepwire.bus.protocol import Out, Partition, Record
from stepwire.codec import Decoded
from stepwire.dispatch.build import Builder, newer
from stepwire.dispatch.call import fact
from stepwire.dispatch.delivery import Delivery, Finished
from stepwire.dispatch.emit import Emitter
from stepwire.dispatch.mail import Mail, message
from stepwire.dispatch.step import Step
from stepwire.envelope import parse_scope
from stepwire.errors import DecodeError
from stepwire.event import digest
from stepwire.join import goes_without
from stepwire.outcome import DeadLetter, RetryAt
from stepwire.state import VERDICT, Entry, Mailbox, keep, kept
from stepwire.telemetry import Skipped
from stepwire.wiring.wiring import Owed

if TYPE_CHECKING:
    from stepwire.dispatch.loop import Dispatcher

NEWER_WAIT = 5.0  #: seconds between two looks at an event of a version that is not known yet


class Intake:
    """Takes records in for one dispatcher."""

    def __init__(self, step: Step, dispatcher: Dispatcher) -> None:
        self.step, self._dispatcher = step, dispatcher
        self.builder, self.emitter, self.mail = Builder(step), Emitter(step), Mail(step)
        self._plain = not step.is_join and not step.keeps_first

    def admit(self, record: Record) -> None:
        """Steps 2 to 4."""
        codec = self.step.codecs.get(record.topic)
        if codec is None:
            self._message(record)
            return
        try:
            decoded = self.builder.decode(codec, record)
        except DecodeError as error:
            self.unreadable(record, self.builder.unreadable(record), error)
            return
        where = (Partition(record.topic, record.partition), record.offset)
        if not isinstance(decoded, Decoded):
            if decoded == "newer":
                self._later(record, where)
            else:
                self._skip(record.topic, "other_type", where, codec.kind(record))
            return
        if self.step.match is not None:
            self._correlate(record, decoded, where)
            return
        delivery = self.builder.from_record(record, decoded)
        delivery.offset = where
        if not decoded.envelope.run and type(decoded.event) in self.step.wiring.answers:
            self._skip(record.topic, "correlated", where)  # its correlator emits it again
        elif self._plain:
            if not self._dispatcher.pump.at_limit(delivery):
                self._dispatcher.start(delivery)
        else:
            self._dispatcher.committer.add(self.forwarded(decoded, delivery))

    def _skip(self, topic: str, why: str, where: tuple[Partition, int], kind: str = "") -> None:
        self.step.telemetry(Skipped(self.step.app, self.step.name, topic, why, kind))
        self._dispatcher.committer.add(Finished(done=[where]))

    def say_skipped(self, why: str, run: str) -> None:
        """What came for a run comes to nothing."""
        self.step.telemetry(Skipped(self.step.app, self.step.name, self.step.control, why, run=run))

    # -- forward

    def forwarded(self, decoded: Decoded, delivery: Delivery) -> Finished:
        """What handing an event to its mailbox wants to be committed."""
        step, record = self.step, delivery.record
        assert record is not None
        if step.is_join:
            return self.posted(self.part(record, delivery), delivery.offset)
        order = step.order_of(decoded.event)
        extra = {"order": order} if order is not None else {}
        return self.posted(keep(record, kind="item", id=delivery.id, run=delivery.run, **extra), delivery.offset, order)

    # -- external steps

    def _correlate(self, record: Record, decoded: Decoded, where: tuple[Partition, int]) -> None:
        """Ask and answer meet by the value of a field; the ask says in which run and scope."""
        part = self._matched(record, decoded)
        if part is None:
            self._skip(record.topic, "correlated", where)
        else:
            self._dispatcher.committer.add(self.posted(part, where))

    def _matched(self, record: Record, decoded: Decoded) -> Entry | None:
        """The part of a correlation that an event is; None: an answer that says itself where it belongs."""
        step, event = self.step, decoded.event
        assert step.match is not None
        slot = step.slot_of(event)
        if slot == "answer" and decoded.envelope.run:
            return None
        meta = {"kind": "part", "id": digest(step.app, step.name, str(getattr(event, step.match))), "slot": slot}
        if slot == "ask":
            delivery = self.builder.from_record(record, decoded)
            meta |= {"run": delivery.run, "scope": str(delivery.scope)}
        return keep(record, **meta)

    def part(self, record: Record, delivery: Delivery) -> Entry:
        """The part of a join that an event is."""
        slot = Owed(self.step.name, self.builder.part_slot(delivery))
        address = self.emitter.address(slot, delivery.run, delivery.scope)
        return keep(record, kind="part", **address)

    def posted(self, entry: Entry, where: tuple[Partition, int] | None, order: str | None = None) -> Finished:
        """What handing an entry to the owner of its control partition, or to ourselves, wants to be committed."""
        dispatcher = self._dispatcher
        key = order if order is not None else str(entry.meta["id"])
        done = [where] if where is not None else []
        if not dispatcher.colocated:
            return Finished([Out(self.step.control, key, {}, entry.encode())], done=done)
        mailboxes = dispatcher.committer.mailboxes
        mailbox = mailboxes[dispatcher.step.partition(key, len(mailboxes))]
        return self._applied(mailbox, entry, done)

    def _notices(self, mailbox: Mailbox, entry: Entry) -> list[Out]:
        """What a notice that a slot is blocked brings about: the join passes it on, unless it goes without."""
        join, slot, rules = mailbox.joins.get(entry.meta["id"]), entry.meta.get("slot", ""), self.step.rules
        if join is None or join.called or slot not in join.blocked or goes_without(slot, rules):
            return []
        delivery, outputs = Delivery(join.id, join.run, parse_scope(join.scope, ours=True)), list[Out]()
        owed = self.step.wiring.owes(self.step.name)
        self.emitter.settle(delivery, owed, delivery.scope, "blocked", outputs, entry.meta["by"])
        return outputs

    def _later(self, record: Record, where: tuple[Partition, int]) -> None:
        """An event of a newer version: wait for a newer worker, without an attempt."""
        now = self.step.clock.now()
        envelope = self.builder.unreadable(record)
        meta: dict[str, Any] = {
            "kind": "item", "id": envelope.id, "due": now + NEWER_WAIT, "attempt": 1,
            "newer_until": now + self.step.settings.newer_type_wait,
        }  # fmt: skip
        self._dispatcher.committer.add(self.posted(keep(record, **meta), where))
        self.step.telemetry(fact(self.step, envelope, RetryAt(NEWER_WAIT, newer(record)), None))

    # -- meet

    def _message(self, record: Record) -> None:
        """A record of our own control topic."""
        where = (Partition(record.topic, record.partition), record.offset)
        try:
            entry = message(record.value)
        except DecodeError:
            self._skip(record.topic, "undecodable", where)
            return
        if entry.meta.get("kind") == "replay" and entry.meta.get("origin") == "part":
            self._replay_part(entry, where)
            return
        mailbox = self._dispatcher.committer.mailboxes[record.partition]
        self._dispatcher.committer.add(self._applied(mailbox, entry, [where]))

    def _applied(self, mailbox: Mailbox, entry: Entry, done: list[tuple[Partition, int]]) -> Finished:
        applied = self.mail.apply(mailbox, entry)
        if applied.skipped:
            self.say_skipped(applied.skipped, str(entry.meta.get("run", "")))
        return Finished(self._notices(mailbox, entry), applied.changes, done, applied=True)

    def _replay_part(self, entry: Entry, where: tuple[Partition, int]) -> None:
        """A part that could not be read comes again, edited; or it is dropped, then its slot is absent."""
        mailbox, meta = self._dispatcher.committer.mailboxes[where[0].number], entry.meta
        if self.mail.refuses(mailbox, meta["id"], meta["replay"]):
            self._skip(where[0].topic, "refused", where)
            return
        until = self.step.clock.now() + self.step.settings.keep + 86_400.0
        said = {"kind": "verdict", "n": meta["replay"], "verdict": "dropped" if meta["drop"] else "replayed"}
        verdict = self.mail.put(mailbox, VERDICT + meta["id"], Entry({**said, "until": until}))
        finished = self._replayed_part(entry, kept(entry), where)
        finished.changes.append(verdict)
        finished.applied = True
        self._dispatcher.committer.add(finished)

    def _replayed_part(self, entry: Entry, record: Record, where: tuple[Partition, int]) -> Finished:
        """The part as it can be read now; absent, if it was given up; or another dead letter."""
        delivery = self.builder.unreadable(record, entry.meta["run"])
        slot = self._slot_by_type(record)
        if entry.meta["drop"]:
            outputs: list[Out] = []
            if slot is not None:
                self.emitter.settle(delivery, [slot], delivery.scope, "absent", outputs)
            return Finished(outputs, done=[where])
        try:
            decoded = self.builder.decode(self.step.codec(record.topic), record)
            if not isinstance(decoded, Decoded):
                raise DecodeError(f"a part of {self.step.name}", f"its type is {decoded} to this worker")
        except DecodeError as error:
            delivery.replay, delivery.offset = entry.meta["replay"], where
            finished = self.emitter.dead_part(delivery, slot, error)
            finished.delivery = None
            return finished
        if self.step.match is None:
            return self.posted(self.part(record, self.builder.from_record(record, decoded)), where)
        part = self._matched(record, decoded)
        return Finished(done=[where]) if part is None else self.posted(part, where)

    # -- dead letters

    def unreadable(self, record: Record, delivery: Delivery, error: Exception) -> None:
        """Step 2: dead letter with the original bytes; the partition goes on."""
        self.step.telemetry(Skipped(self.step.app, self.step.name, record.topic, "undecodable"))
        finished = self.emitter.dead_part(delivery, self._slot_by_type(record), error)
        self._dispatcher.active += 1
        self._dispatcher.finish(finished, delivery, DeadLetter(error))

    def _slot_by_type(self, record: Record) -> Owed | None:
        """The slot of a join of ours; which events a correlator brings together, only a readable value tells."""
        if not self.step.is_join or self.step.match is not None:
            return None
        slot = next((s for event, s in self.step.slots.items() if event is self.builder.type_of(record)), None)
        return None if slot is None else Owed(self.step.name, slot)

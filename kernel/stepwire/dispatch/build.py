"""Deliveries from what is known of them: a record that was fetched, an item or a join that lies in the mailbox.

In: a decoded record or raw entries. Out: a `Delivery` with its arguments, or DecodeError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwire.bus.protocol import Partition, Record
from stepwire.codec import JSON, Codec, Decoded, Other, derived_run
from stepwire.dispatch.delivery import Delivery
from stepwire.dispatch.step import Step
from stepwire.envelope import ROOT, Scope, parse_scope
from stepwire.errors import DecodeError
from stepwire.event import Decision, Event, identity
from stepwire.join import LIST, JoinState
from stepwire.outcome import NewerType, NoRun
from stepwire.signature import EventType
from stepwire.state import Entry, Mailbox, decode_entry, kept
from stepwire.wiring.wiring import ITEM


class Builder:
    """Builds deliveries for one step."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._ours = f"stepwire:{step.app}/"
        self._answers, emitted = step.wiring.answers, step.wiring.graph.emitted
        outer = {answer for answer, external in self._answers.items() if external.ask not in emitted}
        #: what always stands where this app put it; an answer stands where its ask does
        self._inside = {e for e in step.wiring.events if e in emitted and e not in outer and not e.spec.entry}
        wiring = step.wiring
        placing = [h for h in wiring.handlers.values() if h.signature.is_join or wiring.owes(h.name)]
        self._placed = {
            event for h in placing for event in h.signature.taken
        }  #: of these somebody asks where they stand
        self._single = next((part.name for part in step.handler.signature.parts), "")

    def from_record(self, record: Record, decoded: Decoded) -> Delivery:
        """A delivery of one event."""
        envelope, event = decoded.envelope, decoded.event
        scope = self.scope(type(event), envelope.source, envelope.scope) if envelope.scope else ROOT
        id_ = "" if self._step.is_join else envelope.identity  # a part's identity is never asked for
        delivery = Delivery(
            id_, derived_run(envelope, event, self._step.app), scope, {self._single: event}, record,
            envelope.traceparent, envelope.tracestate, None, envelope.correlation, record.time, record.topic,
        )  # fmt: skip
        if self._step.handler.options.max_visits is not None:
            delivery.visit = scope.visit(self._step.name) + 1
        return delivery

    def scope(self, event: type[Event], source: str, text: str) -> Scope:
        """Where an event stands; what a foreign app wrote there is a prefix of our root scope."""
        return parse_scope(text, ours=event in self._inside or source.startswith(self._ours))

    def decode(self, codec: Codec, record: Record) -> Decoded | Other:
        """Read a record. Raises DecodeError, also for an event that stands where none of its type can; NoRun."""
        decoded = codec.decode(record)
        if not isinstance(decoded, Decoded):
            return decoded
        event, envelope = type(decoded.event), decoded.envelope
        depth = self._step.wiring.depth[event] if event in self._placed else 0
        asked = not envelope.run and self._answers.get(event)
        if asked and asked.match is None:
            raise NoRun(
                record.topic, "the answer echoes no ce_swrun header; echo our headers, or set match= on external()"
            )
        if asked or not (envelope.scope or depth) or self.scope(event, envelope.source, envelope.scope).fits(depth):
            return decoded  # of an answer by a field its ask says where it stands
        raise DecodeError(record.topic, f"it stands below {depth} scatters, and its ce_swscope is {envelope.scope!r}")

    def type_of(self, record: Record) -> EventType | None:
        """Which event a record was to be, of whatever version."""
        events = [event for event in self._step.wiring.events if event.spec.topic == record.topic]
        try:
            kind = Codec(record.topic, events).kind(record)
        except DecodeError:
            kind = record.headers.get("ce_type", "")
        base = kind.rpartition(".v")[0]
        return next((event for event in events if kind == event.spec.type or base == event.spec.base), None)

    def unreadable(self, record: Record, run: str = "") -> Delivery:
        """As much of a delivery as the headers of a record say whose value is damaged; without a run it owes nothing.

        `run` is that of a record that does not say its own.
        """
        headers = record.headers
        source = headers.get("ce_source", record.topic)
        id_ = identity(source, headers.get("ce_id", f"{record.partition}/{record.offset}"))
        where = (Partition(record.topic, record.partition), record.offset)
        delivery = Delivery(id_, "", record=record, time=record.time, topic=record.topic, offset=where)
        event = self.type_of(record)
        scope = ROOT if event is None else self.scope(event, source, headers.get("ce_swscope", ""))
        if event is not None and scope.fits(self._step.wiring.depth[event]):
            delivery.run, delivery.scope = headers.get("ce_swrun") or run, scope
        return delivery

    def from_item(
        self, mailbox: Mailbox, key: str, meta: Mapping[str, Any], record: Record, decoded: Decoded
    ) -> Delivery:
        """A delivery that was kept: parked, claimed, in an order's queue, or replayed."""
        delivery = self.from_record(record, decoded)
        delivery.mailbox, delivery.entry, delivery.meta = mailbox, key, meta
        delivery.attempt = meta.get("attempt", 1)
        delivery.replay, delivery.edited = meta.get("replay", 0), bool(meta.get("edited"))
        return delivery

    def from_join(self, mailbox: Mailbox, join: JoinState) -> Delivery:
        """A delivery of what a join has; a parked call has the parts that it was parked with."""
        call = join.call or {}
        frozen = call.get("frozen")
        slots = list(join.slots) if frozen is None else [slot for slot in frozen if slot in join.slots]
        delivery = Delivery(
            join.id, join.run, parse_scope(join.scope, ours=True), topic=self._step.control, time=join.opened,
            mailbox=mailbox, entry=join.id, meta=call, attempt=call.get("attempt", 1), replay=call.get("replay", 0),
            is_join=True, frozen=tuple(slots),
        )  # fmt: skip
        for slot in slots:
            self._fill(delivery, slot, join.slots[slot])
        if self._step.match is not None and "ask" in join.slots:
            headers = decode_entry(join.slots["ask"]).headers  # the answer is caused by the ask, not by their meeting
            delivery.id = identity(headers["ce_source"], headers["ce_id"])
        self._complete(delivery, join)
        return delivery

    def _fill(self, delivery: Delivery, slot: str, raw: bytes) -> None:
        record = kept(decode_entry(raw))
        event = self._known(self._step.codec(record.topic), record)
        if not delivery.traceparent:
            delivery.traceparent = record.headers.get("traceparent") or record.headers.get("ce_traceparent", "")
            delivery.tracestate = record.headers.get("tracestate") or record.headers.get("ce_tracestate", "")
        delivery.correlation = delivery.correlation or record.headers.get("ce_correlationid", "")
        delivery.args[slot] = event

    def _known(self, codec: Codec, record: Record) -> Event:
        event = codec.event(record)
        if event == "newer":
            raise newer(record)
        if isinstance(event, str):
            raise DecodeError(f"a part of {self._step.name}", f"its type is {event} to this worker")
        return event

    def _complete(self, delivery: Delivery, join: JoinState) -> None:
        """Items into their list, absent parts to None, the decision around its event."""
        signature, args = self._step.handler.signature, delivery.args
        missing = [slot if slot != LIST or signature.items is None else signature.items.name for slot in join.blocked]
        if signature.items is not None:
            numbers = sorted((slot for slot in args if slot.isdigit()), key=int)
            args[signature.items.name] = [args.pop(slot) for slot in numbers]
            missing += [slot for slot in join.outstanding(self._step.rules) or () if slot not in missing]
        for part in signature.parts:
            if part.name not in args:
                args[part.name] = None
                missing.append(part.name)
            elif part.decision:
                args[part.name] = self._decided(join, part.name, args[part.name])
                delivery.meta = {**delivery.meta, "asked": True}
        delivery.missing = tuple(dict.fromkeys(missing))
        if join.open is not None:
            opened = decode_entry(join.open).meta
            delivery.traceparent = delivery.traceparent or opened.get("trace", "")
            delivery.correlation = delivery.correlation or opened.get("correlation", "")

    def _decided(self, join: JoinState, slot: str, event: Event) -> Decision[Any] | None:
        if join.decision is None:
            return None
        entry = decode_entry(join.decision)
        meta, edited = entry.meta, None
        if entry.value:
            edited = self._edited(kept(decode_entry(join.slots[slot])), type(event), entry)
        return Decision[Any].model_construct(
            approved=meta["approved"], by=meta["by"], why=meta["why"], event=event, edited=edited
        )

    def _edited(self, record: Record, event: type[Event], entry: Entry) -> Event:
        """The event as a person wants it, in the version that they edited.

        An entry of an earlier release does not say which: that of this release, or the one in which it was asked.
        """
        codec, said = self._step.codec(record.topic), entry.meta.get("type")
        for kind in [said] if said else [event.spec.type, codec.kind(record)]:
            try:
                headers = {"ce_type": kind, "content-type": JSON}
                return self._known(codec, record._replace(headers=headers, value=entry.value))
            except DecodeError as error:
                failed = error
        raise DecodeError(f"an edit of {event.__name__} by {entry.meta['by']}", failed.reason)

    def part_slot(self, delivery: Delivery) -> str:
        """Which slot of this join an event fills."""
        event = next(iter(delivery.args.values()))
        return self._step.slot_of(event) or ITEM


def newer(record: Record) -> NewerType:
    """Why it waits; and why it is a dead letter, if nobody who knows the version comes."""
    kind = record.headers.get("ce_type", "")
    return NewerType(f"{kind} is newer than what this worker knows; deploy the release that knows it, then replay")

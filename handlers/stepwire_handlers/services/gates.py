"""What waits for a person: gates, and effects of which nobody knows whether they happened (R13).

In: stored joins and items. Out: a list of them, and the control records that decide. What was decided and lies unread
on the control topic is not listed: it waits for a worker, no more for a person.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from stepwire import App, Event
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.codec import Codec
from stepwire.dispatch.step import control_topic, join_rules
from stepwire.errors import BusError, DecodeError, SettingsError, StepwireError
from stepwire.gate import decision, occurrence, signed
from stepwire.join import JoinState, deadline
from stepwire.state import ITEM, JOIN, Entry, decode_entry, kept
from stepwire.wiring.graph import AnyHandler
from stepwire_handlers.services.contest import DecidedAlready, Ends, ends, won
from stepwire_handlers.services.fields import known, read_as, reasons, unknown
from stepwire_handlers.services.mark import Mark
from stepwire_handlers.services.said import Said, changed, note
from stepwire_handlers.services.snapshot import Unread, snapshot
from stepwire_handlers.services.stars import Meant
from stepwire_handlers.services.stored import Item, Stored
from stepwire_handlers.telemetry.mask import sensitive_values, without_pieces

GATE, UNKNOWN = "gate", "unknown outcome"
UNREADABLE = "this release cannot read its event"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that a person owes."""

    id: str
    handler: str
    kind: str  #: gate | unknown outcome
    run: str
    since: float  #: when it was asked, last
    until: float | None  #: when a gate expires
    event: Event | None
    why: str = ""
    key: str = ""  #: by what it was put into its control partition, if not by its id
    ends: Ends = field(default_factory=dict)  #: of its control topic: what lies behind them may have decided it since
    of: str = ""  #: of an unknown outcome: which time it is that nobody knows it


class Gates:
    """What waits for a person in one app, as it is now: make a new one to look again."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self._app, self._bus = app, bus
        self._stored, self._unread = Stored(app, bus), Unread(app, bus)
        self._known_ends: dict[str, Ends] = {}

    def _ends(self, handler: str) -> Ends:
        """Before anything unread is looked at."""
        if handler not in self._known_ends:
            self._known_ends[handler] = ends(self._bus, control_topic(self._app.name, handler))
        return self._known_ends[handler]

    def open(self) -> list[Waiting]:
        """All of them, oldest first."""
        found: list[Waiting | None] = []
        with snapshot(self._bus):
            for handler, kept_as in self._asking():
                mailbox = self._stored.mailbox(handler, kept_as)
                found += [self.of_join(handler, join) for join in mailbox.joins.values()]
                found += [self.of_item(Item(handler, id_, decode_entry(raw))) for id_, raw in mailbox.items.items()]
        return sorted((waiting for waiting in found if waiting is not None), key=lambda waiting: waiting.since)

    def _asking(self) -> Iterator[tuple[str, str]]:
        """The handlers that a person can owe something, and how the keys of it begin."""
        for handler in self._app.handlers:
            once = handler.options.effect == "once"
            if handler.signature.is_gate or (once and handler.signature.is_join):
                yield handler.name, JOIN
            elif once:
                yield handler.name, ITEM

    def after(self, mark: Mark, limit: int, prefix: str = "") -> list[tuple[Mark, Waiting]]:
        """At most so many of them, oldest first, from behind a mark, whose id begins so. Only these are decoded."""
        found: list[tuple[Mark, Waiting]] = []
        with snapshot(self._bus):
            for at, handler, id_ in sorted(head for head in self._heads(prefix) if head[0] > mark):
                if (waiting := self.of(handler, id_)) is not None:
                    found.append((at, waiting))
                    if len(found) == limit:
                        break
        return found

    def _heads(self, prefix: str = "") -> Iterator[tuple[Mark, str, str]]:
        """What a person may owe: where it stands, its handler and id; nothing of what is kept is decoded for it."""
        for handler, kept_as in self._asking():
            where = f"{self._app.name}/{handler}/"
            if kept_as == JOIN:
                for join in self._stored.outlines(handler, prefix):
                    if self._kind(handler, join):
                        yield Mark(join.opened, where + join.id), handler, join.id
                continue
            for key, meta in self._stored.metas(handler, ITEM + prefix):
                if meta.get("unknown"):
                    id_ = key.removeprefix(ITEM)
                    yield Mark(meta["at"], where + id_), handler, id_

    def of(self, handler: str, id_: str) -> Waiting | None:
        """What a person owes this delivery or join, without a look at the others; None if it is nothing."""
        join = self._stored.join(handler, id_)
        if join is not None:
            return self.of_join(handler, join)
        item = self._stored.item(handler, id_)
        return None if item is None else self.of_item(item)

    def named(self, id_: str) -> list[Waiting]:
        """What waits under exactly this id; more than one if one event waits in two handlers."""
        with snapshot(self._bus):
            found = [self.of(name, each) for _, name, each in self._heads(id_) if each == id_]
        return [waiting for waiting in found if waiting is not None]

    def of_item(self, item: Item) -> Waiting | None:
        """What a person owes a delivery; None if it waits for something else."""
        if not item.unknown:
            return None
        so_far = self._ends(item.handler)
        if "resolve" in self._unread.kinds(item.handler, item.id):
            return None
        record = kept(item.entry)
        run = record.headers.get("ce_swrun") or str(item.entry.meta.get("run", ""))
        key = str(item.entry.meta.get("order", ""))
        event = self._event(item.entry)
        why = without_pieces(item.unknown, sensitive_values(event))  # an exception may quote what is sensitive
        of = occurrence(item.entry.meta)
        return Waiting(item.id, item.handler, UNKNOWN, run, record.time, None, event, why, key, so_far, of)

    def of_join(self, handler: str, join: JoinState) -> Waiting | None:
        """What a person owes a join; None if it waits for something else."""
        kind = self._kind(handler, join)
        if not kind:
            return None
        so_far = self._ends(handler)
        if ("resolve" if kind == UNKNOWN else "decision") in self._unread.kinds(handler, join.id):
            return None
        step = self._app.wiring.handlers[handler]
        if kind == UNKNOWN:
            why = without_pieces(str((join.call or {})["unknown"]), sensitive_values(self._parts(join)))
            of = occurrence(join.call or {})
            return Waiting(join.id, handler, UNKNOWN, join.run, join.opened, None, None, why, ends=so_far, of=of)
        until = deadline(join, join_rules(step, self._app.settings, self._app.wiring))
        entry = decode_entry(join.slots[_asked(step)])
        event = self._event(entry)
        why = "" if event is not None else f"{UNREADABLE}; approve it with the release that wrote it, or decline it"
        call = join.call or {}  # of one that asked anew
        since, of = float(call.get("since", kept(entry).time)), str(call.get("replay", ""))
        return Waiting(join.id, handler, GATE, join.run, since, until, event, why, ends=so_far, of=of)

    def _parts(self, join: JoinState) -> list[Event | None]:
        return [self._event(decode_entry(raw)) for raw in join.slots.values()]

    def _kind(self, handler: str, join: JoinState) -> str:
        """Gate or unknown outcome; empty if a person owes it nothing. An outline of the join is enough."""
        step, call = self._app.wiring.handlers.get(handler), join.call or {}
        if step is None or join.stub is not None or call.get("dead"):
            return ""
        if call.get("unknown"):
            return UNKNOWN
        return GATE if join.decision is None and _asked(step) in join.slots else ""

    def _event(self, entry: Entry) -> Event | None:
        record = kept(entry)
        types = [event for event in self._app.wiring.events if event.spec.topic == record.topic]
        try:
            event = Codec(record.topic, types).event(record)
        except DecodeError:
            return None
        return None if isinstance(event, str) else event

    def find(self, prefix: str) -> Waiting:
        """The one whose id begins so. Raises StepwireError if there is none, or more than one.

        An empty beginning, such as a shell's variable that was never set, is refused: it would fit what waits alone.
        """
        if not prefix:
            raise SettingsError("the id is empty; see: stepwire gates list --app …")
        found = [waiting for _, waiting in self.after(Mark(), 2, prefix)]
        if len(found) != 1:
            what = "several things that wait for a person begin" if found else "nothing that waits for a person begins"
            raise StepwireError(
                f"{what} with {prefix!r} (decided or expired? one that expired asks anew after "
                f"stepwire dlq replay); see: stepwire gates list --app …"
            )
        return found[0]

    # -- answers

    async def decide(
        self, gate: Waiting, *, approved: bool, by: str, why: str, edited: dict[str, Any] | None, key: str
    ) -> bool:
        """Approve or decline; `edited` are the fields of the event as the person wants it. Is it known that it counts?

        Raises SettingsError for what is no gate and for an edit that does not fit, DecidedAlready, BusUnavailable.
        """
        if gate.kind != GATE:
            raise SettingsError(f"{gate.id[:12]} is an unknown outcome: use --done JSON, --redo or --drop")
        if approved and gate.event is None:
            raise SettingsError(
                f"the event of {gate.id[:12]} cannot be read by this release, so nobody sees what is approved here; "
                f"approve it with the release that wrote it, or decline it"
            )
        event = None if edited is None else self._edited(gate, edited)
        value = b"" if event is None else event.model_dump_json().encode()
        kind = "" if event is None else event.spec.type  # a worker of another release brings it up to its own version
        entry = decision(
            gate.id, approved=approved, by=by, why=why, edited=value, type=kind, key=key, sent=time.time(), of=gate.of
        )
        fields = None if event is None else changed(gate.event, event)
        said = Said(gate.handler, gate.id, "approve" if approved else "decline", by, why, fields)
        return await self._send(gate, entry, said, key, event)

    @staticmethod
    def _edited(gate: Waiting, fields: dict[str, Any]) -> Event:
        if gate.event is None:
            raise SettingsError(f"the event of {gate.id[:12]} cannot be read by this release, so it cannot be edited")
        kind = type(gate.event)
        if "type" not in kind.model_fields and fields.get("type") == kind.__name__:  # as a door shows the event
            fields = {name: value for name, value in fields.items() if name != "type"}
        called = {also: name for name, info in kind.model_fields.items() for also in read_as(kind, name, info)}
        fields = {called.get(name, name): value for name, value in fields.items()}
        if unknown := sorted(fields.keys() - kind.model_fields.keys()):
            raise SettingsError(
                f"{kind.__name__} has no field {', '.join(unknown)}; it has {', '.join(kind.model_fields)}"
            )
        meant = Meant(fields, gate.event)
        try:
            event = kind.model_validate(_merged(gate.event, meant.value))
        except ValidationError as error:
            inside = any(len(issue["loc"]) > 1 for issue in error.errors(include_url=False, include_input=False))
            whole = "; what is nested is given whole: it takes the place of the field's value" if inside else ""
            raise SettingsError(f"the edit is no {kind.__name__}: {reasons(error)}{whole}{meant.hint}") from None
        meant.check(event)
        return event

    async def resolve(
        self, waiting: Waiting, verdict: str, *, by: str, why: str = "", kind: str = "", data: str = "null", key: str
    ) -> bool:
        """Say what became of an unknown outcome: done (with the event it returned), redo or drop. Does it count?

        Raises SettingsError for a gate and for an event that the handler never returns, DecidedAlready, BusUnavailable.
        """
        if waiting.kind != UNKNOWN:
            raise SettingsError(f"{waiting.id[:12]} is a gate: use --approve or --decline")
        name, value = "", "null"
        if verdict == "done":
            name, value = returned(self._app.wiring.handlers[waiting.handler], kind, data)
        meta = {"kind": "resolve", "id": waiting.id, "verdict": verdict, "by": by, "type": name, "of": waiting.of}
        said = Said(waiting.handler, waiting.id, verdict, by, why)
        return await self._send(waiting, signed(meta, value.encode(), key), said, key)

    async def _send(
        self, waiting: Waiting, entry: Entry, said: Said, key: str, edited: Event | None = None
    ) -> bool:  # fmt: skip
        topic = control_topic(self._app.name, waiting.handler)
        join = self._stored.join(waiting.handler, waiting.id) if waiting.kind == UNKNOWN else None
        app, quoted = self._app.name, (waiting.event, edited, *(() if join is None else self._parts(join)))
        noted = note(app, waiting.run, said, *quoted, key=key, of=waiting.of)
        places = await self._bus.publish([Out(topic, waiting.key or waiting.id, {}, entry.encode()), *noted])
        try:
            return won(self._bus, waiting.ends, places[0], entry, key)
        except DecidedAlready:
            with suppress(BusError):  # the run then shows two, of which the first counts
                await self._bus.publish(note(app, waiting.run, said, *quoted, key=key, of=waiting.of, taken_back=True))
            raise


def _merged(event: Event, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The event as JSON has it, with other values; what lay there under an alias would be read before them."""
    data = event.model_dump(mode="json")
    for name in fields:
        data.pop(type(event).model_fields[name].serialization_alias or name, None)
    return {**data, **fields}


def _asked(step: AnyHandler) -> str:
    """The slot of a gate that holds what is asked about; empty for another join."""
    return next((part.name for part in step.signature.parts if part.decision), "")


def returned(handler: AnyHandler, kind: str, data: str) -> tuple[str, str]:
    """What a person says that a handler returned: the event's class, and its JSON. Raises SettingsError."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise SettingsError(f"--done is no JSON: {error}") from None
    single = [term.events[0] for term in handler.signature.returns if len(term.events) == 1 and term.items is None]
    names = ", ".join(event.__name__ for event in single) or "no single event"
    if value is None:
        if any(not term.events and term.items is None for term in handler.signature.returns):
            return "", "null"
        raise SettingsError(f"{handler.name} never returns nothing; it returns {names}: give its JSON")
    fits: list[Event] = []
    problem = ""
    for event in single:
        if kind in ("", event.__name__, event.spec.type):
            try:
                fits.append(event.model_validate(value))
            except ValidationError as error:
                problem = f" ({event.__name__}: {reasons(error)})"
    if len(fits) == 1:
        fit = type(fits[0])
        if strange := unknown(fit, value):
            raise SettingsError(f"{fit.__name__} has no field {', '.join(strange)}; it has {', '.join(known(fit))}")
        Meant(value, None).check(fits[0])
        return type(fits[0]).__name__, fits[0].model_dump_json()
    if fits:
        raise SettingsError(f"that fits {' and '.join(type(event).__name__ for event in fits)}; say which with --type")
    raise SettingsError(f"that is nothing that {handler.name} returns; it returns {names}{problem}")

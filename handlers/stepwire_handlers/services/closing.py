"""When a run is closed (DESIGN §8): a pure fold over its records, with the wiring at hand.

Open = {(identity, handler) of every handler that takes the event} ∪ {join ids named by a part, an `open` or a
settlement} − {(cause, `ce_swhandler`) seen} − {ended}. Sets, not counts: what lies there twice changes nothing.
For a join handler the open item of an event is the join that it is a part of; it is addressed by the kernel's own code.

In: the records of one run in the order of time, on business topics, `.dlt` and `<app>.runs`. Out: what happened, and
what is open. What an open item waits for is not in the records: `services.runs` asks the stored state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from stepwire import App, Event
from stepwire.bus.protocol import Partition, Record
from stepwire.clock import SystemClock
from stepwire.codec import Codec, Decoded, Other
from stepwire.dispatch.build import Builder
from stepwire.dispatch.emit import Emitter
from stepwire.dispatch.step import Step, dead_letter_topic, runs_topic
from stepwire.envelope import Scope
from stepwire.errors import DecodeError
from stepwire.event import digest
from stepwire.telemetry import silent
from stepwire.wiring.wiring import Owed
from stepwire_handlers.services.dead_letter import DeadLetter, letter_of
from stepwire_handlers.services.said import Told, end_of, told

ANY = ""  #: in a key: a join id names its handler by itself
Key = tuple[str, str]  #: (identity, handler), or (join id, ANY)


class Line(NamedTuple):
    """One event of a run."""

    time: float
    handler: str  #: who emitted it; empty: published
    event: Event
    identity: str
    cause: str
    scope: str
    stamps: tuple[tuple[str, str], ...] = ()  #: what the step wrote into the envelope, such as its prompt's version


class Ended(NamedTuple):
    """A delivery that ended without an event, settled something beside it, or needed several attempts."""

    time: float
    handler: str
    delivery: str
    why: str
    attempts: int = 1
    error: str = ""  #: of the attempt before


class Opened(NamedTuple):
    """Something that a run waits for."""

    handler: str  #: empty: a join that only an `ended` record named
    id: str  #: an identity, or a join id
    since: float
    is_join: bool
    address: str  #: what it is found by in state; another than the id where an external step matches by a field
    places: tuple[tuple[Partition, int], ...] = ()  #: where the events lie that opened it


@dataclass(slots=True)
class Folded:
    """What the records of one run say."""

    run: str
    lines: list[Line] = field(default_factory=list)
    ends: list[Ended] = field(default_factory=list)
    said: list[Told] = field(default_factory=list)  #: what people did, oldest first
    letters: list[DeadLetter] = field(default_factory=list)  #: the last one of each delivery, oldest first
    overcome: list[DeadLetter] = field(default_factory=list)  #: of deliveries that came to an end after it
    parts: dict[str, list[Line]] = field(default_factory=dict)  #: join id -> the events that it was made of
    arrived: dict[str, set[str]] = field(default_factory=dict)  #: join id -> slots whose parts lie on a topic
    open: list[Opened] = field(default_factory=list)
    newer: list[list[Opened]] = field(default_factory=list)  #: a part of a version unknown here, and the join for it


class Reader:
    """What of an app it takes to read its runs; made once, never changed."""

    def __init__(self, app: App) -> None:
        self.app, self.wiring = app, app.wiring
        self.steps = [
            Step(handler, app.wiring, app.settings, SystemClock(), silent, match=self._match(handler.name))
            for handler in app.runnable
        ]
        topics = dict.fromkeys(event.spec.topic for event in app.wiring.events)
        self.codecs = {t: Codec(t, [e for e in app.wiring.events if e.spec.topic == t]) for t in topics}
        self.letters = {dead_letter_topic(app.name, handler.name): handler.name for handler in app.runnable}
        self.ended = runs_topic(app.name)
        self.results = frozenset(e for e in app.wiring.events if e.spec.result and app.wiring.depth[e] == 0)
        self._builder, self._emitter = Builder(self.steps[0]), Emitter(self.steps[0])

    def _match(self, name: str) -> str | None:
        step = self.wiring.externals.get(name)
        return None if step is None else step.match

    def scope(self, decoded: Decoded) -> Scope:
        """Where an event stands."""
        envelope = decoded.envelope
        return self._builder.scope(type(decoded.event), envelope.source, envelope.scope)

    def join(self, handler: str, slot: str, run: str, scope: Scope) -> tuple[str, str]:
        """The join that a part at `scope` belongs to, and the slot that it fills, addressed as the kernel does."""
        address = self._emitter.address(Owed(handler, slot), run, scope)
        return str(address["id"]), str(address["slot"])

    def is_join(self, handler: str) -> bool:
        """Does it wait for more than one thing? An external step does not."""
        known = self.wiring.handlers.get(handler)
        return known is not None and known.signature.is_join

    def decode(self, record: Record) -> Decoded | Other:
        """Read an event as the kernel does. Raises DecodeError."""
        return self._builder.decode(self.codecs[record.topic], record)

    def unreadable(self, record: Record, run: str) -> tuple[str, Scope | None]:
        """Identity and scope as the headers say, of a record that cannot be read; None: it stands nowhere."""
        delivery = self._builder.unreadable(record, run)
        return delivery.id, delivery.scope if delivery.run else None

    def slot(self, step: Step, record: Record) -> str | None:
        """The slot of a join that a record that cannot be read was to fill."""
        event = self._builder.type_of(record)
        return None if event is None else step.slots.get(event)


def fold(records: Iterable[Record], run: str, reader: Reader) -> Folded:
    """Read a run."""
    state = _Fold(run, reader)
    for record in records:
        state.add(record)
    return state.conclude()


class _Fold:
    """What is known so far."""

    def __init__(self, run: str, reader: Reader) -> None:
        self._reader, self._out = reader, Folded(run)
        self._opened: dict[Key, Opened] = {}
        self._closed: dict[Key, float] = {}  #: when it was closed last
        self._letters: dict[Key, DeadLetter] = {}
        self._damaged: list[tuple[Key, str, str]] = []  #: delivery, join id and slot of parts that cannot be read
        self._answers: list[int] = []  #: lines that a foreign service wrote

    def add(self, record: Record) -> None:
        """One more record."""
        reader = self._reader
        if record.topic in reader.codecs:
            self._business(record)
        elif record.topic == reader.ended:
            self._ended(record)
        elif record.topic in reader.letters:
            letter = letter_of(reader.letters[record.topic], record)
            if letter is not None:
                self._letters.pop((letter.id, letter.handler), None)
                self._letters[letter.id, letter.handler] = letter

    def _close(self, id_: str, handler: str, time: float) -> None:
        self._closed |= {(id_, handler): time, (id_, ANY): time}

    def _open(self, handler: str, id_: str, record: Record, address: str = "") -> None:
        is_join = self._reader.is_join(handler)
        key = (id_, ANY if is_join else handler)
        before = self._opened.get(key)
        since = before.since if before else record.time
        places = (*(before.places if before else ()), (Partition(record.topic, record.partition), record.offset))
        if before is None or not before.handler:
            before = Opened(handler, id_, since, is_join, address or id_)
        self._opened[key] = before._replace(places=places)

    def _ended(self, record: Record) -> None:
        body = end_of(record.value)
        if body is None:
            return
        if (word := told(body, self._out.run, record.time)) is not None:
            self._out.said.append(word)
            return
        attempts, error = body.get("attempts", 1), body.get("error", "")
        self._out.ends.append(Ended(record.time, body["handler"], body["delivery"], body["why"], attempts, error))
        self._close(body["delivery"], body["handler"], record.time)
        for id_ in body["joins"]:
            self._opened.setdefault((id_, ANY), Opened("", id_, record.time, True, id_))

    # -- events

    def _business(self, record: Record) -> None:
        try:
            decoded = self._reader.decode(record)
        except DecodeError:
            decoded = "other"
        if isinstance(decoded, Decoded):
            self._event(record, decoded)
        else:
            self._not_read(record)

    def _event(self, record: Record, decoded: Decoded) -> None:
        reader, envelope, event = self._reader, decoded.envelope, decoded.event
        line = Line(
            record.time, envelope.handler, event, envelope.identity, envelope.cause, envelope.scope,
            tuple((name[2:], text) for name, text in envelope.extensions if name.startswith("sw")),
        )  # fmt: skip
        answered = reader.wiring.answers.get(type(event))
        if answered is not None and envelope.handler != answered.name:
            self._answers.append(len(self._out.lines))
        elif envelope.handler:
            self._close(envelope.cause, envelope.handler, record.time)
        self._out.lines.append(line)
        for handler, slot in reader.wiring.takers.get(type(event), ()):
            if reader.is_join(handler):
                id_, filled = reader.join(handler, slot, self._out.run, reader.scope(decoded))
                self._out.arrived.setdefault(id_, set()).add(filled)
                self._out.parts.setdefault(id_, []).append(line)
                self._open(handler, id_, record)
            else:
                self._open(handler, line.identity, record, self._address(handler, event))

    def _address(self, handler: str, event: Event) -> str:
        """An external step that matches by a field keeps the ask under the field's value."""
        step = self._reader.wiring.externals.get(handler)
        if step is None or step.match is None:
            return ""
        return digest(self._reader.app.name, handler, str(getattr(event, step.match)))

    def _not_read(self, record: Record) -> None:
        """Damaged, or newer than this release: whoever takes it still has it before them."""
        if record.headers.get("ce_swhandler"):  # whoever emitted it is done, whatever became of it
            self._close(record.headers.get("ce_swcause", ""), record.headers["ce_swhandler"], record.time)
        identity, scope = self._reader.unreadable(record, self._out.run)
        if scope is None:
            return
        for step in self._reader.steps:
            codec = step.codecs.get(record.topic)
            if codec is None or step.match is not None:
                continue
            found = _reading(codec, record)
            if found == "damaged" and step.is_join:
                self._blocked_part(step, record, identity, scope)
            elif found == "newer" and step.is_join:
                places = [Opened(step.name, identity, record.time, is_join=False, address=identity)]
                if (slot := self._reader.slot(step, record)) is not None:
                    id_, _ = self._reader.join(step.name, slot, self._out.run, scope)
                    places.append(Opened(step.name, id_, record.time, is_join=True, address=id_))
                self._out.newer.append(places)
            elif found in ("damaged", "newer"):
                self._open(step.name, identity, record)

    def _blocked_part(self, step: Step, record: Record, identity: str, scope: Scope) -> None:
        slot = self._reader.slot(step, record)
        if slot is not None:
            id_, filled = self._reader.join(step.name, slot, self._out.run, scope)
            self._damaged.append(((identity, step.name), id_, filled))
            self._open(step.name, id_, record)

    # -- the end

    def conclude(self) -> Folded:
        """What is open now."""
        for index in self._answers:
            self._answer(index)
        out = self._out
        for key, id_, slot in self._damaged:
            if key not in self._letters:  # nobody has met it yet
                out.arrived.setdefault(id_, set()).add(slot)
        out.open = [
            item
            for key, item in self._opened.items()
            if key not in self._closed and (item.address, item.handler) not in self._closed
        ]
        for key, letter in self._letters.items():
            over = self._closed.get(key, 0.0) >= letter.record.time
            (out.overcome if over else out.letters).append(letter)
        return out

    def _answer(self, index: int) -> None:
        """A service's answer closes the ask whose headers it echoes; if it echoes the run only, the oldest there."""
        line = self._out.lines[index]
        step = self._reader.wiring.answers[type(line.event)]
        asks = [ask for ask in self._out.lines if type(ask.event) is step.ask]
        waiting = [ask for ask in asks if (ask.identity, step.name) not in self._closed]
        echoed = [
            ask for ask in waiting if (ask.cause, ask.handler, ask.scope) == (line.cause, line.handler, line.scope)
        ]
        ask = next(iter(echoed or ([] if line.cause else waiting)), None)
        if ask is not None:
            self._close(ask.identity, step.name, line.time)
            self._out.lines[index] = line._replace(handler=step.name, cause=ask.identity)
        elif line.handler and not self._is_echo(line, asks):
            self._close(line.cause, line.handler, line.time)

    @staticmethod
    def _is_echo(line: Line, asks: list[Line]) -> bool:
        return any((ask.cause, ask.handler) == (line.cause, line.handler) for ask in asks)


def _reading(codec: Codec, record: Record) -> str:
    """Damaged | newer | other | known: what a record is to one handler."""
    try:
        found = codec.decode(record)
    except DecodeError:
        return "damaged"
    return found if isinstance(found, str) else "known"


__all__ = ["ANY", "Ended", "Folded", "Line", "Opened", "Reader", "fold"]

"""Dead letters: unfinished deliveries, listed, shown, resumed or given up (R8, R14).

In: the `.dlt` topics of an app. Out: what became of each, what it holds up, and control records that resume or drop it.
Of several dead letters of one delivery the last one counts. Nothing is deleted: what was answered stays to be read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from stepwire import App, Event
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition, Record
from stepwire.bus.sqlite import position
from stepwire.codec import Codec
from stepwire.dispatch.step import control_topic, dead_letter_topic, runs_topic
from stepwire.errors import DecodeError, SettingsError, StepwireError
from stepwire.jsontext import load
from stepwire.memory import replay, replay_key
from stepwire.state import decode_entry, kept
from stepwire.wiring.graph import AnyHandler
from stepwire_handlers.services.dead_letter import DeadLetter, letter_of, without_quotes
from stepwire_handlers.services.fields import known, unknown
from stepwire_handlers.services.history import History
from stepwire_handlers.services.mark import Mark
from stepwire_handlers.services.said import PAST, Said, Told, changed, note, words_of
from stepwire_handlers.services.signing import Signing
from stepwire_handlers.services.snapshot import Unread, snapshot
from stepwire_handlers.services.stars import Meant
from stepwire_handlers.services.stored import Stored
from stepwire_handlers.telemetry.mask import MASK, hidden_fields, sensitive_values

PAGE = 1_000
KEYS = ("sw_key", "sw_order")  #: headers that hold a value of the event, or what its publisher chose for a key


class Filter(NamedTuple):
    """Which dead letters are meant; empty: any."""

    handler: str = ""
    error: str = ""
    run: str = ""  #: how the run's id begins

    def matches(self, letter: DeadLetter) -> bool:
        """Is this one meant?"""
        named = self.handler in ("", letter.handler) and self.error in ("", letter.error)
        return named and letter.run.startswith(self.run)


NO_FILTER = Filter()


class Blocked(NamedTuple):
    """A join that a dead letter holds up."""

    handler: str
    id: str
    slot: str


class DeadLetters:
    """The dead letters of one app, as they are now: make a new one to look again.

    `past` keeps between two looks which old ones were answered, for those who look every second.
    """

    def __init__(self, app: App, bus: LocalBus, past: dict[tuple[str, str, int], str] | None = None) -> None:
        self._app, self._bus, self._past = app, bus, {} if past is None else past
        self._stored, self._unread = Stored(app, bus), Unread(app, bus)

    def every(self) -> Iterator[DeadLetter]:
        """All that ever were, oldest first for each handler."""
        for handler in self._app.runnable:
            topic, offset = dead_letter_topic(self._app.name, handler.name), 0
            if topic not in self._bus.log.topics:
                continue
            while records := self._bus.log.take(Partition(topic, 0), offset, PAGE):
                offset = records[-1].offset + 1
                yield from filter(None, (letter_of(handler.name, record) for record in records))

    def last(self) -> list[DeadLetter]:
        """The last one of each delivery, answered or not, newest last."""
        with snapshot(self._bus):
            last = {(letter.handler, letter.id): letter for letter in self.every()}
        return sorted(last.values(), key=lambda letter: letter.record.time)

    def open(self) -> list[DeadLetter]:
        """Those that nobody replayed or dropped since, newest last."""
        with snapshot(self._bus):
            return [letter for letter in self.last() if not self.answered(letter)]

    def after(
        self, mark: Mark, limit: int, wanted: Filter = NO_FILTER, prefix: str = "", *, every: bool = False,
        newest: bool = False,
    ) -> list[tuple[Mark, DeadLetter, str]]:  # fmt: skip
        """At most so many with their status, oldest first, from behind a mark, whose id begins so.

        Only these are read whole. `every`: also those that were answered. `newest`: these first.
        """
        found: list[tuple[Mark, DeadLetter, str]] = []
        with snapshot(self._bus):
            heads = sorted((head for head in self._last(wanted, prefix) if head[0] > mark), reverse=newest)
            for at, handler, offset in heads:
                (record,) = self._bus.log.take(Partition(dead_letter_topic(self._app.name, handler), 0), offset, 1)
                letter = DeadLetter(handler, record)
                status = self.status(letter)
                if every or status == "open":
                    found.append((at, letter, status))
                    if len(found) == limit:
                        break
        return found

    def _last(self, wanted: Filter, prefix: str) -> Iterator[tuple[Mark, str, int]]:
        """The last dead letter of each delivery, if it is wanted: where it stands, its handler and offset."""
        last: dict[tuple[str, str], tuple[Mark, str, int] | None] = {}
        for handler in self._app.runnable:
            for head in self._heads(handler.name, prefix) if wanted.handler in ("", handler.name) else ():
                mark = Mark(head.record.time, f"{self._app.name}/{handler.name}/{head.id}")
                fits = wanted.matches(head)
                last[handler.name, head.id] = (mark, handler.name, head.record.offset) if fits else None
        return (head for head in last.values() if head is not None)

    def _heads(self, handler: str, prefix: str) -> Iterator[DeadLetter]:
        """Dead letters of a handler without what they keep."""
        topic = dead_letter_topic(self._app.name, handler)
        if topic not in self._bus.log.topics:
            return
        start = position(self._bus.log.topics[topic][0], 0, 0)
        plain = prefix if prefix.isascii() and prefix.isalnum() else ""  # as it stands in JSON, whoever wrote that
        rows = self._bus.store.db.execute(
            "SELECT pos, time, key, headers FROM events WHERE pos >= ? AND pos < ? AND instr(headers, ?) ORDER BY pos",
            (start, start + self._bus.log.end(Partition(topic, 0)), plain),
        )
        for pos, time, key, headers in rows:
            letter = letter_of(handler, Record(topic, 0, pos - start, time, key, load(headers), b""))
            if letter is not None and letter.id.startswith(prefix):
                yield letter

    def answered(self, letter: DeadLetter) -> bool:
        """Was it replayed or dropped, or is that under way?"""
        return self.status(letter) != "open"

    def status(self, letter: DeadLetter) -> str:
        """Open | under way | replayed | dropped | forgotten (of a join: its parts were kept long enough)."""
        verdict = self._stored.verdict(letter.handler, letter.id)
        if verdict["n"] > letter.number:
            return str(verdict["verdict"])
        if "replay" in self._unread.kinds(letter.handler, letter.id):
            return "under way"
        if letter.kind == "join":
            join = self._stored.join(letter.handler, letter.id)
            if join is None or join.call is None:
                return "forgotten"
            return "open" if join.call.get("dead") else "under way"
        if self._stored.item(letter.handler, letter.id) is not None:
            return "under way"
        return self._said_of(letter) or "open"

    def _said_of(self, letter: DeadLetter) -> str:
        """What people did about one that is older than verdicts are kept for: the run's own records tell it."""
        if self._bus.clock.now() - letter.record.time < self._app.settings.keep:
            return ""
        key = (letter.handler, letter.id, letter.number)
        if key not in self._past:
            answers = [
                w.said for w in self._words(letter) if w.said.decision in ("replay", "drop") and not w.taken_back
            ]
            if not any(said.time > letter.record.time for said in answers):
                return ""
            self._past[key] = PAST[answers[-1].decision]
        return self._past[key]

    def find(self, prefix: str, handler: str = "") -> DeadLetter:
        """The open one (of a handler) whose id begins so. Raises StepwireError if there is none, or more than one."""
        found = [letter for _, letter, _ in self.after(Mark(), 2, Filter(handler), _given(prefix))]
        if len(found) == 1:
            return found[0]
        if found:
            why = f"several open dead letters begin with {prefix!r}; --handler says whose"
        elif past := self.after(Mark(), 1, Filter(handler), prefix, every=True):
            why = f"the dead letter {prefix!r} is open no more: {past[0][2]}"
        else:
            why = f"no open dead letter begins with {prefix!r}"
        raise StepwireError(f"{why}; see: stepwire dlq list --app …")

    def read(self, prefix: str, handler: str = "") -> DeadLetter:
        """The one (of a handler) whose id begins so, answered or not. Raises StepwireError as `find` does."""
        found = [letter for _, letter, _ in self.after(Mark(), 2, Filter(handler), prefix, every=True)]
        if len(found) != 1:
            what = "several dead letters begin" if found else "no dead letter begins"
            raise StepwireError(f"{what} with {prefix!r}; --handler says whose; see: stepwire dlq list --every --app …")
        return found[0]

    def stats(self) -> Counter[tuple[str, str]]:
        """(handler, error) -> how many are open."""
        return Counter((letter.handler, letter.error) for letter in self.open())

    def blocked_by(self, letter: DeadLetter) -> list[Blocked]:
        """The joins that wait because of it."""
        key = f"{self._app.name}/{letter.handler}/{letter.id}"  # `#n` follows it after a replay with an edit
        with snapshot(self._bus):
            return [
                Blocked(handler, join.id, slot)
                for handler, join in self._stored.joins()
                for slot, by in join.blocked.items()
                if by.partition("#")[0] == key
            ]

    def said(self, letter: DeadLetter, signing: Signing) -> list[Said]:
        """What people did about it, or claim, oldest first."""
        return signing.counted(self._words(letter), {(letter.handler, letter.id)})

    def _words(self, letter: DeadLetter) -> list[Told]:
        topic, history = runs_topic(self._app.name), History(self._bus.store)
        if letter.run:
            known = self._bus.store.find_run(letter.run) is not None
            ends = [end for end in history.of_run(letter.run) if end.topic == topic] if known else []
        else:
            ends = history.of_no_run(topic, letter.id)
        mine = (letter.handler, letter.id)
        return [word for word in words_of(ends, letter.run) if (word.said.handler, word.said.id) == mine]

    # -- what it is about

    def shown(self, letter: DeadLetter) -> DeadLetter:
        """The same for others to read: an exception may quote what is sensitive in its payload, a key may be it."""
        payload = self.payload(letter)
        safe = without_quotes(letter, tuple(sensitive_values(payload)))
        stars = {name: MASK for name in KEYS if self._is_sensitive(name, letter, payload)}
        return replace(safe, record=safe.record._replace(headers={**safe.record.headers, **stars}))

    def _is_sensitive(self, name: str, letter: DeadLetter, payload: Event | Mapping[str, Any] | None) -> bool:
        """Is the record's key, or the value of its order, what a field hides? Of one that cannot be read it may be."""
        text = letter.record.headers.get(name, "")
        if not isinstance(payload, Event):
            return bool(text) and payload is None and any(map(hidden_fields, self._kinds(letter.original.topic)))
        step = self._step_of(letter)
        field = payload.spec.key if name == "sw_key" else step.options.order
        return bool(text) and (field in hidden_fields(type(payload)) or text in sensitive_values(payload, shortest=1))

    def payload(self, letter: DeadLetter) -> Event | Mapping[str, Any] | None:
        """The event, or of a join its parts by name; None if it cannot be read."""
        if letter.kind == "join":
            return self._parts(letter)
        return self._event(letter.original)

    def _event(self, record: Record) -> Event | None:
        try:
            event = self._codec(record.topic).event(record)
        except DecodeError:
            return None
        return None if isinstance(event, str) else event

    def _step_of(self, letter: DeadLetter) -> AnyHandler:
        return next(step for step in self._app.runnable if step.name == letter.handler)

    def _codec(self, topic: str) -> Codec:
        return Codec(topic, self._kinds(topic))

    def _kinds(self, topic: str) -> list[type[Event]]:
        return [event for event in self._app.wiring.events if event.spec.topic == topic]

    def _parts(self, letter: DeadLetter) -> Mapping[str, Any] | None:
        step = self._step_of(letter)
        types = {part.name: part.types for part in step.signature.parts}
        if step.signature.items is not None:
            types[step.signature.items.name] = step.signature.items.types
        try:
            shown = json.loads(letter.record.value)
        except ValueError:
            shown = None
        if not isinstance(shown, dict):  # no worker wrote it; whoever looks at its run sees the rest all the same
            return None
        return {name: _as_events(types.get(name, ()), data) for name, data in shown.items()} | self._asked(
            letter, shown
        )

    def _asked(self, letter: DeadLetter, shown: Collection[str]) -> dict[str, Event | None]:
        """What a gate asked that nobody decided in time: the letter has nothing of it, the kept part is there."""
        join = self._stored.join(letter.handler, letter.id)
        if join is None:
            return {}
        parts = self._step_of(letter).signature.parts
        names = [part.name for part in parts if part.decision and part.name not in shown]
        return {name: self._event(kept(decode_entry(join.slots[name]))) for name in names if name in join.slots}

    # -- answers

    async def resume(self, letters: Sequence[DeadLetter], edited: bytes | None = None, *, by: str = "") -> None:
        """Resume deliveries; an edited payload is for one that takes a single event. `by` is who wants it.

        Raises SettingsError for an edit that does not fit, BusUnavailable.
        """
        event = None if edited is None else self._edited(letters, edited)
        await self._send(letters, "replay", by, event)

    def _edited(self, letters: Sequence[DeadLetter], edited: bytes) -> Event:
        """In the version that this release knows, as it is shown; of what cannot be read in that of its record."""
        if len(letters) != 1:
            raise SettingsError(f"an edited payload is for one dead letter, not for {len(letters)}; name one id")
        (letter,) = letters
        if letter.kind == "join":
            if self._step_of(letter).signature.is_gate:
                raise SettingsError("a gate asks anew without an edit; whoever decides it may edit what was asked")
            raise SettingsError("a join has no payload of its own; edit the event that brings the part")
        before = self.payload(letter)
        before = before if isinstance(before, Event) else None
        meant = Meant(None, None)
        with suppress(ValueError):  # what is no JSON is refused below, with the reason
            meant = Meant(from_json(edited), before)
        original = letter.original._replace(value=to_json(meant.value) if meant.changed else edited)
        try:
            event = self._codec(letter.original.topic).event(original if before is None else _as_now(original, before))
        except DecodeError as error:
            raise SettingsError(
                f"the edited payload does not fit: {error.reason}; it is given whole{meant.hint}"
            ) from None
        if isinstance(event, str):
            kind = letter.record.headers.get("ce_type", "")
            raise StepwireError(f"{kind} is {event} to this release; replay it from the release that knows it")
        meant.check(event)
        if before is not None and (strange := unknown(type(event), _names(edited) - _names(letter.original.value))):
            its = ", ".join(known(type(event)))
            raise SettingsError(f"{type(event).__name__} has no field {', '.join(sorted(strange))}; it has {its}")
        return event

    def _changed(self, letter: DeadLetter, event: Event | None) -> dict[str, Any] | None:
        before = None if event is None else self.payload(letter)
        return None if event is None else changed(before if isinstance(before, Event) else None, event)

    async def drop(self, letters: Sequence[DeadLetter], *, by: str = "") -> None:
        """Give deliveries up: what they owe is absent. `by` is who wants it."""
        await self._send(letters, "drop", by)

    async def _send(self, letters: Sequence[DeadLetter], what: str, by: str, event: Event | None = None) -> None:
        outs = []
        for letter in letters:
            said = Said(letter.handler, letter.id, what, by, "", self._changed(letter, event))
            record = letter.record if event is None else _as_now(letter.record, event)
            edited = None if event is None else event.model_dump_json().encode()
            outs += note(self._app.name, letter.run, said)
            entry = replay(record, drop=what == "drop", edited=edited)
            topic = control_topic(self._app.name, letter.handler)
            outs.append(Out(topic, replay_key(entry), {}, entry.encode()))
        await self._bus.publish(outs)


def _names(value: bytes) -> set[str]:
    """The fields of a JSON object; what its publisher sent may have more than we know."""
    with suppress(ValueError):
        data = from_json(value)
        return {*data} if isinstance(data, dict) else set()
    return set()


def _as_now(record: Record, event: Event) -> Record:
    """Under the version in which we show and write it; a record that names no type is of that one anyway."""
    headers = record.headers
    return record._replace(headers={**headers, "ce_type": event.spec.type}) if "ce_type" in headers else record


def _as_events(types: Sequence[type[Event]], data: Any) -> Any:
    """Plain data as the event that it was, so that whoever shows it can mask it; None for what is none of them."""
    if isinstance(data, list):
        return [_as_events(types, item) for item in data]
    for kind in types:
        try:
            return kind.model_validate(data)
        except ValidationError:
            continue
    return None if types else data


def _given(prefix: str) -> str:
    """The beginning of an id. Raises SettingsError for an empty one, which would fit what is there alone."""
    if not prefix:
        raise SettingsError("the id is empty; see: stepwire dlq list --app …")
    return prefix

"""Runs, as anybody can see them who follows the topics: running, waiting and for what, completed or failed.

Open = {(identity, handler) of every handler that takes an event} ∪ {join ids named by a part or an ended record}
− {(cause, handler) seen} − {ended}: sets, not counts (DESIGN §8). In: the records of a run and what its handlers have
stored. Out: a `RunView`. Listing runs walks the numbered runs from the newest, so it costs what is shown, not what is
stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stepwire import App, Event
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Record
from stepwire.clock import SystemClock
from stepwire.codec import Codec, Decoded
from stepwire.dispatch.build import Builder
from stepwire.dispatch.emit import Emitter
from stepwire.dispatch.step import dead_letter_topic, runs_topic
from stepwire.errors import DecodeError
from stepwire.telemetry import silent
from stepwire.wiring.wiring import Owed
from stepwire_handlers.services.dead_letters import DeadLetter, DeadLetters
from stepwire_handlers.services.gates import Gates, Waiting
from stepwire_handlers.services.stored import Stored

JOIN = ""  #: in an open item: a join id names its handler by itself


@dataclass(frozen=True, slots=True)
class Line:
    """One event of the timeline."""

    time: float
    handler: str  #: who emitted it; empty: published
    event: Event
    identity: str
    cause: str
    scope: str


@dataclass(frozen=True, slots=True)
class OpenItem:
    """One thing that a run waits for."""

    handler: str
    kind: str  #: running | gate | unknown outcome | timer | join | external
    id: str
    due: float | None = None
    about: str = ""


@dataclass(slots=True)
class RunView:
    """One run."""

    id: str
    lines: list[Line] = field(default_factory=list)
    open: list[OpenItem] = field(default_factory=list)
    gates: list[Waiting] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)

    @property
    def result(self) -> Event | None:
        """The event that is marked as the result."""
        return next((line.event for line in self.lines if type(line.event).spec.result), None)

    @property
    def state(self) -> str:
        """Running | waiting | completed | failed."""
        if not self.open:
            return "completed"
        kinds = {item.kind for item in self.open}
        if "running" in kinds:
            return "running"
        if kinds & {"gate", "unknown outcome"}:
            return "waiting"
        return "failed" if self.dead else "waiting"

    @property
    def started(self) -> float:
        """When its first event was recorded."""
        return self.lines[0].time if self.lines else 0.0


class Runs:
    """The runs of one app on the local bus."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self._app, self._bus = app, bus
        steps = [app.step(handler, app.settings, SystemClock(), silent, bus) for handler in app.runnable]
        self._emitters = {step.name: Emitter(step) for step in steps}
        self._builder = Builder(steps[0])
        topics = dict.fromkeys(event.spec.topic for event in app.wiring.events)
        self._codecs = {t: Codec(t, [e for e in app.wiring.events if e.spec.topic == t]) for t in topics}
        self._dlt = {dead_letter_topic(app.name, handler.name): handler.name for handler in app.runnable}

    def view(self, run: str) -> RunView:
        """One run, as it is now."""
        self._bus.log.refresh()
        view = RunView(run)
        opened: dict[tuple[str, str], str] = {}
        closed: set[tuple[str, str]] = set()
        for record in self._bus.store.of_run(run):
            if record.topic in self._codecs:
                self._event(view, record, opened, closed)
            elif record.topic == runs_topic(self._app.name):
                body = json.loads(record.value)
                closed |= {(body["delivery"], body["handler"]), (body["delivery"], JOIN)}
                opened |= {(id_, JOIN): "" for id_ in body["joins"] if (id_, JOIN) not in opened}
            elif record.topic in self._dlt:
                view.dead.append(DeadLetter(self._dlt[record.topic], record))
        self._conclude(view, {key: handler for key, handler in opened.items() if key not in closed})
        return view

    def _event(
        self, view: RunView, record: Record, opened: dict[tuple[str, str], str], closed: set[tuple[str, str]]
    ) -> None:
        try:
            decoded = self._codecs[record.topic].decode(record)
        except DecodeError:
            return  # it is among the dead letters
        if not isinstance(decoded, Decoded):
            return
        envelope, event = decoded.envelope, decoded.event
        identity = envelope.identity
        view.lines.append(Line(record.time, envelope.handler, event, identity, envelope.cause, envelope.scope))
        if envelope.handler:
            closed |= {(envelope.cause, envelope.handler), (envelope.cause, JOIN)}
        scope = self._builder.scope(type(event), envelope.source, envelope.scope)
        for handler, slot in self._app.wiring.takers.get(type(event), ()):
            known = self._app.wiring.handlers.get(handler)
            if known is not None and known.signature.is_join:
                address = self._emitters[handler].address(Owed(handler, slot), view.id, scope)
                opened[str(address["id"]), JOIN] = handler
            else:
                opened[identity, handler] = handler

    def _conclude(self, view: RunView, opened: dict[tuple[str, str], str]) -> None:
        stored, gates = Stored(self._app, self._bus), Gates(self._app, self._bus)
        letters = DeadLetters(self._app, self._bus)
        latest = {(letter.handler, letter.id): letter for letter in view.dead}
        view.dead = [letter for letter in latest.values() if not letters.answered(letter)]
        dead = {letter.id for letter in view.dead}
        for (id_, kind), handler in opened.items():
            if kind == JOIN:
                self._join(view, stored, gates, id_, handler)
            elif handler in self._app.wiring.externals:
                view.open.append(OpenItem(handler, "external", id_))
            elif id_ in dead:
                view.open.append(OpenItem(handler, "dead letter", id_))
            else:
                self._item(view, stored, id_, handler)

    def _join(self, view: RunView, stored: Stored, gates: Gates, id_: str, handler: str) -> None:
        names = [handler] if handler else [h.name for h in self._app.handlers if h.signature.is_join]
        for name in names:
            join = stored.join(name, id_)
            if join is None:
                continue
            if join.stub is not None:
                return
            waiting = gates.of_join(name, join)
            if waiting is not None:
                view.gates.append(waiting)
                view.open.append(OpenItem(name, waiting.kind, id_, waiting.until, waiting.why))
                return
            call = join.call or {}
            if call.get("dead"):
                view.open.append(OpenItem(name, "dead letter", id_))
            elif call.get("due"):
                view.open.append(OpenItem(name, "timer", id_, call["due"], str(call.get("error", ""))))
            else:
                blocked = f"blocked by {', '.join(sorted(set(join.blocked.values())))}" if join.blocked else ""
                view.open.append(OpenItem(name, "join", id_, None, blocked))
            return
        if handler:
            view.open.append(OpenItem(handler, "running", id_))  # its part is not stored yet

    def _item(self, view: RunView, stored: Stored, id_: str, handler: str) -> None:
        item = stored.item(handler, id_)
        if item is None:
            view.open.append(OpenItem(handler, "running", id_))
        elif item.unknown:
            view.gates.append(Waiting(id_, handler, "unknown outcome", view.id, 0.0, None, None, item.unknown))
            view.open.append(OpenItem(handler, "unknown outcome", id_, None, item.unknown))
        elif item.entry.meta.get("due"):
            error = str(item.entry.meta.get("error", ""))
            view.open.append(OpenItem(handler, "timer", id_, item.entry.meta["due"], error))
        else:
            view.open.append(OpenItem(handler, "running", id_))

    def newest(self, limit: int) -> Iterator[RunView]:
        """Runs of this app, newest first."""
        before: int | None = None
        shown = 0
        while shown < limit and (rows := self._bus.store.runs(before, 100)):
            for _, name, _ in rows:
                view = self.view(name)
                if view.lines:
                    yield view
                    shown += 1
                    if shown == limit:
                        return
            before = rows[-1][0]


def summary(view: RunView) -> dict[str, Any]:
    """A run in the form of `--json`."""
    result = view.result
    return {
        "run": view.id,
        "state": view.state,
        "result": None if result is None else {"type": type(result).__name__, **result.model_dump(mode="json")},
        "dead_letter": None if not view.dead else {
            "handler": view.dead[-1].handler, "error": view.dead[-1].error, "message": view.dead[-1].message,
            "id": view.dead[-1].id,
        },
    }  # fmt: skip

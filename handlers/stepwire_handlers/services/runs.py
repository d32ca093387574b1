"""Runs, as anybody can see them who follows the topics: running, waiting and for what, completed or failed.

`closing` says what is open; here each open item is looked up in what the handlers have stored, in one snapshot of the
file, so that nothing is seen half done. In: an app and an open bus. Out: a `RunView`.

A run is read by the index of its records, so it costs its own events, not those of the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from stepwire import App, Event
from stepwire.bus.local import LocalBus
from stepwire.dispatch.step import join_rules, runs_topic
from stepwire.join import LIST, JoinState, deadline, judge
from stepwire.state import ITEM, decode_meta
from stepwire_handlers.services.closing import Ended, Folded, Line, Opened, Reader, fold
from stepwire_handlers.services.dead_letter import DeadLetter, without_quotes
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.gates import Gates, Waiting
from stepwire_handlers.services.history import History
from stepwire_handlers.services.said import Said, Told, words_of
from stepwire_handlers.services.signing import Signing
from stepwire_handlers.services.snapshot import COPY, Unread, snapshot
from stepwire_handlers.services.stored import Item, Stored
from stepwire_handlers.telemetry.mask import sensitive_values, without, without_pieces

LOOK = 0.02  #: seconds between two looks for somebody else's commit
SURE = 0.2  #: seconds until a copy of Kafka shows all that a step emitted on several topics, once it shows some
KNOWN = 1_000  #: runs of which it is remembered who mended their beginning
REFRESH = 1.0  #: seconds after which a run is looked at again although nothing was written: timers become due

RUNNING, TIMER, OPEN_JOIN, EXTERNAL, ORDER, DEAD = "running", "timer", "join", "external", "order", "dead letter"
PERSON = frozenset({"gate", "unknown outcome"})
MOVES = frozenset({RUNNING, TIMER, EXTERNAL, ORDER})  #: goes on without anybody's answer


def at_rest(kinds: Iterable[str]) -> bool:
    """Is nothing open but what a person must answer, and what waits for that?"""
    found = set(kinds)
    return bool(found & {*PERSON, DEAD}) and not found & MOVES


class OpenItem(NamedTuple):
    """One thing that a run waits for."""

    handler: str
    kind: str  #: running | gate | unknown outcome | timer | order | join | external | dead letter
    id: str
    since: float
    due: float | None = None  #: when it goes on, or expires, by itself
    about: str = ""
    attempt: int | None = None  #: the one that comes next, where a delivery is parked


@dataclass(slots=True)
class RunView:
    """One run, as it was at one moment."""

    id: str
    lines: list[Line] = field(default_factory=list)
    open: list[OpenItem] = field(default_factory=list)
    gates: list[Waiting] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)  #: that nobody replayed or dropped
    ends: list[Ended] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)  #: what people did, or claim, oldest first
    overcome: list[DeadLetter] = field(default_factory=list)  #: of deliveries that came to an end after it
    parts: dict[str, list[Line]] = field(default_factory=dict)  #: join id -> what it was made of
    outside: frozenset[str] = frozenset()  #: steps that somebody else's service does
    result: Event | None = None  #: the event that is marked as the result, in root scope

    @property
    def state(self) -> str:
        """Running | waiting | failed | completed."""
        kinds = {item.kind for item in self.open}
        if RUNNING in kinds:
            return "running"
        if kinds & PERSON:
            return "waiting"
        if DEAD in kinds:
            return "failed"
        return "waiting" if kinds else "completed"

    @property
    def rests(self) -> bool:
        """Is nothing open but what a person must answer, and what waits for that?"""
        return at_rest(item.kind for item in self.open)

    @property
    def started(self) -> float:
        """When its first event was recorded."""
        return self.lines[0].time if self.lines else 0.0


class _Look:
    """What is stored at one moment."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self.stored, self.unread = Stored(app, bus), Unread(app, bus)
        self.gates, self.letters = Gates(app, bus), DeadLetters(app, bus)


class Runs:
    """The runs of one app on the local bus.

    Args:
        app: whose runs.
        bus: where they are.
        signing: says which decisions count; None: as where there is no decision key.
    """

    def __init__(self, app: App, bus: LocalBus, signing: Signing | None = None) -> None:
        self._app, self._bus, self._reader = app, bus, Reader(app)
        self._signing = signing or Signing(app.name, bus)
        self._rules = {handler.name: join_rules(handler, app.settings, app.wiring) for handler in app.runnable}
        self._joins = [handler.name for handler in app.handlers if handler.signature.is_join]
        self._begun: dict[str, list[Told]] = {}  #: run -> who mended the record that began it

    def view(self, run: str) -> RunView:
        """One run, as it is now; without lines if nobody here knows it. Raises BusUnavailable, BusCorrupt."""
        with snapshot(self._bus):
            return self._view(run, _Look(self._app, self._bus))

    def _view(self, run: str, look: _Look) -> RunView:
        folded = fold(History(self._bus.store).of_run(run), run, self._reader)
        view = RunView(run, folded.lines, ends=folded.ends, parts=folded.parts)
        letters = {(letter.handler, letter.id) for letter in (*folded.letters, *folded.overcome)}
        words = [*self._mended(run, view.lines), *folded.said]
        view.said = self._signing.counted(words, letters) if words else []
        view.overcome, view.outside = folded.overcome, frozenset(self._app.wiring.externals)
        view.result = next((line.event for line in view.lines if type(line.event) in self._reader.results), None)
        view.dead = [letter for letter in folded.letters if look.letters.status(letter) in ("open", "forgotten")]
        unanswered = {(letter.handler, letter.id): letter for letter in view.dead}
        for opened in self._opened(folded, look):
            item, waiting = self._item(opened, folded, look, unanswered)
            view.open.append(item)
            if waiting is not None:
                view.gates.append(waiting)
            unanswered.pop((item.handler, opened.address), None)
        view.open += [_dead(letter, letter.id) for letter in unanswered.values()]
        _hide_quotes(view, [look.letters.payload(letter) for letter in (*view.dead, *view.overcome)])
        return view

    def _mended(self, run: str, lines: Sequence[Line]) -> list[Told]:
        """Who mended the record that began it: one that nobody could read, so that it said no run."""
        if all(line.cause != run for line in lines) or any(line.identity == run for line in lines):
            return []
        if run not in self._begun:  # once: whoever follows the run looks again and again
            notes = History(self._bus.store).of_no_run(runs_topic(self._app.name), run)
            if len(self._begun) > KNOWN:
                self._begun.clear()
            self._begun[run] = [word for word in words_of(notes, "") if word.said.id == run]
        return self._begun[run]

    def _opened(self, folded: Folded, look: _Look) -> Iterator[Opened]:
        for opened in folded.open:
            if not self._never_taken(opened, folded, look):
                yield opened
        told = {(opened.handler, opened.id) for opened in folded.open}
        for places in folded.newer:  # a worker that knows the version has put it into its join, another one keeps it
            kept = next((place for place in places if self._is_kept(place, look)), None)
            if kept is not None and (kept.handler, kept.id) not in told:
                told.add((kept.handler, kept.id))
                yield kept

    @staticmethod
    def _is_kept(place: Opened, look: _Look) -> bool:
        if not place.is_join:
            return look.stored.item(place.handler, place.address) is not None
        join = look.stored.join(place.handler, place.address)
        return join is not None and join.stub is None and not (join.call or {}).get("dead")

    def _never_taken(self, opened: Opened, folded: Folded, look: _Look) -> bool:
        """A handler that was deployed later begins at its topics' end then: what lay there before is not its own."""
        handler, id_ = opened.handler, opened.address
        if handler not in self._rules or any((one.handler, one.id) == (handler, id_) for one in folded.letters):
            return False
        if not look.unread.passed(handler, id_, opened.places):
            return False
        return look.stored.item(handler, id_) is None and look.stored.join(handler, id_) is None

    # -- what an open item waits for

    def _item(
        self, opened: Opened, folded: Folded, look: _Look, letters: dict[tuple[str, str], DeadLetter]
    ) -> tuple[OpenItem, Waiting | None]:
        if opened.is_join:
            return self._join(opened, folded, look, letters)
        letter = letters.get((opened.handler, opened.address))
        if letter is not None:
            return _dead(letter, opened.id), None
        if opened.handler in self._app.wiring.externals:
            return self._external(opened, look), None
        item = look.stored.item(opened.handler, opened.id)
        if item is None:
            return OpenItem(opened.handler, RUNNING, opened.id, opened.since), None
        waiting = look.gates.of_item(item)
        if waiting is not None:
            return OpenItem(item.handler, waiting.kind, item.id, opened.since, None, waiting.why), waiting
        return self._kept(opened, item, look), None

    def _kept(self, opened: Opened, item: Item, look: _Look) -> OpenItem:
        """A delivery that lies in the mailbox: parked, behind another one, or about to be called."""
        meta = item.entry.meta
        due, attempt = meta.get("due"), meta.get("attempt")
        said = look.unread.kinds(item.handler, item.id)
        if due and not said:
            return OpenItem(item.handler, TIMER, item.id, opened.since, due, str(meta.get("error", "")), attempt)
        order = meta.get("order")
        if order is not None and (head := self._ahead(item, look)):
            return OpenItem(item.handler, ORDER, item.id, opened.since, None, f"behind {head[:12]}")
        return OpenItem(item.handler, RUNNING, item.id, opened.since)

    @staticmethod
    def _ahead(item: Item, look: _Look) -> str:
        """The delivery that keeps this one waiting because of their order; empty if none does."""
        mailbox = look.stored.mailbox(item.handler, ITEM)
        mailbox.restore_order()
        head = next(iter(mailbox.queues.get(item.entry.meta["order"], {item.id: None})))
        meta = decode_meta(mailbox.items[head]) if head in mailbox.items else {}
        return head if head != item.id and (meta.get("due") or meta.get("unknown")) else ""

    def _external(self, opened: Opened, look: _Look) -> OpenItem:
        join = look.stored.join(opened.handler, opened.address) if opened.address != opened.id else None
        due = deadline(join, self._rules[opened.handler]) if join is not None and join.opened else None
        return OpenItem(opened.handler, EXTERNAL, opened.id, opened.since, due)

    def _join(
        self, opened: Opened, folded: Folded, look: _Look, letters: dict[tuple[str, str], DeadLetter]
    ) -> tuple[OpenItem, Waiting | None]:
        for name in [opened.handler] if opened.handler else self._joins:
            letter = letters.get((name, opened.id))
            if letter is not None:
                return _dead(letter, opened.id), None
            join = look.stored.join(name, opened.id)
            if join is None and not look.unread.kinds(name, opened.id):
                continue
            if join is None or look.unread.kinds(name, opened.id) or _on_its_way(join, folded):
                return OpenItem(name, RUNNING, opened.id, opened.since), None
            waiting = look.gates.of_join(name, join)
            if waiting is not None:
                return OpenItem(name, waiting.kind, opened.id, waiting.since, waiting.until, waiting.why), waiting
            return self._open_join(name, opened, join), None
        return OpenItem(opened.handler, RUNNING, opened.id, opened.since), None  # its part is not stored yet

    def _open_join(self, name: str, opened: Opened, join: JoinState) -> OpenItem:
        call, rules = join.call or {}, self._rules[name]
        verdict = judge(join, rules, self._bus.clock.now())
        if verdict != "wait" and join.stub is None:
            return OpenItem(name, RUNNING, opened.id, opened.since)
        if call.get("due"):
            error = str(call.get("error", ""))
            return OpenItem(name, TIMER, opened.id, opened.since, call["due"], error, call.get("attempt"))
        if join.blocked:
            about = f"blocked by {', '.join(sorted(set(join.blocked.values())))}"
            return OpenItem(name, OPEN_JOIN, opened.id, opened.since, deadline(join, rules), about)
        missing = [slot_shown(slot) for slot in join.outstanding(rules) or ()]
        about = "waits for " + (", ".join(missing[:5]) + (" …" if len(missing) > 5 else "") if missing else "its parts")
        due = deadline(join, rules) if join.opened else None
        return OpenItem(name, OPEN_JOIN, opened.id, opened.since, due, about)


def slot_shown(slot: str) -> str:
    """A slot for people: an item's is its number alone."""
    return f"item {slot}" if slot.isdigit() else "the items" if slot == LIST else slot


def _on_its_way(join: JoinState, folded: Folded) -> bool:
    """Does a part lie on its topic that the join does not have yet?"""
    if join.called:
        return False
    return any(not join.settled(slot) for slot in folded.arrived.get(join.id, ()))


def _hide_quotes(view: RunView, payloads: Sequence[object]) -> None:
    """Mask what is sensitive in the run's events where an exception quotes it, or a person's remark.

    `payloads` are those of its dead letters: retention may have deleted the events themselves.
    """
    quotes = [*view.dead, *view.overcome, *(item.about for item in view.open), *(end.error for end in view.ends)]
    if not any((*quotes, *(said.why for said in view.said))):
        return
    values = tuple(dict.fromkeys(sensitive_values([*payloads, *(line.event for line in view.lines)])))
    view.dead = [without_quotes(letter, values) for letter in view.dead]
    view.overcome = [without_quotes(letter, values) for letter in view.overcome]
    view.open = [item._replace(about=without_pieces(item.about, values)) for item in view.open]
    view.gates = [replace(waiting, why=without_pieces(waiting.why, values)) for waiting in view.gates]
    known = {*view.parts, *(line.identity for line in view.lines)}  # of what was deleted nobody knows what it hid
    told = [end if end.delivery in known else end._replace(error=end.error.partition(":")[0]) for end in view.ends]
    view.ends = [end._replace(error=without_pieces(end.error, values)) for end in told]
    view.said = [said._replace(why=without(said.why, values)) for said in view.said]


def _dead(letter: DeadLetter, id_: str) -> OpenItem:
    return OpenItem(letter.handler, DEAD, id_, letter.record.time, None, f"{letter.error}: {letter.message}")


async def follow(runs: Runs, bus: LocalBus, run: str, seconds: float) -> AsyncIterator[RunView]:
    """A run as it is, and again whenever something was written, until `seconds` are over; the last look is at the end.

    Whoever follows stops by leaving the loop.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        begun, version = loop.time(), bus.store.data_version()
        view = runs.view(run)
        if view.state == "completed" and view.result is None and COPY in bus.store.groups():
            await asyncio.sleep(SURE)
            view = runs.view(run)
        yield view
        if loop.time() >= end:
            return
        pause = max(LOOK, loop.time() - begun)  # a large run is not read more than half of the time
        await asyncio.sleep(min(pause, max(end - loop.time(), 0.0)))
        again = begun + REFRESH
        while bus.store.data_version() == version and loop.time() < min(again, end):
            await asyncio.sleep(LOOK)


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

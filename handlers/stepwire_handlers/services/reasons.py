"""Why runs are open: every run of an app with something unfinished, found without reading any run.

In: an app, and a snapshot of its bus's file. Out: its open runs in `RunSets`, each with one reason. Unfinished is a
record that a group has not done, a message that no mailbox has taken, a stored join or delivery, a dead letter. What
is read is held one at a time, so memory does not follow how much is open.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition, Progress, Record
from stepwire.bus.sqlite import position, run_hash
from stepwire.dispatch.step import control_topic, dead_letter_topic, group_name, join_rules
from stepwire.errors import DecodeError
from stepwire.join import JoinState, judge
from stepwire.jsontext import load
from stepwire.ledger import Ledger, decode_map
from stepwire.state import ITEM, decode_meta
from stepwire_handlers.services.dead_letter import DeadLetter, letter_of
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.runsets import RunSets
from stepwire_handlers.services.stored import Stored

#: what decides about a run that is open for several reasons, the last of them first; as `RunView.state` says it
REST, DEAD, PERSON, MOVES = range(4)
MOST = 20_000  #: unread messages of one partition that are looked at


class Reasons:
    """Looks for what is open in one app."""

    def __init__(self, app: App, bus: LocalBus, sets: RunSets) -> None:
        self._app, self._bus, self._sets = app, bus, sets
        self._past: dict[tuple[str, str, int], str] = {}  #: old dead letters that were answered
        self._rules = {handler.name: join_rules(handler, app.settings, app.wiring) for handler in app.runnable}

    def find(self) -> bool:
        """Add every open run; was everything looked at? Call it in a snapshot. Raises BusError, sqlite3.Error."""
        groups, whole = self._bus.store.groups(), True
        stored, letters = Stored(self._app, self._bus), DeadLetters(self._app, self._bus, self._past)
        for handler in self._app.runnable:
            group, _ = groups.get(group_name(self._app.name, handler.name), (-1, 0))
            progress = self._bus.store.progress(group)
            for event in {event.spec.topic for event in handler.signature.taken}:
                for place in self._places(event):
                    self._behind(place, self._progress(progress, place))
            for place in self._places(control_topic(self._app.name, handler.name)):
                whole = self._unread(place, self._progress(progress, place)) and whole
            self._joins(handler.name, stored)
            self._items(handler.name, stored)
            self._dead(handler.name, letters)
        self._sets.flush()
        return whole

    def _places(self, topic: str) -> list[Partition]:
        return self._bus.log.partitions(topic) if topic in self._bus.log.topics else []

    def _progress(self, known: dict[tuple[int, int], Progress], place: Partition) -> Progress:
        return known.get((self._bus.log.topics[place.topic][0], place.number), Progress(0))

    def _range(self, place: Partition) -> tuple[int, int]:
        """The positions of a partition's first record and of the next one."""
        start = position(self._bus.log.topics[place.topic][0], place.number, 0)
        return start, start + self._bus.log.end(place)

    # -- what lies before a handler

    def _behind(self, place: Partition, progress: Progress) -> None:
        """Runs with an event that is not done."""
        start, end = self._range(place)
        first, ledger = start + progress.watermark, Ledger(progress)
        mapped = first + 8 * len(decode_map(progress.map)[1])
        if mapped > first:
            rows = self._bus.store.db.execute(
                "SELECT pos, run FROM events WHERE pos >= ? AND pos < ? AND run IS NOT NULL", (first, min(mapped, end))
            )
            self._sets.add_each((run for pos, run in rows if ledger.begin(pos - start)), MOVES)
        self._sets.add(mapped, end, MOVES)

    def _unread(self, place: Partition, progress: Progress) -> bool:
        """Runs with a message that no mailbox has taken yet; False if there are too many to look at."""
        (start, end), ledger, looked = self._range(place), Ledger(progress), 0
        rows = self._bus.store.db.execute(
            "SELECT pos, coalesce(substr(value, 1, instr(value, x'0a')), x'') FROM events WHERE pos >= ? AND pos < ? "
            "ORDER BY pos LIMIT ?",
            (start + ledger.next, end, MOST),
        )
        for looked, (pos, meta) in enumerate(rows, 1):  # noqa: B007 - counted
            if ledger.begin(pos - start):
                self._sets.name(_run_of(meta), MOVES)
        return looked < MOST

    # -- what it has stored

    def _joins(self, handler: str, stored: Stored) -> None:
        for join in stored.outlines(handler):
            if join.stub is None and (why := self._why(handler, join)) is not None:
                self._sets.name(join.run, why)

    def _why(self, handler: str, join: JoinState) -> int | None:
        """Why a stored join is open; None: a dead letter stands for it."""
        call, rules = join.call or {}, self._rules[handler]
        if call.get("dead"):
            return None
        if call.get("unknown"):
            return PERSON
        if call.get("due"):
            return REST
        if judge(join, rules, self._bus.clock.now()) != "wait":
            return MOVES
        signature = self._app.wiring.handlers[handler].signature if handler in self._app.wiring.handlers else None
        asked = next((part.name for part in signature.parts if part.decision), "") if signature else ""
        return PERSON if asked in join.slots and join.decision is None else REST

    def _items(self, handler: str, stored: Stored) -> None:
        """Stored deliveries; one that keeps an order waits, if the first of its line does."""
        self._sets.execute("DELETE FROM $queued")
        queue = "INSERT INTO $queued VALUES (?, ?, ?, (SELECT id FROM runs WHERE number = ? AND name = ?), ?)"
        for number, (_, meta) in enumerate(stored.metas(handler, ITEM)):
            why = PERSON if meta.get("unknown") else REST if meta.get("due") else MOVES
            run, line = str(meta.get("run") or ""), meta.get("order")
            if line is None:
                self._sets.name(run, why)
            else:
                self._sets.execute(queue, line, meta.get("seq", 0), number, run_hash(run), run, why)
        self._sets.execute(
            "INSERT INTO $now SELECT run, CASE WHEN why = ?1 AND ?1 != "
            "(SELECT why FROM $queued WHERE line = q.line ORDER BY seq, number LIMIT 1) THEN ?2 ELSE why END "
            "FROM $queued q WHERE run IS NOT NULL $largest",
            MOVES, REST,
        )  # fmt: skip

    # -- what it gave up

    def _dead(self, handler: str, letters: DeadLetters) -> None:
        """Dead letters that nobody answered, the last of each delivery; each look reads only what is new of them."""
        for place in self._places(dead_letter_topic(self._app.name, handler))[:1]:
            start, end = self._range(place)
            read = "SELECT coalesce(max(pos), ?) FROM $letters WHERE pos >= ? AND pos < ?"
            new = "SELECT pos, time, key, headers FROM events WHERE pos > ? AND pos < ?"
            for letter in self._heads(handler, place, new, self._sets.count(read, start - 1, start, end), end):
                last = "INSERT OR REPLACE INTO $letters VALUES (?, ?, ?)"
                self._sets.execute(last, start + letter.record.offset, start, letter.id)
            known = "SELECT e.pos, time, key, headers FROM $letters l CROSS JOIN events e ON e.pos = l.pos "
            for letter in self._heads(handler, place, known + "WHERE l.pos >= ? AND l.pos < ?", start, end):
                if not letters.answered(letter):
                    self._sets.name(letter.run, DEAD)

    def _heads(self, handler: str, place: Partition, sql: str, *bounds: int) -> Iterator[DeadLetter]:
        """Dead letters without what they keep."""
        start, _ = self._range(place)
        for pos, time, key, headers in self._sets.execute(sql, *bounds):
            record = Record(place.topic, place.number, pos - start, time, key, load(headers), b"")
            if (letter := letter_of(handler, record)) is not None:
                yield letter


def _run_of(message: bytes) -> str:
    try:
        return str(decode_meta(message).get("run", ""))
    except (DecodeError, ValueError, AttributeError, RecursionError):
        return ""  # the worker skips it too

"""The plain way to count runs: every run that is open in Python's own sets. What `tally` counts must be the same.

In: an app and its bus's file. Out: a `Tally` at each look. It is the service as it was before it kept its sets in
temporary tables, for small cases: it costs half a kilobyte for each run that is open.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition, Progress
from stepwire.bus.sqlite import position
from stepwire.dispatch.step import control_topic, dead_letter_topic, group_name, join_rules, runs_topic
from stepwire.errors import DecodeError
from stepwire.join import JoinState, judge
from stepwire.ledger import Ledger, decode_map
from stepwire.state import ITEM, Mailbox, decode_meta
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.services.snapshot import snapshot
from stepwire_handlers.services.stored import Stored
from stepwire_handlers.services.tally import Tally

RUNNING, WAITING, FAILED = "running", "waiting", "failed"
#: what decides about a run that is open for several reasons, the last of them first; as `RunView.state` says it
REST, DEAD, PERSON, MOVES = range(4)
NAMES = {REST: WAITING, DEAD: FAILED, PERSON: WAITING, MOVES: RUNNING}
CHUNK = 500  #: runs that are asked for in one statement
PAGE = 2_000
MOST = 20_000  #: unread messages of one partition that are looked at


class PlainTeller:
    """Looks at one app's runs again and again. What was open at the first look is not counted as started."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self._app, self._bus, self._runs = app, bus, Runs(app, bus)
        self._rules = {handler.name: join_rules(handler, app.settings, app.wiring) for handler in app.runnable}
        self._asks = any(step.match is None for step in app.wiring.externals.values())
        self._ends: dict[Partition, int] | None = None  #: of the last look; None: there was none
        self._last = 0  #: the youngest run then
        self._open: dict[int, int] = {}  #: run -> why it is open
        self._closing: set[int] = set()  #: closed at the last look; counted if they still are, for a copy may be torn
        self._again: set[int] = set()  #: taken up again after they had completed
        self._outside: set[int] = set()  #: waits for a service of somebody else, which no state shows

    def look(self) -> Tally:
        """Count. Raises BusUnavailable, BusCorrupt, sqlite3.Error."""
        with snapshot(self._bus):
            ends = {place: self._bus.log.end(place) for place in self._places()}
            touched = set() if self._ends is None else set(self._touched(self._ends, ends))
            reasons, whole = self._reasons()
            begun = self._begun(touched)
            known = self._open.keys() | self._closing | touched
            if self._asks:
                self._keep_outside(known, touched, reasons)
            oldest = self._oldest([run for run, why in reasons.items() if why != DEAD])
            (last,) = self._bus.store.db.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()
        completed = self._close(known, reasons, begun, whole=whole)
        failed = sum(why == DEAD and self._open.get(run) != DEAD for run, why in reasons.items())
        first, self._ends, self._last, self._open = self._ends is None, ends, int(last), reasons
        states = [NAMES[why] for why in reasons.values()]
        counts = (states.count(RUNNING), states.count(WAITING), states.count(FAILED))
        return Tally(len(begun), completed, 0 if first else failed, counts, oldest)

    def _close(self, known: set[int], reasons: dict[int, int], begun: set[int], *, whole: bool) -> int:
        """How many of the runs that were open are so no more, for the second time."""
        if self._ends is not None:
            self._again |= (known | reasons.keys()) - self._open.keys() - self._closing - begun
        gone = known - reasons.keys()
        if not whole:  # what waits unread may belong to any of them
            self._closing = gone
            return 0
        closed = gone & self._closing
        self._closing = gone - closed
        completed = len(closed - self._again)
        self._again -= closed
        return completed

    # -- what came since

    def _places(self) -> Iterator[Partition]:
        topics = {event.spec.topic for event in self._app.wiring.events} | {runs_topic(self._app.name)}
        topics |= {dead_letter_topic(self._app.name, handler.name) for handler in self._app.runnable}
        for topic in topics & self._bus.log.topics.keys():
            yield from self._bus.log.partitions(topic)

    def _touched(self, before: dict[Partition, int], now: dict[Partition, int]) -> Iterator[int]:
        """Runs that have new records."""
        for place, end in now.items():
            yield from self._runs_between(place, before.get(place, 0), end)

    def _runs_between(self, place: Partition, begin: int, end: int) -> Iterator[int]:
        if end > begin:
            first = position(self._bus.log.topics[place.topic][0], place.number, 0)
            rows = self._bus.store.db.execute(
                "SELECT DISTINCT run FROM events WHERE pos >= ? AND pos < ? AND run IS NOT NULL",
                (first + begin, first + end),
            )
            yield from (run for (run,) in rows)

    def _begun(self, touched: set[int]) -> set[int]:
        """Those of them that have nothing older here. A run that another app on this file began is new to this one."""
        fresh = touched - self._open.keys() - self._closing
        return {run for run in fresh if run > self._last or self._is_new_here(run)}

    def _is_new_here(self, run: int) -> bool:
        before = self._ends or {}
        bounds = [
            (position(self._bus.log.topics[place.topic][0], place.number, 0), end) for place, end in before.items()
        ]
        rows = self._bus.store.db.execute("SELECT pos FROM events WHERE run = ?", (run,)).fetchall()
        return not any(first <= pos < first + end for (pos,) in rows for first, end in bounds)

    # -- what is open

    def _reasons(self) -> tuple[dict[int, int], bool]:
        """Why each open run is open, and whether everything was looked at."""
        found: dict[int, int] = {}
        for run in self._unfinished():
            found[run] = MOVES
        named: dict[str, int] = {}
        whole = self._unread(named)
        self._stored(named)
        for letter in DeadLetters(self._app, self._bus).open():
            named[letter.run] = max(named.get(letter.run, REST), DEAD)
        for name, why in named.items():
            known = self._bus.store.find_run(name) if name else None
            if known is not None:
                found[known] = max(found.get(known, REST), why)
        return found, whole

    def _unfinished(self) -> Iterator[int]:
        """Runs with an event that a handler has before it."""
        groups = self._bus.store.groups()
        for handler in self._app.runnable:
            group, _ = groups.get(group_name(self._app.name, handler.name), (-1, 0))
            progress = self._bus.store.progress(group)
            for topic in {event.spec.topic for event in handler.signature.taken} & self._bus.log.topics.keys():
                for place in self._bus.log.partitions(topic):
                    number = self._bus.log.topics[topic][0]
                    yield from self._behind(place, progress.get((number, place.number), Progress(0)))

    def _behind(self, place: Partition, progress: Progress) -> Iterator[int]:
        end, mapped = self._bus.log.end(place), progress.watermark + 8 * len(decode_map(progress.map)[1])
        if end <= progress.watermark:
            return
        first, ledger = position(self._bus.log.topics[place.topic][0], place.number, 0), Ledger(progress)
        rows = self._bus.store.db.execute(
            "SELECT pos, run FROM events WHERE pos >= ? AND pos < ? AND run IS NOT NULL",
            (first + progress.watermark, first + min(mapped, end)),
        )
        yield from (run for pos, run in rows if ledger.begin(pos - first))
        yield from self._runs_between(place, mapped, end)

    def _unread(self, named: dict[str, int]) -> bool:
        """Runs with a message that no mailbox has taken yet; False if there are too many to look at."""
        groups, whole = self._bus.store.groups(), True
        for handler in self._app.runnable:
            topic = control_topic(self._app.name, handler.name)
            if topic not in self._bus.log.topics:
                continue
            number, partitions = self._bus.log.topics[topic]
            progress = self._bus.store.progress(groups.get(group_name(self._app.name, handler.name), (-1, 0))[0])
            for part in range(partitions):
                ledger, looked = Ledger(progress.get((number, part), Progress(0))), 0
                while looked < MOST and (
                    records := self._bus.log.take(Partition(topic, part), ledger.next, min(PAGE, MOST - looked))
                ):  # fmt: skip
                    looked += len(records)
                    for record in records:
                        if ledger.begin(record.offset) and (name := _run_of(record.value)):
                            named[name] = MOVES
                whole = whole and looked < MOST
        return whole

    def _stored(self, named: dict[str, int]) -> None:
        stored = Stored(self._app, self._bus)
        for handler, join in stored.joins():
            if (why := self._why(handler, join)) is not None:
                named[join.run] = max(named.get(join.run, REST), why)
        for handler_ in self._app.runnable:
            mailbox = stored.mailbox(handler_.name, ITEM)
            mailbox.restore_order()
            for id_, raw in mailbox.items.items():
                meta = decode_meta(raw)
                name = str(meta.get("run") or "")
                named[name] = max(named.get(name, REST), _kept(mailbox, id_, meta))

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

    def _keep_outside(self, known: set[int], touched: set[int], reasons: dict[int, int]) -> None:
        """A run that waits for somebody else's service has nothing stored: only its own events say so."""
        for run in known - reasons.keys():
            if run in touched or run not in self._outside:
                (name,) = self._bus.store.db.execute("SELECT name FROM runs WHERE id = ?", (run,)).fetchone()
                if self._runs.view(name).state == "completed":
                    self._outside.discard(run)
                    continue
                self._outside.add(run)
            reasons[run] = REST
        self._outside &= reasons.keys()

    def _oldest(self, runs: list[int]) -> float:
        database, best = self._bus.store.db, (0.0, 0)
        for begin in range(0, len(runs), CHUNK):
            some = runs[begin : begin + CHUNK]
            marks = ", ".join("?" * len(some))
            row = database.execute(f"SELECT min(time), id FROM runs WHERE id IN ({marks})", some).fetchone()  # noqa: S608
            if row[1] is not None and (not best[1] or row[0] < best[0]):
                best = row
        (first,) = database.execute("SELECT min(time) FROM events WHERE run = ?", (best[1],)).fetchone()
        return float(first or best[0])


def _run_of(message: bytes) -> str:
    try:
        return str(decode_meta(message).get("run", ""))
    except (DecodeError, ValueError):
        return ""  # the worker skips it too


def _kept(mailbox: Mailbox, id_: str, meta: dict[str, object]) -> int:
    """Why a stored delivery is open."""
    if meta.get("unknown"):
        return PERSON
    if meta.get("due"):
        return REST
    head = next(iter(mailbox.queues.get(str(meta.get("order")), {id_: None})))
    ahead = decode_meta(mailbox.items[head]) if head != id_ else {}
    return REST if ahead.get("due") or ahead.get("unknown") else MOVES

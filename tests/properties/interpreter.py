"""The reference interpreter: what a run of a plan must come to. Short, sequential, omniscient; imports nothing of ours.

It needs no settlements: it works off every event first, and only then looks at joins, in an order in which nothing
flows backwards; what a join has not got by then never comes. Where time decides (take, until, timeouts) it follows
what was observed, and checks that it was allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.properties import behaviour as b
from tests.properties.places import Places
from tests.properties.wirings import Part, Plan, Step

Where = tuple[str, b.Spot]  #: step, and where it stands
Emitted = Counter[tuple[int, str, tuple[int, ...]]]  #: (type, path, indexes of the scatters around)


@dataclass(frozen=True)
class Call:
    """A call of a join that was observed."""

    parts: Mapping[str, str | None]  #: parameter -> path
    items: tuple[str, ...] = ()


@dataclass
class Observed:
    """What time decided."""

    calls: dict[Where, list[Call]] = field(default_factory=dict)
    dropped: set[Where] = field(default_factory=set)  #: joins whose dead letter somebody dropped
    hurried: set[Where] = field(default_factory=set)  #: joins that expired and were replayed: they go without


@dataclass
class Token:
    """An event on its way."""

    emit: b.Emit
    frames: tuple[int, ...]
    visits: dict[str, int]


@dataclass
class Meeting:
    """A join that got something."""

    step: Step
    spot: b.Spot
    size: int | None = None
    slots: dict[str | int, str] = field(default_factory=dict)

    @property
    def where(self) -> Where:
        return self.step.name, self.spot

    @property
    def items(self) -> list[str]:
        return [path for slot, path in sorted((s, p) for s, p in self.slots.items() if isinstance(s, int))]


class Interpreter:
    """Runs, one after the other: they know nothing of each other.

    `emitted` is what they come to, `fired` how often each join is called, `dropped` how many events each handler with
    `dedupe=` had seen, `wrong` what was not allowed.
    """

    def __init__(
        self, plan: Plan, seed: int, odds: b.Odds, observed: Observed, published: Sequence[b.Published]
    ) -> None:
        self.plan, self.seed, self.odds, self.observed = plan, seed, odds, observed
        self.published = published
        self.places = Places(plan)
        self.emitted: Emitted = Counter()
        self.broken: set[tuple[int, str]] = set()  #: (type, path) of events that nobody can read
        self.fired: Counter[Where] = Counter()
        self.dropped: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._run = ""
        self._at = 0.0  #: when the present event was published
        self._known: dict[tuple[str, int, str], float] = {}  #: (step, type, path) -> until when it is known
        self._tokens: list[Token] = []
        self._meetings: dict[Where, Meeting] = {}

    def run(self) -> Interpreter:
        for run in dict.fromkeys(published.run for published in self.published):
            self._run = run
            for published in self.published:
                if published.run == run:
                    self._at = published.at
                    self._emit(published.emit, (), {})
                    self._work_off()
            self._conclude_all()
        return self

    def _work_off(self) -> None:
        while self._tokens:
            token = self._tokens.pop()
            for step in b.steps_that_take(self.plan, token.emit.type):
                self._deliver(step, token)

    def _conclude_all(self) -> None:
        while self._meetings:
            first = min(self._meetings, key=lambda where: (self.places.rank[where[0]], where[1].frames, where[1].laps))
            self._conclude(self._meetings.pop(first))
            self._work_off()

    def _emit(self, emit: b.Emit, frames: tuple[int, ...], visits: Mapping[str, int]) -> None:
        self.emitted[emit.type, emit.path, frames] += 1
        self.broken |= {(emit.type, emit.path)} if emit.broken else set()
        self._tokens.append(Token(emit, frames, self.places.laps(visits, emit.type)))

    def _deliver(self, step: Step, token: Token) -> None:
        path, visits = token.emit.path, dict(token.visits)
        if token.emit.broken and not b.healed(self.seed, step.name, path):
            return
        if step.external:
            self._emit(b.answer(self.seed, self.odds, step, path), token.frames, visits)
            return
        if step.dedupe is not None and self._is_known(step, token):
            self.dropped[step.name] += 1
            return
        if step.is_join:
            self._meet(step, token)
            return
        visit = 1
        if step.max_visits is not None:
            visit = visits[step.name] = visits.get(step.name, 0) + 1
            if visit > step.max_visits and step.on_limit is not None:
                self._emit(b.Emit(step.on_limit, b.limit_path(step, path)), token.frames, visits)
                return
            if visit > step.max_visits and not b.healed(self.seed, step.name, path):
                return
        self._call(
            step, b.path_of(step, self._spot(step, token.frames, visits), visit, [path], []), token.frames, visits
        )

    def _is_known(self, step: Step, token: Token) -> bool:
        """`dedupe=`: did this event come here before, within the window? What comes of an event comes with it."""
        key = (step.name, token.emit.type, token.emit.path)
        if self._at < self._known.get(key, self._at):
            return True
        self._known[key] = self._at + (step.dedupe or 0.0)
        return False

    def _spot(self, step: Step, frames: tuple[int, ...], visits: Mapping[str, int]) -> b.Spot:
        return b.Spot(self._run, frames, tuple(sorted(self.places.laps(visits, step.name).items())))

    def _meet(self, step: Step, token: Token) -> None:
        is_item = step.items is not None and token.emit.type in step.items
        slot: str | int = (
            token.frames[-1] if is_item else next(p.name for p in step.parts if token.emit.type in p.types)
        )
        frames = token.frames[:-1] if is_item else token.frames
        self._meeting(step, frames, token.visits).slots[slot] = token.emit.path

    def _meeting(self, step: Step, frames: tuple[int, ...], visits: Mapping[str, int]) -> Meeting:
        meeting = Meeting(step, self._spot(step, frames, visits))
        return self._meetings.setdefault(meeting.where, meeting)

    def _call(self, step: Step, path: str, frames: tuple[int, ...], visits: Mapping[str, int]) -> None:
        if b.trouble(self.seed, self.odds, step, path) in b.FINAL and not b.healed(self.seed, step.name, path):
            return
        value = b.returned(self.seed, self.odds, step, path, self.plan.spared)
        for emit in value.events:
            self._emit(emit, frames, visits)
        if value.items is None:
            return
        for closer in self.places.closers.get(step.name, ()):
            self._meeting(self.places.steps[closer], frames, visits).size = len(value.items)
        for number, emit in enumerate(value.items):
            self._emit(emit, (*frames, number), visits)

    # -- joins

    def _conclude(self, meeting: Meeting) -> None:
        step = meeting.step
        if step.timing is not None:
            if self._observed(meeting):
                self._fire(meeting, b.path_of(step, meeting.spot, 1, [], []))
        elif not self._uncalled(meeting):
            parts = [self._seen(part, meeting.slots.get(part.name)) for part in step.parts]
            self._fire(meeting, b.path_of(step, meeting.spot, 1, parts, meeting.items))

    def _seen(self, part: Part, path: str | None) -> str:
        if path is None or not part.decision:
            return path or "-"
        return b.decided_path(path, b.approved(self.seed, "gate", path))

    def _fire(self, meeting: Meeting, path: str) -> None:
        self.fired[meeting.where] += 1
        self._call(meeting.step, path, meeting.spot.frames, dict(meeting.spot.laps))

    @staticmethod
    def _uncalled(meeting: Meeting) -> bool:
        step = meeting.step
        if any(part.name not in meeting.slots and (part.decision or not part.optional) for part in step.parts):
            return True
        if step.items is not None:
            return meeting.size is None or (meeting.size > 0 and not meeting.items)
        return not meeting.slots

    def _observed(self, meeting: Meeting) -> bool:
        """Was it called, as far as it may have been?"""
        calls = self.observed.calls.get(meeting.where, [])
        for call in calls:
            hurried = meeting.where in self.observed.hurried
            self.wrong += [f"{meeting.where}: {why}" for why in _forbidden(meeting, call, hurried)]
        if calls or self._uncalled(meeting) or meeting.where in self.observed.dropped:
            return bool(calls)
        self.wrong.append(f"{meeting.where} was never called, nor given up")
        return False


def _forbidden(meeting: Meeting, call: Call, hurried: bool) -> list[str]:
    """Why a join may not have been called so."""
    step, wrong = meeting.step, []
    timing = step.timing
    assert timing is not None
    for part in step.parts:
        path = call.parts[part.name]
        if path is None and not part.optional:
            wrong.append(f"without its part {part.name}")
        if path is not None and path.partition(":")[0] != meeting.slots.get(part.name):
            wrong.append(f"with {part.name}={path}, which never came")
        if path is None and part.name in meeting.slots and not (timing.partial or timing.go_without or hurried):
            wrong.append(f"without {part.name}, which came")
    if not _is_subsequence(call.items, meeting.items):
        wrong.append(f"with items {call.items} of {meeting.items}")
    early = (
        hurried or timing.partial or timing.go_without or (timing.take is not None and len(call.items) >= timing.take)
    )
    if len(call.items) < len(meeting.items) and not early and not b.agrees(timing, call.items):
        wrong.append(f"with {len(call.items)} of {len(meeting.items)} items")
    return wrong


def _is_subsequence(some: Sequence[str], of: Sequence[str]) -> bool:
    rest = iter(of)
    return all(path in rest for path in some)

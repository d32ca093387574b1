"""Joins: what a merge, gather or gate has so far, and whether it is ready. Pure: in state and rules, out a verdict.

R6: calls are driven by state; a part's offset is done when its entry is stored. R8: a slot whose part lies in a dead
letter is *blocked*, not settled. R9: what fired early leaves a stub of its outstanding slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

OPEN, CALL, STUB, DECISION, LIST = "#open", "#call", "#stub", "#decision", "#list"
MADE = frozenset({"claim", "unknown", "frozen"})  #: in what is stored of a call: it was begun
SPECIAL = frozenset({OPEN, CALL, STUB, DECISION})  #: all but LIST, which is settled and blocked as a part is
Verdict = Literal["wait", "call", "end", "expired", "forget"]


class Rules(NamedTuple):
    """What a handler's signature and options say about its joins."""

    parts: tuple[str, ...]  #: slots of single events
    optional: frozenset[str]
    brought: tuple[frozenset[str], ...]  #: by each of several published events: if one never comes, nobody says so
    items: bool  #: does it gather?
    decision: bool  #: does it wait for a person?
    decision_optional: bool
    take: int | None
    until: bool  #: is there a predicate; the dispatcher evaluates it
    timeout: float
    partial: bool  #: on_timeout
    go_without: bool  #: on_missing="partial"
    keep: float


@dataclass(slots=True)
class JoinState:
    """Everything stored of one join."""

    id: str
    run: str = ""
    scope: str = ""
    fork: str = ""
    opened: float = 0.0
    size: int | None = None
    slots: dict[str, bytes] = None  # type: ignore[assignment]
    absent: set[str] = None  # type: ignore[assignment]
    blocked: dict[str, str] = None  # type: ignore[assignment]
    open: bytes | None = None
    decision: bytes | None = None
    call: Mapping[str, Any] | None = None
    stub: Mapping[str, Any] | None = None
    settled_items: int = 0
    items_present: int = 0
    decided: float = 0.0  #: when the decision was made
    _times: dict[str, float] = None  # type: ignore[assignment]
    reminded: float = 0.0  #: the latest time at which a timer looks at it
    agreed: bool = False  #: `until` held of the items so far; asked again after a restore

    def __post_init__(self) -> None:
        self.slots, self.absent, self.blocked, self._times = {}, set(), {}, {}

    @property
    def empty(self) -> bool:
        """Is nothing stored of it any more?"""
        return not (self.slots or self.absent or self.blocked or self.open or self.decision or self.call or self.stub)

    def put(self, slot: str, raw: bytes | None, meta: Mapping[str, Any] | None) -> None:
        """Apply one stored entry, or its removal."""
        if meta is not None and "run" in meta:
            self.run, self.scope = meta["run"], meta.get("scope", "")
            self.fork = meta.get("fork", self.fork)
        self._note_time(slot, meta["at"] if meta is not None and "at" in meta else None)
        if slot == OPEN:
            self.open, self.size = raw, meta["size"] if meta else None
        elif slot == DECISION:
            self.decision, self.decided = raw, meta["sent"] if meta else 0.0
        elif slot == CALL:
            self.call = meta
        elif slot == STUB:
            self.stub = meta
        else:
            self._put_part(slot, raw, meta)

    def _note_time(self, slot: str, at: float | None) -> None:
        """`opened` is the earliest time of what is stored now, so that a fresh scan says the same."""
        before = self._times.pop(slot, None)
        if at is not None:
            self._times[slot] = at
        if before is not None and before == self.opened:
            self.opened = min(self._times.values(), default=0.0)
        elif at is not None:
            self.opened = min(self.opened or at, at)

    def _put_part(self, slot: str, raw: bytes | None, meta: Mapping[str, Any] | None) -> None:
        item = slot.isdigit()
        was_present = slot in self.slots
        was = was_present or slot in self.absent
        self.slots.pop(slot, None)
        self.absent.discard(slot)
        self.blocked.pop(slot, None)
        kind = meta["kind"] if meta else None
        if kind == "part" and raw is not None:
            self.slots[slot] = raw
        elif kind == "absent":
            self.absent.add(slot)
        elif kind == "blocked" and meta is not None:
            self.blocked[slot] = meta["by"]
        if item:
            self.settled_items += (kind in ("part", "absent")) - was
            self.items_present += (slot in self.slots) - was_present

    @property
    def called(self) -> bool:
        """Has it had its call, or was it given up? One that was replayed before it could be called waits anew."""
        return self.call is not None and ("since" not in self.call or not MADE.isdisjoint(self.call))

    def settled(self, slot: str) -> bool:
        """Has this slot its part, or is its part known not to come?"""
        return slot in self.slots or slot in self.absent

    def outstanding(self, rules: Rules) -> list[str] | None:
        """The slots that are not settled yet; None: nobody knows how many items there are."""
        missing = [slot for slot in rules.parts if not self.settled(slot)]
        if not rules.items or LIST in self.absent:
            return missing
        if self.size is None:
            return None
        return missing + [slot for slot in map(str, range(self.size)) if not self.settled(slot)]

    @property
    def stored(self) -> list[str]:
        """The slots of every stored entry."""
        special = {OPEN: self.open, CALL: self.call, STUB: self.stub, DECISION: self.decision}
        return [*self.slots, *self.absent, *self.blocked, *(name for name, there in special.items() if there)]


def deadline(join: JoinState, rules: Rules) -> float:
    """When it expires (again, after a replay); suspended while a slot is blocked, at most for `keep` (R8)."""
    waits_for_replay = any(not goes_without(slot, rules) for slot in join.blocked)
    since: float = max(join.opened, (join.call or {}).get("since", 0.0))
    return since + (rules.keep if waits_for_replay else rules.timeout)


def goes_without(slot: str, rules: Rules) -> bool:
    """Does a join go without this slot while its part lies in a dead letter?"""
    return rules.go_without and (slot == LIST or slot.isdigit() or slot in rules.optional)


def judge(join: JoinState, rules: Rules, now: float) -> Verdict:
    """What should happen to the join now."""
    if join.stub is not None:
        return "forget" if now >= join.stub["until"] or join.stub["outstanding"] == [] else "wait"
    if (call := join.call) is not None and join.called:
        if call.get("dead"):
            return "forget" if now >= call["until"] else "wait"
        waits = call.get("unknown") or now < (call.get("due") or now)
        if waits or call.get("drop") or not lacks(join, rules):  # else an older release replayed it, and ended at once
            return "wait" if waits else "call"
    if join.decision is not None and not (join.slots or join.absent or join.blocked or join.open):
        return "forget" if now >= join.decided + rules.keep else "wait"  # an early decision waits for its event
    complete = _complete(join, rules)
    if complete and _ends_uncalled(join, rules):
        return "end"
    decided = not rules.decision or join.decision is not None
    early = _early(join, rules) and _parts_settled(join, rules) and not _ends_uncalled(join, rules)
    if decided and (complete or early):
        return "call"
    if now >= deadline(join, rules):
        return "call" if rules.partial and not lacks(join, rules) else "expired"
    return "wait"


def lacks(join: JoinState, rules: Rules) -> bool:
    """Is something missing that it cannot be called without?"""
    undecided = rules.decision and join.decision is None and not rules.decision_optional
    return undecided or any(slot not in join.slots and slot not in rules.optional for slot in rules.parts)


def _parts_settled(join: JoinState, rules: Rules) -> bool:
    missing = [slot for slot in rules.parts if not join.settled(slot) and not _never_comes(slot, join, rules)]
    return all(slot in join.blocked and goes_without(slot, rules) for slot in missing)


def _never_comes(slot: str, join: JoinState, rules: Rules) -> bool:
    """A join that is not called any more waits for no publisher: it may know nothing of this, and never send."""
    came = {*join.slots, *join.absent, *([LIST] if join.open or join.settled_items else [])}
    sent = any(slot in brought and brought & came for brought in rules.brought)
    return _is_hopeless(join, rules) and bool(rules.brought) and not sent


def _complete(join: JoinState, rules: Rules) -> bool:
    if not _parts_settled(join, rules):
        return False
    if not rules.items or LIST in join.absent or (LIST in join.blocked and rules.go_without):
        return True
    gone = sum(1 for slot in join.blocked if slot.isdigit()) if rules.go_without else 0
    all_items = join.size is not None and join.settled_items + gone >= join.size
    return all_items or _never_comes(LIST, join, rules)


def _ends_uncalled(join: JoinState, rules: Rules) -> bool:
    """A required part is absent, or all parts are: as if the handler had returned None; a gate's decision is void.

    A scatter of size 0 is no absence: its gather is called with an empty list.
    """
    if _is_hopeless(join, rules):
        return True
    if rules.items:
        return bool(join.size) and not join.items_present and not join.blocked
    return not join.slots and not join.blocked


def _is_hopeless(join: JoinState, rules: Rules) -> bool:
    return LIST in join.absent or any(slot in join.absent and slot not in rules.optional for slot in rules.parts)


def _early(join: JoinState, rules: Rules) -> bool:
    return join.agreed or (rules.take is not None and join.items_present >= rules.take)

"""Random wirings as plain data: what both the kernel and the reference interpreter are built from.

A wiring is a list of steps; events are numbers, 0 is published. Nothing here knows Stepwire.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Step:
    """One handler."""

    name: str
    kind: str  #: single | merge | gather | around (`E, list[F]`) | gate
    parts: list[int]  #: events of its slots; of a gather the item, of an `around` the event and the item
    alternatives: list[tuple[str, list[int]]]  #: ("event" | "tuple" | "list" | "head", events) or ("none", [])
    limit: int = 0  #: max_visits
    at_limit: int | None = None  #: what on_limit emits
    optional: bool = False  #: is the last part of a merge optional?


@dataclass(slots=True)
class Wiring:
    """Steps, and which events close a loop (they are entries too)."""

    steps: list[Step] = field(default_factory=list)
    heads: set[int] = field(default_factory=set)
    events: int = 1

    def new(self) -> int:
        """Another event."""
        self.events += 1
        return self.events - 1

    def add(self, kind: str, parts: list[int], alternatives: list[tuple[str, list[int]]]) -> Step:
        """Another step."""
        step = Step(f"h{len(self.steps)}", kind, parts, alternatives)
        self.steps.append(step)
        return step


def generate(seed: int) -> Wiring:
    """A wiring of nested blocks, and sometimes something careless added to it."""
    rnd = random.Random(seed)
    wiring = Wiring()
    last = wiring.new()
    _block(wiring, rnd, 0, last, 3)
    if rnd.random() < 0.25:
        step, event = rnd.choice(wiring.steps), rnd.randrange(1, wiring.events)
        if rnd.random() < 0.5:
            step.alternatives.append(("event", [event]))
        else:
            wiring.add("single", [event], [("none", [])])
    return wiring


def _maybe(rnd: random.Random, alternatives: list[tuple[str, list[int]]]) -> list[tuple[str, list[int]]]:
    return alternatives + ([("none", [])] if rnd.random() < 0.35 else [])


def _block(wiring: Wiring, rnd: random.Random, begin: int, end: int, depth: int) -> None:
    """Steps that lead from one event to another."""
    new, add = wiring.new, wiring.add
    x = rnd.random() if depth else 0.0
    if depth and rnd.random() < 0.22:
        _loop(wiring, rnd, begin, end, depth)
    elif x < 0.15:
        add("single", [begin], _maybe(rnd, [("event", [end])]))
    elif x < 0.25:
        middle = new()
        _block(wiring, rnd, begin, middle, depth - 1)
        _block(wiring, rnd, middle, end, depth - 1)
    elif x < 0.38:  # a route; the branches come back together, or one ends
        one, other = new(), new()
        direct = [("event", [end])] if rnd.random() < 0.3 else []
        add("single", [begin], _maybe(rnd, [("event", [one]), ("event", [other]), *direct]))
        _block(wiring, rnd, one, end, depth - 1)
        if rnd.random() < 0.7:
            _block(wiring, rnd, other, end, depth - 1)
        else:
            add("single", [other], [("none", [])])
    elif x < 0.5:  # two handlers on one event, merged
        one, other = new(), new()
        _block(wiring, rnd, begin, one, depth - 1)
        _block(wiring, rnd, begin, other, depth - 1)
        add("merge", [one, other], _maybe(rnd, [("event", [end])])).optional = rnd.random() < 0.3
    elif x < 0.62:  # a tuple, merged
        left, right, one, other = new(), new(), new(), new()
        add("single", [begin], _maybe(rnd, [("tuple", [left, right])]))
        _block(wiring, rnd, left, one, depth - 1)
        _block(wiring, rnd, right, other, depth - 1)
        add("merge", [one, other], _maybe(rnd, [("event", [end])])).optional = rnd.random() < 0.3
    elif x < 0.78:  # scatter, gather
        item, done = new(), new()
        add("single", [begin], _maybe(rnd, [("list", [item])]))
        _block(wiring, rnd, item, done, depth - 1)
        add("gather", [done], _maybe(rnd, [("event", [end])]))
    elif x < 0.88:  # scatter beside an event, gathered with it
        head, item, done = new(), new(), new()
        add("single", [begin], _maybe(rnd, [("head", [head, item])]))
        _block(wiring, rnd, item, done, depth - 1)
        add("around", [head, done], _maybe(rnd, [("event", [end])]))
    else:
        add("gate", [begin], _maybe(rnd, [("event", [end])]))


def _loop(wiring: Wiring, rnd: random.Random, begin: int, end: int, depth: int) -> None:
    head, judged, again = wiring.new(), wiring.new(), wiring.new()
    wiring.add("single", [begin], [("event", [head])])
    _block(wiring, rnd, head, judged, depth - 1)
    wiring.add("single", [judged], _maybe(rnd, [("event", [end]), ("event", [again])]))
    back = wiring.add("single", [again], [("event", [head])])
    back.limit = rnd.choice([1, 2, 3])
    if rnd.random() < 0.4:
        back.at_limit = end


def choice(seed: int, step: str, payload: str, options: int) -> int:
    """What a step does: a pure function of who it is and what it was given."""
    return random.Random(f"{seed}/{step}/{payload}").randrange(options)

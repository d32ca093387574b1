"""What the handlers of a random app do: pure functions of a seed, a handler's name and a path; imports nothing of ours.

The path of an event says where it came from; it is part of its payload. The real handlers and the interpreter ask the
same functions, so they agree on everything but on what the kernel is for: which events meet, and what is owed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from tests.properties.wirings import Plan, Step, Timing

MANY = 8  #: more items than a delivery may return here
Trouble = Literal["", "transient", "later", "reject", "raise", "hang", "many", "wrong"]
FINAL: tuple[Trouble, ...] = ("reject", "raise", "hang", "many", "wrong")  #: those that end in a dead letter
TROUBLES: tuple[Trouble, ...] = ("transient", "later", *FINAL)


@dataclass(frozen=True)
class Emit:
    """One event to emit."""

    type: int
    path: str
    broken: bool = False  #: nobody can decode it


@dataclass(frozen=True)
class Returned:
    """What a call returns."""

    events: tuple[Emit, ...] = ()
    items: tuple[Emit, ...] | None = None


@dataclass(frozen=True)
class Odds:
    """How often things go wrong, in percent, and which things."""

    trouble: int = 12
    broken: int = 3
    kinds: tuple[Trouble, ...] = TROUBLES
    answers: int = 0  #: how many answers of services nobody can decode


def digest(*parts: object) -> str:
    """A short name for a path."""
    return blake2b("/".join(map(str, parts)).encode(), digest_size=6).hexdigest()


def dice(seed: int, *about: object) -> random.Random:
    """The same throws for the same question."""
    return random.Random(f"{seed}|{'|'.join(map(str, about))}")


@dataclass(frozen=True)
class Spot:
    """Where a delivery stands: in which run, at which items of the scatters around, in which laps of loops."""

    run: str = ""
    frames: tuple[int, ...] = ()
    laps: tuple[tuple[str, int], ...] = ()


def path_of(step: Step, spot: Spot, visit: int, parts: Sequence[str], items: Sequence[str]) -> str:
    """The path of a delivery: by what it was called with, but of a join that depends on time only by where it is."""
    laps = [f"{name}@{lap}" for name, lap in spot.laps] if step.is_join else []
    if step.timing is not None:
        return digest(step.name, spot.run, *spot.frames, *laps)
    return digest(step.name, spot.run, visit, *spot.frames, *laps, "parts", *parts, "items", *items)


def answer(seed: int, odds: Odds, step: Step, path: str) -> Emit:
    """What somebody else's service answers; what only its value brings home can always be read."""
    broken = step.external == "echo" and dice(seed, "answer", step.name, path).randrange(100) < odds.answers
    return Emit(step.emitted[0], digest(step.name, "answer", path), broken)


@dataclass(frozen=True)
class Published:
    """An event that came from outside: in which run, which, when (seconds)."""

    run: str
    emit: Emit
    at: float = 0.0


def arrivals(plan: Plan, seed: int) -> list[Published]:
    """What is published from outside, each once: up to three runs by a field, and some of their own."""
    throws = dice(seed, "arrivals")
    found = [Published("", Emit(0, "root"))]
    for run in ["", "r1", "r2"][: throws.choice((1, 1, 1, 2, 3))]:
        found += [Published(run, Emit(e, f"{e}@{run}")) for e in plan.entries if e or run if throws.random() < 0.85]
    found += [Published(f"i{e}", Emit(e, f"{e}@inner")) for e in plan.inner]
    return found


def trouble(seed: int, odds: Odds, step: Step, path: str) -> Trouble:
    """What goes wrong with the first call, or the first calls, of a delivery."""
    throws = dice(seed, "trouble", step.name, path)
    if throws.randrange(100) >= odds.trouble:
        return ""
    if "many" in odds.kinds and any(term.items for term in step.terms) and throws.random() < 0.5:
        return "many"
    return throws.choice(odds.kinds)


def healed(seed: int, name: str, path: str) -> bool:
    """What a person does with a dead letter: replay it, so that it goes well, or drop it."""
    return dice(seed, "heal", name, path).random() < 0.6


def approved(seed: int, name: str, path: str) -> tuple[bool, bool]:
    """What a person decides about an event: approved or not, edited or not."""
    throws = dice(seed, "decide", name, path)
    return throws.random() < 0.7, throws.random() < 0.3


def decided_path(path: str, verdict: tuple[bool, bool]) -> str:
    """What a gate's handler sees of event and decision."""
    return f"{path}:{'+' if verdict[0] else '-'}{'e' if verdict[1] else ''}"


def lane(path: str) -> int:
    """The value by which events with `order=` are handled one after another."""
    return sum(path.encode()) % 3


def returned(seed: int, odds: Odds, step: Step, path: str, spare: frozenset[int] = frozenset()) -> Returned:
    """What a delivery returns when nothing goes wrong; events of `spare` can always be read."""
    throws = dice(seed, "return", step.name, path)
    term = throws.choice(step.terms)
    events = [Emit(event, digest(path, number)) for number, event in enumerate(term.events)]
    items = None
    if term.items is not None:
        size = throws.choice((0, 1, 2, 2, 3, 4))
        items = [Emit(throws.choice(term.items), digest(path, "item", number)) for number in range(size)]
    emitted = [*events, *(items or ())]
    broken = [emit for emit in emitted if throws.randrange(100) < odds.broken and emit.type not in spare]
    mark = {emit: Emit(emit.type, emit.path, broken=True) for emit in broken}
    return Returned(
        tuple(mark.get(emit, emit) for emit in events),
        None if items is None else tuple(mark.get(emit, emit) for emit in items),
    )


def limit_path(step: Step, path: str) -> str:
    """The path of what `on_limit` emits."""
    return digest(step.name, "limit", path)


def agrees(timing: Timing, paths: Sequence[str]) -> bool:
    """The predicate of `until`."""
    if timing.until is None:
        return False
    odd = sum(lane(path) == 1 for path in paths)
    return max(odd, len(paths) - odd) >= timing.until


def steps_that_take(plan: Plan, event: int) -> list[Step]:
    """Who gets an event."""
    return [step for step in plan.steps if event in step.taken]

"""Random apps as plain data: what the strategy draws, the interpreter reads and `build` makes real handlers of.

Most of what is drawn is well-formed, block by block (a chain, a route, a merge, a scatter with its gather, a loop, a
gate …, each from one event to another); now and then a careless author adds something, which is usually refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
WINDOWS = (60.0, 1_000_000.0)  #: seconds of `dedupe=`: over before a run is, or longer


@dataclass(frozen=True)
class Term:
    """One alternative of a return: events emitted together, and the types of a list's items."""

    events: tuple[int, ...] = ()
    items: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Part:
    """One parameter that is an event."""

    name: str
    types: tuple[int, ...]
    optional: bool = False
    decision: bool = False


@dataclass(frozen=True)
class Timing:
    """What makes a join depend on what came when."""

    take: int | None = None
    until: int | None = None  #: so many items of one parity
    timeout: float | None = None
    partial: bool = False  #: on_timeout
    go_without: bool = False  #: on_missing


@dataclass(frozen=True)
class Step:
    """A handler."""

    name: str
    parts: tuple[Part, ...]
    terms: tuple[Term, ...]
    items: tuple[int, ...] | None = None
    max_visits: int | None = None
    on_limit: int | None = None
    timing: Timing | None = None
    order: bool = False
    once: bool = False
    dedupe: float | None = None  #: seconds
    external: Literal["", "echo", "match"] = ""  #: somebody else does it, and finds the way back so
    instant: bool = False  #: there is no await in its code
    concurrency: int | None = None

    @property
    def is_join(self) -> bool:
        return self.items is not None or len(self.parts) > 1 or self.is_gate

    @property
    def is_gate(self) -> bool:
        return any(part.decision for part in self.parts)

    @property
    def taken(self) -> tuple[int, ...]:
        return tuple(event for part in self.parts for event in part.types) + (self.items or ())

    @property
    def emitted(self) -> tuple[int, ...]:
        found = [event for term in self.terms for event in (*term.events, *(term.items or ()))]
        return tuple(found) + ((self.on_limit,) if self.on_limit is not None else ())


@dataclass(frozen=True)
class Plan:
    """An app."""

    steps: tuple[Step, ...]
    events: int
    keyed: frozenset[int] = frozenset()  #: events whose record key is a field of theirs
    topics: int = 0  #: events share so many topics; 0: each has its own
    entries: tuple[int, ...] = (0,)  #: they are published from outside, and meet in one run by a field
    inner: frozenset[int] = frozenset()  #: so are these, into the middle; each begins a run of its own

    @property
    def terminal(self) -> frozenset[int]:
        taken = {event for step in self.steps for event in step.taken}
        return frozenset(range(self.events)) - taken

    @property
    def externals(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.external)

    @property
    def asks(self) -> frozenset[int]:
        return frozenset(event for step in self.externals for event in step.taken)

    @property
    def spared(self) -> frozenset[int]:
        """What other people's services read and write can always be read here."""
        return self.asks | frozenset(event for step in self.externals for event in step.emitted)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def __str__(self) -> str:
        return "\n".join(_shown(step) for step in self.steps)


def _shown(step: Step) -> str:
    parts = [
        f"{'decision ' if p.decision else ''}{'|'.join(f'E{e}' for e in p.types)}{'?' if p.optional else ''}"
        for p in step.parts
    ]
    if step.items is not None:
        parts.append(f"[{'|'.join(f'E{e}' for e in step.items)}]")
    terms = []
    for term in step.terms:
        members = [f"E{e}" for e in term.events]
        if term.items is not None:
            members.append(f"[{'|'.join(f'E{e}' for e in term.items)}]")
        terms.append(" & ".join(members) or "None")
    marks = [
        f"{name}={value}"
        for name in (
            "max_visits",
            "on_limit",
            "timing",
            "order",
            "once",
            "dedupe",
            "external",
            "instant",
            "concurrency",
        )
        if (value := getattr(step, name)) not in (None, False, "")
    ]
    return f"{step.name}: {', '.join(parts)} -> {' | '.join(terms)} {' '.join(marks)}".rstrip()


@dataclass(frozen=True)
class Style:
    """What an author makes use of."""

    timed: bool = True  #: joins that depend on time
    gates: bool = True
    once: bool = False
    outside: bool = False  #: several entries, steps that others do, and ids that come again
    joins: bool = True
    rough: bool = False  #: rare signatures and options, alone and together


@dataclass
class _Author:
    """Draws blocks."""

    integer: Callable[[int, int], int]  #: a number from … to …
    style: Style
    steps: list[Step] = field(default_factory=list)
    count: int = 1
    entries: list[int] = field(default_factory=lambda: [0])

    def new(self) -> int:
        self.count += 1
        return self.count - 1

    def chance(self, percent: int) -> bool:
        return self.integer(0, 99) >= 100 - percent

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def single(self, event: int, terms: Sequence[Term], **options: Any) -> None:
        self.either((event,), terms, **options)

    def either(self, events: tuple[int, ...], terms: Sequence[Term], **options: Any) -> None:
        """A step that takes any of these events."""
        plain = options.get("max_visits") is None or self.style.rough
        order = plain and self.chance(8)
        once = self.style.once and plain and self.chance(8)
        drops = self.style.outside and self.chance(70 if events[0] in self.entries else 12)
        dedupe = self.pick(WINDOWS) if drops else None
        self._add((Part("a", events),), terms, order=order, once=once, dedupe=dedupe, **options)

    def _add(self, parts: Sequence[Part], terms: Sequence[Term], **options: Any) -> None:
        name = f"h{len(self.steps)}"
        if self.style.rough and not options.get("external"):
            options |= {"instant": self.chance(25), "concurrency": self.pick((None, None, None, 1, 2))}
            options["once"] = options.get("once", False) or (self.style.once and self.chance(8))
        self.steps.append(Step(name, tuple(parts), tuple(dict.fromkeys(terms)), **options))

    def maybe(self, *terms: Term) -> list[Term]:
        return [*terms, Term()] if self.chance(30) else list(terms)

    def merge(self, one: tuple[int, ...], other: tuple[int, ...], terms: Sequence[Term], *, optional: bool) -> None:
        absent = optional and self.chance(25)
        parts = [Part("a", one), Part("b", other, optional=absent)]
        timing = None
        if self.style.timed and self.chance(25):
            timing = Timing(
                timeout=self.pick([None, 50.0, 400.0]), partial=absent and self.chance(50),
                go_without=absent and self.chance(50),
            )  # fmt: skip
        self._add(parts, terms, timing=timing if timing != Timing() else None)

    def gather(self, items: tuple[int, ...], terms: Sequence[Term], head: int | None = None) -> None:
        timing = None
        if self.style.timed and self.chance(40):
            timing = Timing(
                take=self.pick([None, 1, 2]), until=self.pick([None, 2]), timeout=self.pick([None, 50.0, 400.0]),
                partial=self.chance(50), go_without=self.chance(30),
            )  # fmt: skip
            if timing.take is not None:
                timing = replace(timing, until=None)
        parts = [] if head is None else [Part("a", (head,))]
        self._add(parts, terms, items=items, timing=timing)

    # -- blocks: from event `i` to event `o`, with blocks inside down to depth `d`

    def block(self, i: int, o: int, d: int) -> None:
        kinds = ["chain", "sequence", "route", "loop", "loop"]
        if self.style.joins:
            kinds += ["fan", "tuple", "scatter", "scatter", "sort", "head", "apart", "union"]
        kinds += ["gate"] if self.style.gates else []
        kinds += ["either", "trio", "mixed", "vetted"] if self.style.rough else []
        kinds += ["outside", "outside"] if self.style.outside and self.style.joins else []
        kind = "chain" if d <= 0 else self.pick(kinds)
        getattr(self, f"_{kind}")(i, o, d - 1)

    def _chain(self, i: int, o: int, d: int) -> None:
        del d
        self.single(i, self.maybe(Term((o,))))

    def _sequence(self, i: int, o: int, d: int) -> None:
        middle = self.new()
        self.block(i, middle, d)
        self.block(middle, o, d)

    def _route(self, i: int, o: int, d: int) -> None:
        a, b = self.new(), self.new()
        direct = [Term((o,))] if self.chance(30) else []
        self.single(i, self.maybe(Term((a,)), Term((b,)), *direct))
        self.block(a, o, d)
        if self.chance(70):
            self.block(b, o, d)
        else:
            self.single(b, [Term()])

    def _fan(self, i: int, o: int, d: int) -> None:
        a, b = self.new(), self.new()
        self.block(i, a, d)
        self.block(i, b, d)
        self.merge((a,), (b,), self.maybe(Term((o,))), optional=True)

    def _tuple(self, i: int, o: int, d: int) -> None:
        p, q, a, b = self.new(), self.new(), self.new(), self.new()
        direct = [Term((o,))] if self.chance(40) else []
        self.single(i, self.maybe(Term((p, q)), *direct))
        self.block(p, a, d)
        self.block(q, b, d)
        self.merge((a,), (b,), self.maybe(Term((o,))), optional=True)

    def _union(self, i: int, o: int, d: int) -> None:
        p, q, a, a2, b = self.new(), self.new(), self.new(), self.new(), self.new()
        self.single(i, [Term((p, q))])
        self.single(p, self.maybe(Term((a,)), Term((a2,))))
        self.block(q, b, d)
        self.merge((a, a2), (b,), self.maybe(Term((o,))), optional=True)

    def _scatter(self, i: int, o: int, d: int) -> None:
        a, b = self.new(), self.new()
        types = (a, b) if self.chance(15) else (a,)
        direct = [Term((o,))] if self.chance(30) else []
        self.single(i, self.maybe(Term((), types), *direct))
        self.block(a, b, d)
        self.gather((b,), self.maybe(Term((o,))))

    def _sort(self, i: int, o: int, d: int) -> None:
        a, b, c, p, q = self.new(), self.new(), self.new(), self.new(), self.new()
        self.single(i, [Term((), (a,))])
        self.single(a, self.maybe(Term((b,)), Term((c,))))
        self.gather((b,), self.maybe(Term((p,))))
        self.gather((c,), [Term((q,))])
        self.merge((p,), (q,), self.maybe(Term((o,))), optional=d > 0)

    def _head(self, i: int, o: int, d: int) -> None:
        head, a, b = self.new(), self.new(), self.new()
        met = head
        self.single(i, self.maybe(Term((head,), (a,))))
        self.block(a, b, d)
        if self.chance(50):
            met = self.new()
            self.block(head, met, d)
        self.gather((b,), self.maybe(Term((o,))), head=met)

    def _apart(self, i: int, o: int, d: int) -> None:
        """A head that comes another way than the scatter: it waits, whatever becomes of the one who scatters."""
        head, a, b = self.new(), self.new(), self.new()
        self.block(i, head, d)
        self.single(i, self.maybe(Term((), (a,))))
        self.block(a, b, d)
        self.gather((b,), self.maybe(Term((o,))), head=head)

    def _loop(self, i: int, o: int, d: int) -> None:
        start, end, again = self.new(), self.new(), self.new()
        self.single(i, [Term((start,))])
        self.block(start, end, d)
        self.single(end, self.maybe(Term((o,)), Term((again,))))
        always = not self.style.joins  # an id that comes again would leave two dead letters of one delivery
        self.single(
            again, [Term((start,))], max_visits=self.pick((1, 1, 2)), on_limit=o if always or self.chance(40) else None
        )

    def _gate(self, i: int, o: int, d: int) -> None:
        a = self.new()
        self.block(i, a, d)
        timing = (
            Timing(timeout=self.pick([50.0, 400.0]), partial=True) if self.style.timed and self.chance(40) else None
        )
        optional = timing is not None and self.chance(60)
        if timing is not None and not optional:
            timing = replace(timing, partial=False)
        parts = [Part("a", (a,), optional=optional, decision=True)]
        self._add(parts, self.maybe(Term((o,))), timing=timing)

    def _either(self, i: int, o: int, d: int) -> None:
        """Two branches end in one step that takes the events of both."""
        a, b, c, e = self.new(), self.new(), self.new(), self.new()
        self.single(i, self.maybe(Term((a,)), Term((b,))))
        self.block(a, c, d)
        self.block(b, e, d)
        self.either((c, e), self.maybe(Term((o,))))

    def _trio(self, i: int, o: int, d: int) -> None:
        """A merge of three."""
        starts, ends = [self.new() for _ in range(3)], [self.new() for _ in range(3)]
        self.single(i, self.maybe(Term(tuple(starts))))
        for start, end in zip(starts, ends, strict=True):
            self.block(start, end, d)
        parts = [
            Part(name, (end,), optional=n > 0 and self.chance(40))
            for n, (name, end) in enumerate(zip("abc", ends, strict=True))
        ]
        self._add(parts, self.maybe(Term((o,))), timing=self._hurried(parts))

    def _vetted(self, i: int, o: int, d: int) -> None:
        """A gate that is a merge as well."""
        p, q, a, b = self.new(), self.new(), self.new(), self.new()
        self.single(i, self.maybe(Term((p, q))))
        self.block(p, a, d)
        self.block(q, b, d)
        parts = [Part("a", (a,), optional=self.chance(20), decision=True), Part("b", (b,), optional=self.chance(40))]
        self._add(parts, self.maybe(Term((o,))), timing=self._hurried(parts))

    def _hurried(self, parts: Sequence[Part]) -> Timing | None:
        """Perhaps a deadline, and going without what may be missing."""
        may = any(part.optional for part in parts)
        timing = Timing(
            timeout=self.pick([None, 50.0, 400.0]), partial=may and self.chance(50), go_without=may and self.chance(50)
        )
        return timing if self.style.timed and timing != Timing() and self.chance(60) else None

    def _mixed(self, i: int, o: int, d: int) -> None:
        """Items of two kinds in one list."""
        a, b, c, e = self.new(), self.new(), self.new(), self.new()
        self.single(i, self.maybe(Term((), (a, b))))
        self.block(a, c, d)
        self.block(b, e, d)
        self.gather((c, e), self.maybe(Term((o,))))

    def _outside(self, i: int, o: int, d: int) -> None:
        answered = {event for step in self.steps if step.external for event in step.emitted}
        ask, answer = self.new(), o if self.chance(50) and o not in answered else self.new()
        self.single(i, self.maybe(Term((ask,))))
        self._add((Part("a", (ask,)),), [Term((answer,))], external=self.pick(("echo", "match")))
        if answer != o:
            self.block(answer, o, d)

    def meet(self, o: int, d: int) -> None:
        """Two events that are published apart meet in the run that a field names."""
        other, ends = self.new(), []
        self.entries.append(other)
        for entry in (0, other):
            ends.append(entry if self.chance(40) else self.new())
            if ends[-1] != entry:
                self.block(entry, ends[-1], d)
        timing = Timing(timeout=self.pick((50.0, 4_000.0)))
        self._add([Part("a", (ends[0],)), Part("b", (ends[1],))], self.maybe(Term((o,))), timing=timing)

    # -- a careless author

    def careless(self) -> None:
        number = self.pick([number for number, step in enumerate(self.steps) if not step.external])
        step, event = self.steps[number], self.integer(1, self.count - 1)
        match self.pick(["alternative", "side", "side", "tuple"]):
            case "alternative":
                self.steps[number] = replace(step, terms=tuple(dict.fromkeys([*step.terms, Term((event,))])))
            case "side":
                out = self.pick([self.new(), event])
                self.single(event, [Term((out,)), Term()] if out != event else [Term()])
            case _:
                other = self.integer(1, self.count - 1)
                both = (event, other) if event != other else (event,)
                self.steps[number] = replace(step, terms=tuple(dict.fromkeys([*step.terms, Term(both)])))


def write(integer: Callable[[int, int], int], style: Style) -> Plan:
    """A random app, drawn number by number."""
    author = _Author(integer, style)
    last = author.new()
    if style.outside and style.timed and style.joins and author.chance(40):
        author.meet(last, integer(0, 2))
    else:
        author.block(0, last, integer(1, 3))
    if author.chance(20) and len(author.entries) == 1:  # what is published apart is not analysed together
        author.careless()
    inner = frozenset({integer(1, author.count - 1)} if style.outside and author.chance(50) else ())
    keyed = frozenset(event for event in range(author.count) if author.chance(15))
    entries = tuple(author.entries)
    inner &= {event for step in author.steps for event in step.taken}
    inner -= {*entries, *(event for step in author.steps if step.external for event in (*step.taken, *step.emitted))}
    return Plan(tuple(author.steps), author.count, keyed, author.pick((0, 0, 3)), entries, inner)


def plans(style: Style) -> st.SearchStrategy[Plan]:
    """Random apps: half of them drawn by hypothesis, which shrinks them, half by even dice, which meet more."""

    @st.composite
    def drawn(draw: Callable[[st.SearchStrategy[int]], int]) -> Plan:
        return write(lambda low, high: draw(st.integers(low, high)), style)

    return drawn() | st.integers(0, 2**32).map(lambda seed: write(Random(seed).randint, style))

"""What every drawing of an app needs to know: its steps in the order of the flow, and who hands what to whom.

In: an app. Out: a `Sketch`, plain data, which is also what `stepwire graph --format json` prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from stepwire import App
from stepwire.handler import External
from stepwire.signature import EventType, Term
from stepwire.wiring.graph import AnyHandler
from stepwire_handlers.entries import entries_of

Shape = Literal["step", "scatter", "gather", "merge", "gate", "external"]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)


class Step(_Data):
    """One handler, or a step that somebody else's service does."""

    name: str
    shape: Shape
    takes: list[list[str]]  #: its slots, each with the events that fill it; the items of a gather as one slot, the last
    items: bool  #: is the last slot the items of a scatter?
    optional: list[bool]  #: may this slot stay empty?
    emits: list[list[str]]  #: the alternatives of what it returns; an item of a scatter as `[Event]`, nothing as []
    max_visits: int | None
    on_limit: list[str]
    once: bool  #: its effect happens at most once
    scope: list[str]  #: the steps whose scatters are open where it runs, outermost first
    loops: list[str]  #: the limited steps whose loops it is in
    retired: bool = False  #: it calls nothing any more


class Edge(_Data):
    """An event on its way. `source` None: published from outside; `target` None: nobody here takes it."""

    event: str
    source: str | None
    target: str | None
    kind: Literal["emit", "item", "limit", "entry"]
    back: bool  #: does it go round a loop?


class Sketch(_Data):
    """An app, ready to be drawn."""

    app: str
    entries: list[str]
    results: list[str]
    steps: list[Step]
    edges: list[Edge]


def sketch(app: App) -> Sketch:
    """Read it from the wiring."""
    results = [event.__name__ for event in app.wiring.events if event.spec.result]
    entries = [event.__name__ for event in entries_of(app)]
    steps = [_step(app, handler) for handler in app.handlers] + [_external(app, step) for step in app.externals]
    order = _order(app)
    steps.sort(key=lambda step: order[step.name])
    return Sketch(app=app.name, entries=entries, results=sorted(results), steps=steps, edges=list(_edges(app)))


def _step(app: App, handler: AnyHandler) -> Step:
    signature, options = handler.signature, handler.options
    parts = [*signature.parts, *([signature.items] if signature.items else [])]
    return Step(
        name=handler.name, shape=_shape(handler), takes=[[event.__name__ for event in part.types] for part in parts],
        items=signature.items is not None, optional=[part.optional and not part.decision for part in parts],
        emits=[_names(term) for term in signature.returns], max_visits=options.max_visits,
        on_limit=_names(handler.limit_term) if handler.limit_term else [], once=options.effect == "once",
        scope=list(app.wiring.scopes.out[handler.name]), loops=sorted(app.wiring.handler_loops[handler.name]),
        retired=options.retired,
    )  # fmt: skip


def _external(app: App, step: External) -> Step:
    return Step(
        name=step.name, shape="external", takes=[[step.ask.__name__]], items=False, optional=[False],
        emits=[[step.answer.__name__]], max_visits=None, on_limit=[], once=False,
        scope=list(app.wiring.scopes.out[step.name]), loops=sorted(app.wiring.handler_loops[step.name]),
    )  # fmt: skip


def _shape(handler: AnyHandler) -> Shape:
    signature = handler.signature
    if signature.is_gate:
        return "gate"
    if signature.items is not None:
        return "gather"
    if signature.is_join:
        return "merge"
    return "scatter" if any(term.items is not None for term in signature.returns) else "step"


def _names(term: Term) -> list[str]:
    items = [] if term.items is None else [f"[{' | '.join(event.__name__ for event in term.items)}]"]
    return [event.__name__ for event in term.events] + items


def _emitted(app: App) -> Iterator[tuple[str, EventType, Literal["emit", "item", "limit"]]]:
    for handler in app.handlers:
        for term in handler.signature.returns:
            yield from ((handler.name, event, "emit") for event in term.events)
            yield from ((handler.name, event, "item") for event in term.items or ())
        if handler.limit_term is not None:
            yield from ((handler.name, event, "limit") for event in handler.limit_term.events)
    yield from ((step.name, step.answer, "emit") for step in app.externals)


def _edges(app: App) -> Iterator[Edge]:
    for entry in entries_of(app):
        for target in _targets(app, entry):
            yield Edge(event=entry.__name__, source=None, target=target, kind="entry", back=False)
    back = _back(app)
    for source, event, kind in dict.fromkeys(_emitted(app)):
        for target in _targets(app, event):
            goes_back = kind != "limit" and (source, event, target) in back
            yield Edge(event=event.__name__, source=source, target=target, kind=kind, back=goes_back)
        if not app.wiring.takers[event]:
            yield Edge(event=event.__name__, source=source, target=None, kind=kind, back=False)


def _targets(app: App, event: EventType) -> list[str]:
    return list(dict.fromkeys(name for name, _ in app.wiring.takers[event]))


def _back(app: App) -> set[tuple[str, EventType, str]]:
    """The edges that close a loop. Its limited step lies on every way round (R5): they lead into it, or out of it."""
    wires = [(source, event, target) for source, event, _ in _emitted(app) for target in _targets(app, event)]
    found: set[tuple[str, EventType, str]] = set()
    for limited, members in app.wiring.scopes.loops.items():
        inside = [wire for wire in wires if members.issuperset(wire)]
        taken = app.wiring.handlers[limited].signature.taken
        outside = {event for source, event, _ in wires if source not in members} | set(app.wiring.graph.entries)
        head = not outside.isdisjoint(taken)  # the flow comes to the loop at its limited step
        found |= {wire for wire in inside if wire[2 if head else 0] == limited}
    return found


def _order(app: App) -> dict[str, int]:
    """Step -> its place in the flow: nobody before those it waits for."""
    back = _back(app)
    after: dict[str, list[str]] = {}
    for source, event, _ in _emitted(app):
        after.setdefault(source, [])
        after[source] += [target for target in _targets(app, event) if (source, event, target) not in back]
    first = [target for entry in app.wiring.graph.entries for target in _targets(app, entry)]
    seen: set[str] = set()
    finished: list[str] = []

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for following in reversed(after.get(name, [])):
                visit(following)
            finished.append(name)

    for name in reversed(first):
        visit(name)
    return {name: place for place, name in enumerate(reversed(finished))}

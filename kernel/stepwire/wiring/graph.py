"""From handlers to nodes: the graph that the analysis, the drawing and the topics plan read.

In: the handlers and externals of an app. Out: nodes with slots and alternatives, who consumes what, which events are
entries. A handler `E, list[F]` becomes two nodes, the gather and a merge of `E` with its result (R4); a gate without
other parts is a plain node, since its decision slot counts as always present.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from stepwire.errors import Refusal
from stepwire.handler import External, Handler
from stepwire.signature import EventType

T = TypeVar("T")
AnyHandler = Handler[..., object]
Kind = Literal["single", "merge", "gather"]


@dataclass(frozen=True, slots=True)
class Virtual:
    """The result of the gather inside a handler `E, list[F]`; never published."""

    handler: str

    @property
    def __name__(self) -> str:
        return f"the list of {self.handler}"


Token = EventType | Virtual  #: what an edge carries


class Slot(NamedTuple):
    """One thing that a join waits for: the node, and the number of its input."""

    node: str
    number: int


class Shape(NamedTuple):
    """One alternative of a node: tokens emitted together, and the items of a scatter."""

    tokens: tuple[Token, ...] = ()
    items: tuple[EventType, ...] | None = None


@dataclass(slots=True)
class Node:
    """A handler as the analysis sees it."""

    name: str
    handler: str  #: whose code it is
    kind: Kind
    slots: tuple[tuple[Token, ...], ...]
    shapes: tuple[Shape, ...]
    limited: bool = False
    on_limit: EventType | None = None


@dataclass(slots=True)
class Graph:
    """The nodes of one app and how they are wired."""

    app: str
    nodes: dict[str, Node]
    consumers: dict[Token, list[Slot]] = field(default_factory=lambda: defaultdict(list))
    emitted: frozenset[Token] = frozenset()
    entries: tuple[EventType, ...] = ()


def items_node(handler: str) -> str:
    """The name of the gather inside a handler `E, list[F]`."""
    return handler + "#items"


def build(app: str, handlers: Sequence[AnyHandler], externals: Sequence[External]) -> Graph:
    """Make the graph; entries are the events nobody here emits, and those marked so."""
    nodes = {node.name: node for handler in handlers for node in _nodes(handler)}
    for step in externals:
        nodes[step.name] = Node(step.name, step.name, "single", ((step.ask,),), (Shape((step.answer,)),))
    graph = Graph(app, nodes)
    emitted: set[Token] = set()
    for node in nodes.values():
        for index, types in enumerate(node.slots):
            for token in types:
                graph.consumers[token].append(Slot(node.name, index))
        for shape in node.shapes:
            emitted |= set(shape.tokens) | set(shape.items or ())
    graph.emitted = frozenset(emitted)
    graph.entries = tuple(
        token
        for token in graph.consumers
        if not isinstance(token, Virtual) and (token not in emitted or token.spec.entry)
    )
    return graph


def _nodes(handler: AnyHandler) -> Iterable[Node]:
    signature, options = handler.signature, handler.options
    shapes = tuple(Shape(term.events, term.items) for term in signature.returns)
    limit = handler.limit_term.events[0] if handler.limit_term else None
    if limit is not None:
        shapes = (*shapes, Shape((limit,)))
    parts: tuple[tuple[Token, ...], ...] = tuple(part.types for part in signature.parts)
    name = handler.name
    if signature.items is None:
        kind: Kind = "merge" if signature.is_join else "single"
        yield Node(name, name, kind, parts, shapes, options.max_visits is not None, limit)
    elif not parts:
        yield Node(name, name, "gather", (signature.items.types,), shapes)
    else:
        result = Virtual(name)
        yield Node(items_node(name), name, "gather", (signature.items.types,), (Shape((result,)),))
        yield Node(name, name, "merge", (*parts, (result,)), shapes)


def check_graph(graph: Graph, handlers: Sequence[AnyHandler], externals: Sequence[External]) -> list[Refusal]:
    """What is wrong before any analysis: names, types, events that lead nowhere."""
    found: list[Refusal] = []
    for name in sorted(_twice([handler.name for handler in handlers] + [step.name for step in externals])):
        found.append(Refusal("SW130", name, "two handlers have this name", "Give one of them name=…, it is durable."))
    for event in sorted(_twice([step.answer for step in externals]), key=_name):
        problem = "two external steps answer with it, and an answer does not say whose it is"
        found.append(Refusal("SW138", event.__name__, problem, "Give each step an answer event of its own."))
    found += _same_types(graph)
    for token in sorted(graph.emitted, key=_name):
        if isinstance(token, Virtual) or token in graph.consumers or token.spec.terminal or token.spec.result:
            continue
        cure = f"Add a handler for it, or mark it: class {token.__name__}(Event, …, terminal=True)."
        found.append(Refusal("SW131", token.__name__, "nobody handles it", cure))
    return found


def _twice(values: Sequence[T]) -> set[T]:
    return {value for value in values if values.count(value) > 1}


def _same_types(graph: Graph) -> list[Refusal]:
    by_type: dict[str, EventType] = {}
    found = []
    for token in sorted({*graph.emitted, *graph.consumers}, key=_name):
        if isinstance(token, Virtual):
            continue
        other = by_type.setdefault(token.spec.type, token)
        if other is not token:
            found.append(
                Refusal("SW137", token.__name__, f"{other.__name__} has the same ce_type", "Give one of them type=….")
            )
    return found


def _name(token: Token) -> str:
    return token.__name__

"""Where each event stands, statically: its stack of scatters, and the loops it is in (R5).

In: the graph. Out: `Scopes`, or refusals: two stacks for one event, no end of stacks, parts at different depths, a
handler that can never fire, a loop without a limit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stepwire.errors import Refusal, WiringError
from stepwire.wiring.graph import Graph, Node, Token

MAX_DEPTH = 8  #: scatters inside scatters; more is a recursion without an end
Vertex = Token | str  #: an event, or the name of a node
Edges = Mapping[Vertex, frozenset[Vertex]]


@dataclass(slots=True)
class Scopes:
    """The static facts about every reachable event and node."""

    stack: dict[Token, tuple[str, ...]] = field(default_factory=dict)  #: the nodes whose scatters are open
    out: dict[str, tuple[str, ...]] = field(default_factory=dict)  #: the stack of what a node emits
    closing: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  #: scatterer -> gathers
    loops: dict[str, frozenset[Vertex]] = field(default_factory=dict)  #: limited node -> its loop
    edges: dict[Vertex, frozenset[Vertex]] = field(default_factory=dict)
    reach: dict[Vertex, frozenset[Vertex]] = field(default_factory=dict)

    @property
    def live(self) -> Iterable[str]:
        """The nodes that can fire."""
        return self.out.keys()

    def loops_of(self, vertex: Vertex) -> frozenset[str]:
        """The limited nodes whose loops this event or node is in."""
        return frozenset(limited for limited, members in self.loops.items() if vertex in members)


def refused(code: str, where: str, problem: str, cure: str) -> WiringError:
    """One refusal, raised: what follows it in the analysis would make no sense."""
    return WiringError([Refusal(code, where, problem, cure)])


def place(graph: Graph) -> Scopes:
    """Find stacks, then loops. Raises WiringError."""
    scopes = Scopes()
    _spread(graph, scopes)
    _check_reached(graph, scopes)
    for name in scopes.live:
        node = graph.nodes[name]
        if node.kind == "gather":
            token = next(token for token in node.slots[0] if token in scopes.stack)
            scopes.closing[scopes.stack[token][-1]].append(name)
    _connect(graph, scopes)
    _nest(graph, scopes, {v: scopes.edges[v] for v in scopes.edges})
    _check_joins_in_loops(graph, scopes)
    return scopes


def _spread(graph: Graph, scopes: Scopes) -> None:
    """Carry stacks from the entries along the wires until nothing changes."""
    todo: list[Token] = []

    def put(token: Token, stack: tuple[str, ...], by: str) -> None:
        if len(stack) > MAX_DEPTH:
            raise refused(
                "SW142", by, f"{token.__name__} would be scattered inside itself without end",
                "Gather before the event goes round again.",
            )  # fmt: skip
        known = scopes.stack.get(token)
        if known is not None and known != stack:
            raise refused(
                "SW141", token.__name__, f"it comes {_depth(known)} and, from {by}, {_depth(stack)}",
                "Use two event types, or gather the items first.",
            )  # fmt: skip
        if known is None:
            scopes.stack[token] = stack
            todo.append(token)

    for entry in graph.entries:
        put(entry, (), "outside")
    while todo:
        for slot in graph.consumers.get(todo.pop(), ()):
            _fire(graph.nodes[slot.node], scopes, put)


def _fire(node: Node, scopes: Scopes, put: object) -> None:
    """If every slot of the node can be filled, say what it emits and where that stands."""
    stacks = {scopes.stack[token] for types in node.slots for token in types if token in scopes.stack}
    if len(stacks) > 1:
        raise refused(
            "SW143", node.handler, "its parts stand at different depths of scatters",
            "Merge events of one scope; to join items with an event around them, take `E, list[F]`.",
        )  # fmt: skip
    if not all(any(token in scopes.stack for token in types) for types in node.slots):
        return
    (stack,) = stacks
    if node.kind == "gather":
        if not stack:
            raise refused(
                "SW136", node.handler, "it gathers items that no handler of this app scatters",
                "Scatter (`-> list[E]`) and gather in one app.",
            )  # fmt: skip
        stack = stack[:-1]
    scopes.out[node.name] = stack
    for shape in node.shapes:
        for token in shape.tokens:
            put(token, stack, node.handler)  # type: ignore[operator]
        for token in shape.items or ():
            put(token, (*stack, node.name), node.handler)  # type: ignore[operator]


def _depth(stack: tuple[str, ...]) -> str:
    return f"as an item of {stack[-1]}" if stack else "outside of any scatter"


def _check_reached(graph: Graph, scopes: Scopes) -> None:
    for name, node in graph.nodes.items():
        if name in scopes.out:
            continue
        missing = [t.__name__ for types in node.slots for t in types if t not in scopes.stack]
        raise refused(
            "SW132", node.handler, f"it can never fire: {', '.join(missing)} never arrives",
            "Emit it, or mark the event where runs begin with entry=True.",
        )  # fmt: skip


def _connect(graph: Graph, scopes: Scopes) -> None:
    edges: dict[Vertex, set[Vertex]] = {vertex: set() for vertex in (*scopes.stack, *scopes.live)}
    for name in scopes.live:
        node = graph.nodes[name]
        for types in node.slots:
            for token in types:
                if token in scopes.stack:
                    edges[token].add(name)
        for shape in node.shapes:
            edges[name] |= {*shape.tokens, *(shape.items or ())}
    scopes.edges = {vertex: frozenset(targets) for vertex, targets in edges.items()}
    scopes.reach = {vertex: reachable(scopes.edges, vertex) for vertex in edges}


def reachable(edges: Edges, start: Vertex) -> frozenset[Vertex]:
    """Everything that can be reached from `start` by at least one edge."""
    seen: set[Vertex] = set()
    todo = list(edges[start])
    while todo:
        vertex = todo.pop()
        if vertex not in seen:
            seen.add(vertex)
            todo += edges.get(vertex, ())
    return frozenset(seen)


def components(edges: Edges) -> list[frozenset[Vertex]]:
    """The strongly connected components that hold a cycle."""
    reach = {vertex: reachable(edges, vertex) for vertex in edges}
    found: list[frozenset[Vertex]] = []
    done: set[Vertex] = set()
    for vertex in edges:
        if vertex in reach[vertex] and vertex not in done:
            members = frozenset(other for other in reach[vertex] if vertex in reach[other])
            done |= members
            found.append(members)
    return found


def _nest(graph: Graph, scopes: Scopes, edges: Edges) -> None:
    """Loops nest by depth: find the limits at the shallowest depth of a cycle, cut there, look again."""
    for members in components(edges):
        depth = min(len(scopes.stack[v]) for v in members if not isinstance(v, str))
        limits = [
            v for v in members
            if isinstance(v, str) and graph.nodes[v].limited and _head_depth(graph.nodes[v], scopes) == depth
        ]  # fmt: skip
        if not limits:
            raise _unlimited(graph, edges, members)
        for limited in limits:
            scopes.loops[limited] = members
            on_limit = graph.nodes[limited].on_limit
            if on_limit is not None and on_limit in members:
                raise refused(
                    "SW151", limited, f"on_limit emits {on_limit.__name__}, which leads back into the loop",
                    "Emit an event that leaves the loop.",
                )  # fmt: skip
        inner = {
            vertex: frozenset() if vertex in limits else frozenset(t for t in edges[vertex] if t in members)
            for vertex in members
        }
        _nest(graph, scopes, inner)


def _head_depth(node: Node, scopes: Scopes) -> int:
    return len(scopes.stack[next(token for token in node.slots[0] if token in scopes.stack)])


def _unlimited(graph: Graph, edges: Edges, members: frozenset[Vertex]) -> WiringError:
    start = min(v for v in members if isinstance(v, str))
    path = _way_round(edges, members, start)
    names = [graph.nodes[v].handler for v in path if isinstance(v, str)]
    return refused(
        "SW107", graph.app, f"{' → '.join(names)} is a loop without a limit",
        f"Add @handler(max_visits=4) to {names[-1]} or another step of it that takes one event.",
    )  # fmt: skip


def _way_round(edges: Edges, members: frozenset[Vertex], start: str) -> list[Vertex]:
    """One shortest cycle through `start`."""
    paths: list[list[Vertex]] = [[start]]
    while True:
        paths = [[*path, v] for path in paths for v in sorted(edges[path[-1]] & members, key=str) if v not in path[1:]]
        for path in paths:
            if path[-1] == start:
                return path


def _check_joins_in_loops(graph: Graph, scopes: Scopes) -> None:
    for name in scopes.live:
        node = graph.nodes[name]
        if node.kind == "single":
            continue
        for limited in scopes.loops_of(name):
            for token in (token for types in node.slots for token in types if token in scopes.stack):
                if token not in scopes.loops[limited]:
                    raise refused(
                        "SW148", node.handler, f"it stands in the loop of {limited}, its part {token.__name__} outside",
                        "Carry that part inside an event of the loop.",
                    )  # fmt: skip

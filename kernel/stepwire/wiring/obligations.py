"""R4: who owes what. For every event and node, the join slots that will be settled because of it, and by nobody else.

owes(event) = the slots its consumers take or owe, summed; owes(tuple) = sum of its members; owes(list) = sum of what
the gathers closing it owe; owes(None) = nothing; owes(node) = union over its alternatives. In a sum no slot may occur
twice, counting joins already fired inside (what a token *touches*). A merge whose slots are all in a sum is replaced
by what it owes. Computed per strongly connected component, sinks first, each until nothing changes.

In: graph and scopes. Out: `Obligations`, or refusals SW140 to SW149.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from stepwire.event import Event
from stepwire.wiring.graph import Graph, Shape, Slot, Token
from stepwire.wiring.scopes import Scopes, Vertex, refused

Slots = frozenset[Slot]
NOTHING: Slots = frozenset()
LAP = -1  #: the slot that a limited node is: two branches cannot both go round (R5)
ROUNDS = 80  #: a component that changes for longer has no fixpoint


class Touched(NamedTuple):
    """What a token may settle, and which joins fire inside."""

    slots: Slots = NOTHING
    fired: frozenset[str] = frozenset()


class Obligations:
    """The table of owed slots of one app. Raises WiringError while it is computed."""

    def __init__(self, graph: Graph, scopes: Scopes) -> None:
        self._graph, self._scopes = graph, scopes
        self._owes: dict[Vertex, Slots] = {}
        self._touches: dict[Vertex, Touched] = {}
        self._solve()
        self._check()

    # -- what the kernel asks

    def node(self, name: str) -> Slots:
        """owes(node)."""
        return self._owes.get(name, NOTHING)

    def event(self, token: Token) -> Slots:
        """owes(event)."""
        return self._owes.get(token, NOTHING)

    def shape(self, node: str, shape: Shape) -> Slots:
        """owes(what the node returned)."""
        total: Counter[Slot] = Counter()
        for token in shape.tokens:
            total.update(self.event(token))
        if shape.items is not None:
            for gather in self._scopes.closing[node]:
                total.update(self.node(gather))
        return self._closed(total, self._graph.nodes[node].handler)

    def items(self, items: Iterable[type[Event]]) -> Slots:
        """owes(all item types of a scatter), as a union: each item is one of them."""
        return NOTHING.union(*(self.event(item) for item in items))

    # -- the computation

    def _solve(self) -> None:
        vertices = self._scopes.edges
        seen: set[Vertex] = set()
        for vertex in sorted(vertices, key=lambda v: (len(self._scopes.reach[v] | {v}), str(v))):
            if vertex not in seen:
                around = [v for v in self._scopes.reach[vertex] if vertex in self._scopes.reach[v]]
                component = sorted({vertex, *around}, key=str)
                seen.update(component)
                self._settle_component(component)

    def _settle_component(self, component: list[Vertex]) -> None:
        for _ in range(ROUNDS):
            before = [(self._owes.get(v), self._touches.get(v)) for v in component]
            for vertex in component:
                if isinstance(vertex, str):
                    self._compute_node(vertex)
                else:
                    self._compute_event(vertex)
            if before == [(self._owes.get(v), self._touches.get(v)) for v in component]:
                return
        raise refused("SW149", str(component[0]), "what it owes has no fixpoint", "Split the loop into two flows.")

    def _compute_event(self, token: Token) -> None:
        total: Counter[Slot] = Counter()
        touched: list[Touched] = []
        for slot in self._graph.consumers.get(token, ()):
            node = self._graph.nodes[slot.node]
            if slot.node not in self._scopes.out:
                continue
            if node.kind != "single":
                total[slot] += 1
                touched.append(Touched(frozenset({slot})))
                continue
            loop = self._scopes.loops.get(slot.node, frozenset())
            total.update(owed for owed in self.node(slot.node) if owed.node not in loop)
            touched.append(self._behind(slot.node))
        self._touches[token] = self._together(touched, token.__name__)
        self._owes[token] = self._closed(total, token.__name__)

    def _behind(self, name: str) -> Touched:
        """What going through a node touches; behind a limited one begins another lap, with other instances."""
        touched = self._touches.get(name, Touched())
        loop = self._scopes.loops.get(name)
        if loop is None:
            return touched
        slots = frozenset(slot for slot in touched.slots if slot.node not in loop) | {Slot(name, LAP)}
        return Touched(slots, frozenset(join for join in touched.fired if join not in loop))

    def _compute_node(self, name: str) -> None:
        node = self._graph.nodes[name]
        each = [self._shape_touches(name, shape) for shape in node.shapes]
        self._touches[name] = Touched(
            NOTHING.union(*(touched.slots for touched in each)),
            frozenset[str]().union(*(touched.fired for touched in each)),
        )
        self._owes[name] = NOTHING.union(*(self.shape(name, shape) for shape in node.shapes))

    def _shape_touches(self, name: str, shape: Shape) -> Touched:
        tokens = [self._touches.get(token, Touched()) for token in shape.tokens]
        if shape.items is not None:
            tokens += [self._touches.get(gather, Touched()) for gather in self._scopes.closing[name]]
        return self._together(tokens, self._graph.nodes[name].handler)

    def _together(self, parts: list[Touched], where: str) -> Touched:
        """A sum of what is touched; a merge that is touched on all its slots fires inside."""
        slots = NOTHING.union(*(part.slots for part in parts))
        fired = frozenset[str]().union(*(part.fired for part in parts))
        if len(slots) != sum(len(part.slots) for part in parts):
            counts = Counter(slot for part in parts for slot in part.slots)
            raise self._twice(next(slot for slot, n in sorted(counts.items()) if n > 1), where)
        for name in sorted({slot.node for slot in slots} - fired):
            node = self._graph.nodes[name]
            if node.kind == "merge" and all(Slot(name, index) in slots for index in range(len(node.slots))):
                inside = Touched(slots, fired | {name})
                return self._together([inside, self._touches.get(name, Touched())], where)
        return Touched(slots, fired)

    def _closed(self, total: Counter[Slot], where: str) -> Slots:
        """A sum; a merge whose slots are all in it is replaced by what it owes."""
        total = Counter(total)
        while True:
            for slot, count in total.items():
                if count > 1:
                    raise self._twice(slot, where)
            covered = next(
                (
                    name for name in sorted({slot.node for slot in total})
                    if (node := self._graph.nodes[name]).kind == "merge"
                    and all(total[Slot(name, index)] for index in range(len(node.slots)))
                ),
                None,
            )  # fmt: skip
            if covered is None:
                return frozenset(slot for slot, count in total.items() if count)
            for index in range(len(self._graph.nodes[covered].slots)):
                del total[Slot(covered, index)]
            total.update(self.node(covered))

    def _twice(self, slot: Slot, where: str) -> Exception:
        node = self._graph.nodes[slot.node]
        name = (
            f"go round the loop of {node.handler}"
            if slot.number == LAP
            else f"fill {' | '.join(token.__name__ for token in node.slots[slot.number])} of {node.handler}"
        )
        return refused("SW140", where, f"two paths lead on from here that both {name}", "Let only one path lead there.")

    # -- what must hold

    def _check(self) -> None:
        self._check_entries()
        for name in self._scopes.live:
            node = self._graph.nodes[name]
            owed = self._closed(Counter(self.node(name)), node.handler)
            loop = self._scopes.loops.get(name, frozenset())
            if any(slot.node in loop for slot in owed):
                raise refused(
                    "SW147", node.handler, "a join of the next time round waits for a part that nobody else brings",
                    "Let every alternative of the loop's steps bring all parts, or none.",
                )  # fmt: skip
            for shape in node.shapes:
                if shape.items is not None:
                    self._check_items(name, shape.items)

    def _check_entries(self) -> None:
        """At a run's root nothing may remain owed but slots of merges of several published events."""
        owed = {entry: self.event(entry) for entry in self._graph.entries}
        together = NOTHING.union(*owed.values())
        for entry, slots in owed.items():
            for slot in sorted(slots):
                node = self._graph.nodes[slot.node]
                alone = all(Slot(slot.node, index) in slots for index in range(len(node.slots)))
                complete = all(Slot(slot.node, index) in together for index in range(len(node.slots)))
                if alone or not complete or node.kind != "merge" or self._scopes.stack.get(entry):
                    part = " | ".join(token.__name__ for token in node.slots[slot.number])
                    raise refused(
                        "SW144", node.handler,
                        f"its part {part} may come without the others being settled (seen from {entry.__name__})",
                        "Let every alternative of one return bring all of its parts or none; for an optional part, "
                        "emit it from a second handler `(E) -> Part | None`.",
                    )  # fmt: skip

    def _check_items(self, name: str, items: tuple[type[Event], ...]) -> None:
        """At an item only its own fork's gathers may be owed, and every kind of item owes all of them."""
        handler = self._graph.nodes[name].handler
        gathers = frozenset(Slot(gather, 0) for gather in self._scopes.closing[name])
        owed = self.items(items)
        if self._closed(Counter(owed), handler) != owed or not owed <= gathers:
            stray = next(iter(sorted(owed - gathers)), None)
            where = self._graph.nodes[stray.node].handler if stray else handler
            raise refused(
                "SW145", where, f"an item of {handler} would fill its part, but other items would fill it too",
                "Gather the items first (`list[E]`).",
            )  # fmt: skip
        if owed != gathers:
            lacking = next(iter(sorted(gathers - owed)))
            raise refused(
                "SW146", self._graph.nodes[lacking.node].handler, f"no item of {handler} ever leads to it",
                "Gather events that the items lead to.",
            )  # fmt: skip

"""Where the events and steps of a plan stand, for the reference interpreter: stacks, loops, and who comes before whom.

Imports nothing of ours. Only for plans that the kernel accepted: what it refuses is not refused here again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter

from tests.properties.wirings import Plan, Step

Node = int | str  #: an event, or a step's name
Edges = Mapping[Node, set[Node]]


class Places:
    """Static facts of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.steps = {step.name: step for step in plan.steps}
        self.stack: dict[int, tuple[str, ...]] = dict.fromkeys((*plan.entries, *plan.inner), ())
        self._spread(plan)
        self.closers: dict[str, list[str]] = {}  #: scattering step -> the steps that gather its items
        for step in plan.steps:
            if step.items is not None:
                self.closers.setdefault(self.stack[step.items[0]][-1], []).append(step.name)
        edges = self._edges(plan)
        self.loops: dict[str, frozenset[Node]] = {}  #: limited step -> its loop
        self._nest(edges)
        self.rank = self._rank(edges)

    def depth(self, step: Step) -> int:
        """How many scatters are open around what a step emits."""
        return len(self.stack[step.taken[0]]) - (step.items is not None and not step.parts)

    def laps(self, visits: Mapping[str, int], node: Node) -> dict[str, int]:
        """Of the visits, those of the loops that an event or step is in."""
        return {name: visit for name, visit in visits.items() if node in self.loops.get(name, ())}

    def _spread(self, plan: Plan) -> None:
        changed = True
        while changed:
            changed = False
            for step in plan.steps:
                known = [event for event in step.taken if event in self.stack]
                if not known:
                    continue
                if step.parts and all(event not in self.stack for event in step.parts[0].types):
                    continue
                stack = self.stack[known[0]]
                if step.items is not None and known[0] in step.items:
                    stack = stack[:-1]
                plain = [event for term in step.terms for event in term.events]
                items = [event for term in step.terms for event in term.items or ()]
                limit = [step.on_limit] if step.on_limit is not None else []
                for event, there in [*((e, stack) for e in plain + limit), *((e, (*stack, step.name)) for e in items)]:
                    changed |= event not in self.stack
                    self.stack.setdefault(event, there)

    @staticmethod
    def _edges(plan: Plan) -> dict[Node, set[Node]]:
        edges: dict[Node, set[Node]] = {event: set() for event in range(plan.events)}
        for step in plan.steps:
            edges[step.name] = set(step.emitted)
            for event in step.taken:
                edges[event].add(step.name)
        return edges

    def _nest(self, edges: Edges) -> None:
        """Loops nest by depth: cut the limits at the shallowest depth of a cycle, look again."""
        for members in _cycles(edges):
            depth = min(len(self.stack[node]) for node in members if isinstance(node, int))
            limits = [
                node for node in members
                if isinstance(node, str)
                and (step := self.steps[node]).max_visits is not None
                and len(self.stack[step.taken[0]]) == depth
            ]  # fmt: skip
            self.loops |= dict.fromkeys(limits, members)
            if limits:
                self._nest({n: set() if n in limits else edges[n] & members for n in members})

    def _rank(self, edges: Edges) -> dict[str, int]:
        """Steps in an order in which nothing flows backwards, but from one lap into the next."""
        before: dict[Node, set[Node]] = {node: set() for node in edges}
        for node, targets in edges.items():
            loop = self.loops.get(node, frozenset()) if isinstance(node, str) else frozenset()
            for target in targets - loop:
                before[target].add(node)
        order = [node for node in TopologicalSorter(before).static_order() if isinstance(node, str)]
        return {name: number for number, name in enumerate(order)}


def _reachable(edges: Edges, start: Node) -> set[Node]:
    seen: set[Node] = set()
    todo: list[Node] = list(edges[start])
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += edges.get(node, ())
    return seen


def _cycles(edges: Edges) -> Iterable[frozenset[Node]]:
    reach = {node: _reachable(edges, node) for node in edges}
    done: set[Node] = set()
    for node in edges:
        if node in reach[node] and node not in done:
            members = frozenset(other for other in reach[node] if node in reach[other])
            done |= members
            yield members

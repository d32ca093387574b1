"""A short reference interpreter: what a wiring must come to. It imports nothing of the kernel.

It has no settlements. It runs events until none is left; then one join that nobody can bring anything more (none that
is open leads to it) is closed with what it has; and so on. That is what "every run closes, every join fires once with
the right items" means, said the slow way.
"""

from __future__ import annotations

from collections import Counter

from tests.wirings.wirings import Step, Wiring, choice

Frame = tuple[str, str | int, int]  #: ("fork", id, index) or ("loop", step, visit)
Scope = tuple[Frame, ...]
NONE = "-"
FAIL = 8  #: one delivery in so many fails for good


class Interpreter:
    """Runs one wiring."""

    def __init__(self, wiring: Wiring, seed: int) -> None:
        self.wiring, self.seed = wiring, seed
        self.emitted: Counter[tuple[int, str]] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self._takers: dict[int, list[tuple[Step, int]]] = {}
        for step in wiring.steps:
            for slot, event in enumerate(step.parts):
                self._takers.setdefault(event, []).append((step, slot))
        self._joins: dict[tuple[str, Scope], dict[str | int, str]] = {}
        self._sizes: dict[tuple[str, Scope], int] = {}
        self._closed: set[tuple[str, Scope]] = set()
        self._loops, self._rank = self._static()

    # -- what is known before anything runs

    def _edges(self, *, cut: bool) -> dict[object, set[object]]:
        edges: dict[object, set[object]] = {}
        for step in self.wiring.steps:
            for event in step.parts:
                edges.setdefault(event, set()).add(step.name)
            outs = [event for _, events in step.alternatives for event in events]
            edges.setdefault(step.name, set()).update([] if cut and step.limit else outs)
        return edges

    @staticmethod
    def _reach(edges: dict[object, set[object]], start: object) -> set[object]:
        seen: set[object] = set()
        todo = list(edges.get(start, ()))
        while todo:
            vertex = todo.pop()
            if vertex not in seen:
                seen.add(vertex)
                todo += edges.get(vertex, ())
        return seen

    def _static(self) -> tuple[dict[str, set[object]], dict[str, set[object]]]:
        edges = self._edges(cut=False)
        reach = {step.name: self._reach(edges, step.name) for step in self.wiring.steps}
        loops = {}
        for step in self.wiring.steps:
            if step.limit:
                inside = {v for v in reach[step.name] if step.name in self._reach(edges, v)}
                if step.name in inside:
                    loops[step.name] = inside
        straight = self._edges(cut=True)
        return loops, {step.name: self._reach(straight, step.name) for step in self.wiring.steps}

    def _inside(self, scope: Scope, vertex: object) -> Scope:
        """The scope without the loops that this event or step is not in."""
        return tuple(f for f in scope if f[0] == "fork" or vertex in self._loops.get(str(f[1]), ()))

    # -- running

    def run(self) -> None:
        """From the published event to the end."""
        self._emit(0, "start", ())
        while True:
            open_joins = [key for key in self._joins if key not in self._closed]
            ready = next((key for key in open_joins if not self._awaits(key, open_joins)), None)
            if ready is None:
                assert not open_joins
                return
            self._give_up(ready)

    def _awaits(self, key: tuple[str, Scope], others: list[tuple[str, Scope]]) -> bool:
        """May another open join still bring something to this one?"""
        depth = sum(frame[0] == "fork" for frame in key[1])
        return any(
            other != key and (key[0] in self._rank[other[0]] or sum(f[0] == "fork" for f in other[1]) > depth)
            for other in others
        )

    def _emit(self, event: int, payload: str, scope: Scope) -> None:
        scope = self._inside(scope, event)
        self.emitted[event, payload] += 1
        for step, slot in self._takers.get(event, ()):
            if step.kind == "single":
                self._single(step, payload, scope)
            elif step.kind == "gate":
                self._done(step, payload, self._inside(scope, step.name))
            else:
                self._part(step, slot, payload, scope)

    def _part(self, step: Step, slot: int, payload: str, scope: Scope) -> None:
        item = step.kind == "gather" or (step.kind == "around" and slot == 1)
        key, place = (
            (self._around(step, scope), self._index(scope))
            if item
            else ((step.name, self._inside(scope, step.name)), -1 - slot)
        )
        self._joins.setdefault(key, {})[place] = payload
        self._look(step, key)

    def _around(self, step: Step, scope: Scope) -> tuple[str, Scope]:
        """The join that an item belongs to: a gather's is known by its fork, the other by where it stands."""
        last = max(i for i, frame in enumerate(scope) if frame[0] == "fork")
        outer = self._inside(scope[:last], step.name)
        return (step.name, (*outer, ("loop", f"fork {scope[last][1]}", 0)) if step.kind == "gather" else outer)

    @staticmethod
    def _index(scope: Scope) -> int:
        return next(frame[2] for frame in reversed(scope) if frame[0] == "fork")

    def _look(self, step: Step, key: tuple[str, Scope]) -> None:
        """Fire a join that has everything."""
        slots = self._joins.get(key, {})
        singles = {"merge": [-1, -2], "around": [-1], "gather": []}[step.kind]
        if key in self._closed or any(slot not in slots for slot in singles):
            return
        if step.kind != "merge":
            size = self._sizes.get(key)
            if size is None or sum(isinstance(s, int) and s >= 0 for s in slots) < size:
                return
        self._fire(step, key)

    def _fire(self, step: Step, key: tuple[str, Scope]) -> None:
        self._closed.add(key)
        slots = self._joins[key]
        singles = [slots.get(slot, NONE) for slot in {"merge": [-1, -2], "around": [-1], "gather": []}[step.kind]]
        items = [slots[s] for s in sorted(s for s in slots if isinstance(s, int) and s >= 0)]
        payload = "+".join([*singles, *([f"[{','.join(items)}]"] if step.kind != "merge" else [])])
        scope = tuple(frame for frame in key[1] if not str(frame[1]).startswith("fork "))
        self._done(step, payload, scope)

    def _give_up(self, key: tuple[str, Scope]) -> None:
        """Nobody brings this join anything more."""
        step = next(step for step in self.wiring.steps if step.name == key[0])
        slots = self._joins[key]
        if step.kind == "merge":
            if -1 in slots and step.optional:
                self._fire(step, key)
            else:
                self._closed.add(key)
            return
        items = [s for s in slots if isinstance(s, int) and s >= 0]
        size = self._sizes.get(key)
        whole = step.kind == "gather" or -1 in slots
        if whole and size is not None and (items or size == 0):
            self._fire(step, key)
        else:
            self._closed.add(key)

    def _single(self, step: Step, payload: str, scope: Scope) -> None:
        if step.limit and step.name in self._loops:
            visit = next((int(f[2]) for f in scope if f[:2] == ("loop", step.name)), 0) + 1
            scope = (*(f for f in scope if f[:2] != ("loop", step.name)), ("loop", step.name, visit))
            if visit > step.limit:
                if step.at_limit is not None:
                    self._emit(step.at_limit, payload, scope)
                return
        self._done(step, payload, scope)

    def _done(self, step: Step, payload: str, scope: Scope) -> None:
        """The step is called once; what it returns goes on."""
        self.calls[step.name, payload] += 1
        if choice(self.seed, step.name + "!", payload, FAIL) == 0:
            return  # it fails for good, and the dead letter is dropped
        kind, events = step.alternatives[choice(self.seed, step.name, payload, len(step.alternatives))]
        out = f"{step.name}({payload})"
        if kind in ("event", "tuple"):
            for event in events:
                self._emit(event, f"{out}" if kind == "event" else f"{out}.{event}", scope)
        elif kind in ("list", "head"):
            self._scatter(step, kind, events, out, scope)

    def _scatter(self, step: Step, kind: str, events: list[int], out: str, scope: Scope) -> None:
        size, item, fork = choice(self.seed, step.name + "#", out, 4), events[-1], f"{step.name}:{out}:{scope}"
        for gather in self._closers(item):
            inner = (*scope, ("fork", fork, 0))
            key = self._around(gather, inner)
            self._sizes[key] = size
            self._joins.setdefault(key, {})
        if kind == "head":
            self._emit(events[0], f"{out}.head", scope)
        for index in range(size):
            self._emit(item, f"{out}.{index}", (*scope, ("fork", fork, index)))
        for gather in self._closers(item):
            self._look(gather, self._around(gather, (*scope, ("fork", fork, 0))))

    def _closers(self, item: int) -> list[Step]:
        """The gathers that close a scatter of this item: the first ones on every way from it, one level up."""
        found, seen, todo = [], set(), [(item, 0)]
        while todo:
            event, depth = todo.pop()
            if (event, depth) in seen:
                continue
            seen.add((event, depth))
            for step, slot in self._takers.get(event, ()):
                gathers = step.kind == "gather" or (step.kind == "around" and slot == 1)
                if gathers and depth == 0:
                    if step not in found:
                        found.append(step)
                    continue
                for kind, events in [*step.alternatives, *([("event", [step.at_limit])] if step.at_limit else [])]:
                    for out in events:
                        deeper = kind == "list" or (kind == "head" and out == events[-1])
                        todo.append((out, depth - gathers + deeper))
        return found

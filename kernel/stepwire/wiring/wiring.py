"""What the worker asks the analysis at run time: who takes an event, where outputs stand, what must be settled.

In: handlers and externals. Out: a `Wiring`, pure and immutable, or WiringError with every refusal that could be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from inspect import isawaitable
from typing import Any, NamedTuple

from stepwire.envelope import Scope
from stepwire.errors import Refusal, WiringError
from stepwire.event import Event
from stepwire.handler import External
from stepwire.outcome import WrongReturn
from stepwire.signature import EventType
from stepwire.wiring.graph import AnyHandler, Graph, Shape, Slot, build, check_graph, items_node
from stepwire.wiring.obligations import Obligations, Slots
from stepwire.wiring.scopes import Scopes, place

ITEM = "#item"  #: the slot of one item of a gather; which one, the scope says
LIST = "#list"  #: the whole list of a handler `E, list[F]`, settled at once


class Owed(NamedTuple):
    """One slot that must be settled: whose, and which."""

    handler: str
    slot: str


class Wiring:
    """The checked wiring of one app."""

    def __init__(self, app: str, handlers: Sequence[AnyHandler], externals: Sequence[External] = ()) -> None:
        self.app = app
        self.handlers = {handler.name: handler for handler in handlers}
        self.externals = {step.name: step for step in externals}
        self.graph: Graph = build(app, handlers, externals)
        found = check_graph(self.graph, handlers, externals)
        if any(refusal.code in ("SW130", "SW137") for refusal in found):
            raise WiringError(found)
        try:
            self.scopes: Scopes = place(self.graph)
            self._obligations = Obligations(self.graph, self.scopes)
        except WiringError as error:
            raise WiringError([*found, *error.refusals]) from None
        found += self._check_joins() + self._check_results()
        if found:
            raise WiringError(found)
        self.events: tuple[EventType, ...] = tuple(t for t in self.scopes.stack if isinstance(t, type))
        self.depth = {event: len(self.scopes.stack[event]) for event in self.events}
        self.loops = {event: self.scopes.loops_of(event) for event in self.events}
        steps = (*self.handlers, *self.externals)
        self.handler_loops = {name: self.scopes.loops_of(name) for name in steps}
        self.handler_depth = {name: len(self.scopes.out[name]) for name in steps}
        self.answers = {step.answer: step for step in externals}
        self._settle: dict[tuple[str, Shape], tuple[Owed, ...]] = {}
        self._item: dict[tuple[tuple[EventType, ...], EventType], tuple[Owed, ...]] = {}

    # -- what travels where

    @cached_property
    def takers(self) -> dict[EventType, tuple[tuple[str, str], ...]]:
        """Event type -> (handler, slot) of each that takes it; a plain handler's slot is its parameter."""
        return {
            event: tuple((owed.handler, owed.slot) for owed in map(self._owed, self.graph.consumers.get(event, ())))
            for event in self.events
        }

    def scope_of(self, event: EventType, scope: Scope) -> Scope:
        """Where an event stands that is emitted from `scope`: what it leaves behind falls off."""
        return scope.narrow(self.depth[event], self.loops[event]) if scope.frames else scope

    def join_scope(self, handler: str, scope: Scope) -> Scope:
        """Where the join of `handler` stands that a part at `scope` belongs to."""
        return scope.narrow(self.handler_depth[handler], self.handler_loops[handler]) if scope.frames else scope

    @cached_property
    def gathers(self) -> dict[str, tuple[str, ...]]:
        """Scattering handler -> the handlers that gather its items."""
        return {
            name: tuple(self.graph.nodes[gather].handler for gather in gathers)
            for name, gathers in self.scopes.closing.items()
        }

    def entry(self, event: EventType) -> bool:
        """May it be published from outside?"""
        return event in self.graph.entries

    # -- what is owed, R4

    def owes(self, handler: str) -> tuple[Owed, ...]:
        """Everything a delivery of the handler owes: what is settled when it ends as if it returned None."""
        return self.settlement(handler, Shape())

    def settlement(self, handler: str, returned: Shape) -> tuple[Owed, ...]:
        """owes(handler) - owes(returned)."""
        known = self._settle.get((handler, returned))
        if known is None:
            owed = self._obligations.node(handler) - self._obligations.shape(handler, returned)
            known = self._settle[handler, returned] = self._sorted(owed)
        return known

    def item_settlement(self, types: tuple[EventType, ...], item: EventType) -> tuple[Owed, ...]:
        """owes(all item types of the scatter) - owes(this item's type)."""
        known = self._item.get((types, item))
        if known is None:
            owed = self._obligations.items(types) - self._obligations.event(item)
            known = self._item[types, item] = self._sorted(owed)
        return known

    def table(self) -> dict[str, list[str]]:
        """ce_type -> the slots it owes, `<handler>.<slot>`; a release that changes a row may orphan open joins."""
        return {
            event.spec.type: [f"{owed.handler}.{owed.slot}" for owed in self._sorted(self._obligations.event(event))]
            for event in self.events
        }

    def _sorted(self, slots: Slots) -> tuple[Owed, ...]:
        return tuple(self._owed(slot) for slot in sorted(slots))

    def _owed(self, slot: Slot) -> Owed:
        node = self.graph.nodes[slot.node]
        if node.name not in self.handlers and node.handler not in self.handlers:
            return Owed(node.name, "")  # an external step
        signature = self.handlers[node.handler].signature
        if node.kind == "gather":
            return Owed(node.handler, ITEM)
        if slot.number < len(signature.parts):
            return Owed(node.handler, signature.parts[slot.number].name)
        return Owed(node.handler, LIST)

    # -- what a handler returned

    def shape(self, handler: str, value: Any) -> tuple[Shape, tuple[Event, ...], tuple[Event, ...] | None]:
        """Shape, events and items of a returned value. Raises WrongReturn if the signature does not declare it."""
        events: tuple[Event, ...] = ()
        items: tuple[Event, ...] | None = None
        if value is None:
            pass
        elif isinstance(value, Event):
            events = (value,)
        elif isinstance(value, list):
            items = tuple(value)
        elif isinstance(value, tuple):
            events = tuple(member for member in value if not isinstance(member, list))
            lists = [member for member in value if isinstance(member, list)]
            items = tuple(lists[0]) if lists else None
        else:
            raise self._wrong(handler, value)
        shape = self._declared(handler, tuple(type(event) for event in events), items)
        if shape is None:
            raise self._wrong(handler, value)
        return shape, events, items

    def _declared(self, handler: str, types: tuple[type, ...], items: tuple[Event, ...] | None) -> Shape | None:
        for shape in self.graph.nodes[handler].shapes:
            if len(shape.tokens) != len(types) or set(shape.tokens) != set(types):
                continue
            if (items is None) != (shape.items is None):
                continue
            if items is None or all(type(item) in (shape.items or ()) for item in items):
                return shape
        return None

    def _wrong(self, handler: str, value: Any) -> WrongReturn:
        what = type(value).__name__
        if isinstance(value, (tuple, list)):
            what += f" of {', '.join(sorted({type(member).__name__ for member in value})) or 'nothing'}"
        cure = "await it" if isawaitable(value) else "fix the annotation or the code"
        return WrongReturn(f"{handler} returned {what}, which its signature does not declare; {cure}")

    # -- checks that need the analysis

    def _check_joins(self) -> list[Refusal]:
        """SW135: parts that several publishers bring may never meet, so somebody must say for how long to wait."""
        found = []
        for name, handler in self.handlers.items():
            if not handler.signature.is_join or items_node(name) in self.graph.nodes:
                continue
            if self.brought(name) and (handler.options.join is None or handler.options.join.timeout is None):
                cure = "Add @handler(join=Join(timeout=3600))."
                found.append(Refusal("SW135", name, "it merges several published events and has no timeout", cure))
        return found

    def brought(self, name: str) -> tuple[frozenset[str], ...]:
        """The slots of a merge that each of several published events settles; none, if one event settles them all."""
        owed = (self._sorted(self._obligations.event(entry)) for entry in self.graph.entries)
        slots = (frozenset(slot.slot for slot in each if slot.handler == name) for each in owed)
        return tuple(filter(None, slots))

    def _check_results(self) -> list[Refusal]:
        """SW150: a run has one result, so no result may lead to another."""
        results = [t for t in self.scopes.stack if isinstance(t, type) and t.spec.result and not self.scopes.stack[t]]
        found = []
        for one in results:
            for other in results:
                if other is not one and other in self.scopes.reach[one]:
                    found.append(self._two_results(one, other))
        for node in self.graph.nodes.values():
            for shape in node.shapes:
                both = [result for result in results if result in shape.tokens]
                if len(both) > 1:
                    found.append(self._two_results(both[0], both[1]))
        return found

    @staticmethod
    def _two_results(one: EventType, other: EventType) -> Refusal:
        return Refusal(
            "SW150", one.__name__, f"a run that has it as its result comes to {other.__name__} too, also a result",
            "Mark only the last one result=True.",
        )  # fmt: skip

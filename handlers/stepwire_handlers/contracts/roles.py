"""Who stands on the other side of each event of an app.

In: an app. Out: for each event the roles it plays. They decide in which direction its schema may change: what others
write must stay readable, what others read must stay as it was, and what lies between our own steps must be both.
"""

from __future__ import annotations

from typing import Literal

from stepwire import App, Event
from stepwire.wiring.graph import AnyHandler
from stepwire_handlers.entries import entries_of

Role = Literal["entry", "answer", "output", "internal"]


def roles_of(app: App) -> dict[type[Event], tuple[Role, ...]]:
    """Every event of the app, in the order of its ce_type.

    `entry`: published from outside. `answer`: by the service behind an external step. `output`: emitted here for
    others. `internal`: emitted here and handled here, or taken by steps alone that retire: what is in flight is read.
    """
    wiring = app.wiring
    offered = entries_of(app)
    taken = {kind for handler in app.handlers for kind in handler.signature.taken}
    emitted = {kind for handler in app.handlers for kind in emits(handler)}
    asks, answers = {step.ask for step in app.externals}, {step.answer for step in app.externals}
    found: dict[type[Event], tuple[Role, ...]] = {}
    for kind in sorted(wiring.events, key=lambda event: event.spec.type):
        roles: list[Role] = []
        if kind in offered:
            roles.append("entry")
        if kind in answers:
            roles.append("answer")
        if kind in emitted and (kind not in taken or kind in asks or kind.spec.terminal or kind.spec.result):
            roles.append("output")
        if kind in taken and (kind in emitted or (wiring.entry(kind) and kind not in offered)):
            roles.append("internal")
        found[kind] = tuple(roles)
    return found


def results_of(app: App, kind: type[Event]) -> list[type[Event]]:
    """What a run that begins with this event may have as its result."""
    wiring = app.wiring
    reached = wiring.scopes.reach.get(kind, frozenset())
    return [event for event in wiring.events if event.spec.result and not wiring.depth[event] and event in reached]


def emits(handler: AnyHandler) -> tuple[type[Event], ...]:
    """Everything that a handler may emit, beyond its limit too, in the order of its signature."""
    terms = [*handler.signature.returns, *([handler.limit_term] if handler.limit_term else [])]
    return tuple(dict.fromkeys(kind for term in terms for kind in (*term.events, *(term.items or ()))))

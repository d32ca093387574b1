"""Drawings of an app, read from the same wiring that the worker runs."""

from __future__ import annotations

from stepwire import App
from stepwire.signature import EventType

__all__ = ["mermaid", "text"]


def mermaid(app: App) -> str:
    """A Mermaid flowchart: steps are nodes, events label the edges; gates are hexagons, joins have two bars."""
    lines = ["flowchart LR"]
    for handler in app.handlers:
        signature = handler.signature
        left, right = ("{{", "}}") if signature.is_gate else ("[[", "]]") if signature.is_join else ("[", "]")
        limit = f"<br/>at most {handler.options.max_visits} times" if handler.options.max_visits else ""
        lines.append(f'    {_id(handler.name)}{left}"{handler.name}{limit}"{right}')
    lines += [f'    {_id(step.name)}[/"{step.name}"/]' for step in app.externals]
    for entry in sorted(app.wiring.graph.entries, key=lambda event: event.__name__):
        lines.append(f'    in_{entry.__name__}(["{entry.__name__}"])')
        lines += [f"    in_{entry.__name__} --> {_id(name)}" for name, _ in app.wiring.takers[entry]]
    for emitter, event, label in _edges(app):
        takers = app.wiring.takers[event]
        lines += [f'    {_id(emitter)} -- "{label}" --> {_id(name)}' for name, _ in takers]
        if not takers:
            lines.append(f'    {_id(emitter)} --> out_{event.__name__}(["{event.__name__}"])')
    return "\n".join(lines)


def _id(name: str) -> str:
    return "step_" + name.replace("-", "_")


def _edges(app: App) -> list[tuple[str, EventType, str]]:
    """(handler, event, label) of everything that is emitted."""
    found: list[tuple[str, EventType, str]] = []
    for handler in app.handlers:
        for term in handler.signature.returns:
            found += [(handler.name, event, event.__name__) for event in term.events]
            found += [(handler.name, event, f"each {event.__name__}") for event in term.items or ()]
        if handler.limit_term is not None:
            found += [(handler.name, event, f"at the limit: {event.__name__}") for event in handler.limit_term.events]
    found += [(step.name, step.answer, step.answer.__name__) for step in app.externals]
    return list(dict.fromkeys(found))


def text(app: App) -> str:
    """One line for each step: what it takes, what it emits."""
    lines = [f"{app.name}: begins with {', '.join(sorted(e.__name__ for e in app.wiring.graph.entries))}"]
    width = max(len(handler.name) for handler in app.handlers)
    for handler in app.handlers:
        takes = " + ".join(" | ".join(event.__name__ for event in part.types) for part in handler.signature.parts)
        if handler.signature.items is not None:
            items = f"[{' | '.join(event.__name__ for event in handler.signature.items.types)}]"
            takes = f"{takes} + {items}" if takes else items
        emits = " | ".join(_term(term.events, term.items) for term in handler.signature.returns)
        kind = " (a person decides)" if handler.signature.is_gate else ""
        lines.append(f"  {handler.name:<{width}}  {takes} → {emits}{kind}")
    return "\n".join(lines)


def _term(events: tuple[EventType, ...], items: tuple[EventType, ...] | None) -> str:
    names = [event.__name__ for event in events]
    if items is not None:
        names.append(f"[{' | '.join(event.__name__ for event in items)}]")
    return " + ".join(names) or "end"

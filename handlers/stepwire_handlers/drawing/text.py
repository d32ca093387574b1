"""An app as text, for terminals: one line for each step, in the order of the flow, indented where a scatter is open."""

from __future__ import annotations

from stepwire import App
from stepwire_handlers.drawing.sketch import Step, sketch

NOTES = {"gate": "a person decides", "external": "somebody else's service"}


def text(app: App) -> str:
    """A drawing of lines: what each step takes, what it emits."""
    drawn = sketch(app)
    names = ["  " * len(step.scope) + step.name for step in drawn.steps]
    width = max(len(name) for name in names)
    results = f", ends with {', '.join(drawn.results)}" if drawn.results else ""
    lines = [f"{drawn.app}: begins with {', '.join(drawn.entries)}{results}"]
    lines += [f"  {name:<{width}}  {_line(step)}" for name, step in zip(names, drawn.steps, strict=True)]
    return "\n".join(lines)


def _line(step: Step) -> str:
    slots = [" | ".join(events) + ("?" if step.optional[i] else "") for i, events in enumerate(step.takes)]
    if step.items:
        slots[-1] = f"[{slots[-1]}]"
    emits = [" + ".join(term) or "end" for term in step.emits]
    notes = [NOTES[step.shape]] if step.shape in NOTES else []
    if step.max_visits:
        limit = f", then {' + '.join(step.on_limit)}" if step.on_limit else ", then a dead letter"
        notes.append(f"at most {step.max_visits} times{limit}")
    if step.retired:
        notes.append("retired: it calls nothing")
    if step.once:
        notes.append("at most once")
    return f"{' + '.join(slots)} → {' | '.join(emits)}" + (f" ({'; '.join(notes)})" if notes else "")

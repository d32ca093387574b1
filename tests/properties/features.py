"""What a random app has, for those who count what a property has met."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.properties.wirings import Plan, Step, Timing


def features(plan: Plan) -> set[str]:
    """Everything by name."""
    found = {name for step in plan.steps for name in ("order", "once", "dedupe") if getattr(step, name)}
    found |= {step.external for step in plan.steps} | ({"meet"} if len(plan.entries) > 1 else set())
    found |= {"inner"} if plan.inner else set()
    scatters = [item for step in plan.steps for term in step.terms for item in term.items or ()]
    for step in plan.steps:
        timing = step.timing or Timing()
        found |= {name for name in ("take", "until", "timeout", "partial", "go_without") if getattr(timing, name)}
        found |= {
            name
            for name, there in (
                ("merge", len(step.parts) > 1), ("gather", step.items is not None and not step.parts),
                ("head", step.items is not None and bool(step.parts)), ("gate", step.is_gate),
                ("apart", step.items is not None and bool(step.parts) and not _with_its_items(plan, step)),
                ("optional", any(part.optional for part in step.parts)), ("loop", step.max_visits is not None),
                ("on_limit", step.on_limit is not None),
                ("nested", _below(plan, scatters, lambda s: any(term.items for term in s.terms))),
                ("merge in a scatter", _below(plan, scatters, lambda s: len(s.parts) > 1 and s.items is None)),
            )
            if there
        }  # fmt: skip
    return found


def _with_its_items(plan: Plan, gather: Step) -> bool:
    """Does the head of this gather come of the one who scatters its items?"""
    scatters = [term for step in plan.steps for term in step.terms if term.items]
    return any(term.events for term in scatters) or not scatters


def _below(plan: Plan, items: Sequence[int], wanted: Callable[[Step], bool]) -> bool:
    """Is there such a step between a scatter and its gather?"""
    todo, seen = list(items), set(items)
    while todo:
        event = todo.pop()
        for step in plan.steps:
            if event not in step.taken or step.items is not None:
                continue
            if wanted(step):
                return True
            new = set(step.emitted) - seen
            seen |= new
            todo += new
    return False

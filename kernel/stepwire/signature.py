"""The signature is the wiring: from an async function to parts, items, resources and returns.

In: a function with annotations. Out: a frozen `Signature`, or refusals SW101 to SW111, each with its cure.
The grammar is DESIGN §2's table and R1; whatever is not in it is refused.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from stepwire.errors import Refusal, WiringError
from stepwire.event import Decision, Event

EventType = type[Event]


@dataclass(frozen=True, slots=True)
class Part:
    """One slot of a join, or the one event that a plain handler takes."""

    name: str
    types: tuple[EventType, ...]
    optional: bool = False
    decision: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """A parameter that is injected: by type, and by name where a type has several."""

    name: str
    annotation: Any
    qualifier: str | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """One alternative of a return: events emitted together, and at most one list of items."""

    events: tuple[EventType, ...] = ()
    items: tuple[EventType, ...] | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What a handler takes and may return."""

    parts: tuple[Part, ...]
    items: Part | None
    resources: tuple[Resource, ...]
    returns: tuple[Term, ...]

    @property
    def is_gate(self) -> bool:
        """Does it wait for a person?"""
        return any(part.decision for part in self.parts)

    @property
    def is_join(self) -> bool:
        """Does it wait for more than one thing?"""
        return self.items is not None or len(self.parts) > 1 or self.is_gate

    @property
    def taken(self) -> tuple[EventType, ...]:
        """Every event type it takes."""
        items = self.items.types if self.items else ()
        return tuple(dict.fromkeys([t for part in self.parts for t in part.types] + list(items)))


def refuse(code: str, where: str, problem: str, cure: str) -> WiringError:
    """One refusal, as an error."""
    return WiringError([Refusal(code, where, problem, cure)])


def read_signature(function: Callable[..., Any], name: str, names: Mapping[str, Any] | None = None) -> Signature:
    """Read a handler's signature; `names` are looked up beside the module's. Raises WiringError with SW101 to SW111."""
    if not inspect.iscoroutinefunction(function) or isinstance(function, functools.partial):
        problem = "it yields" if inspect.isasyncgenfunction(function) else "it is not `async def`"
        raise refuse("SW101", name, problem, "Handlers are async functions that return: write `async def`.")
    try:
        hints = get_type_hints(function, localns=dict(names or {}), include_extras=True)
    except (NameError, SyntaxError) as error:
        cure = "Have what they name in the module, above the handler, and not under TYPE_CHECKING."
        raise refuse("SW102", name, f"its annotations cannot be read ({error})", cure) from error
    parts: list[Part] = []
    lists: list[Part] = []
    resources: list[Resource] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints:
            problem = f"parameter {parameter.name!r} has no annotation"
            raise refuse("SW102", name, problem, "Annotate it: types are the wiring.")
        match _parameter(name, parameter.name, hints[parameter.name]):
            case ("items", part):
                lists.append(part)
            case ("part", part):
                parts.append(part)
            case resource:
                resources.append(resource)
    _check_parts(name, parts, lists)
    if "return" not in hints:
        raise refuse("SW109", name, "it has no return annotation", "Say what it emits, or `-> None`.")
    return Signature(tuple(parts), lists[0] if lists else None, tuple(resources), _returns(name, hints["return"]))


def shown(annotation: Any) -> str:
    """An annotation as its author wrote it, without modules."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return re.sub(r"[\w.<>]+\.(?=\w)", "", str(annotation))


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _is_event(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Event)


def _mentions_event(annotation: Any) -> bool:
    return _is_event(annotation) or any(_mentions_event(arg) for arg in get_args(annotation))


def _events(where: str, alternatives: tuple[Any, ...]) -> tuple[EventType, ...]:
    for event in alternatives:
        if "spec" not in event.__dict__:
            raise refuse("SW104", where, f"{event.__name__} has no topic", 'Write class X(Event, topic="…").')
    return tuple(alternatives)


def _parameter(handler: str, name: str, annotation: Any) -> Any:
    """("part" | "items", Part), or a Resource."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return Resource(name, inner, next((mark for mark in marks if isinstance(mark, str)), None))
    decided = _decision(annotation)
    if decided is not None:
        return ("part", Part(name, _events(handler, decided[0]), decided[1], decision=True))
    if not _mentions_event(annotation):
        return Resource(name, annotation)
    if get_origin(annotation) is list:
        items = _alternatives(get_args(annotation)[0])
        if all(_is_event(item) for item in items):
            return ("items", Part(name, _events(handler, items)))
    alternatives = _alternatives(annotation)
    wanted = tuple(a for a in alternatives if a is not type(None))
    if all(_is_event(a) for a in wanted):
        return ("part", Part(name, _events(handler, wanted), optional=len(wanted) < len(alternatives)))
    raise refuse(
        "SW104", handler, f"parameter {name!r} is {shown(annotation)}, which no rule covers",
        "Take E, A | B, list[E], E | None (in a merge) or Decision[E].",
    )  # fmt: skip


def _decision(annotation: Any) -> tuple[tuple[Any, ...], bool] | None:
    """The event types of `Decision[E]` or `Decision[E] | None`, and whether it may be None."""
    alternatives = _alternatives(annotation)
    wanted = [a for a in alternatives if a is not type(None)]
    if len(wanted) != 1 or not (isinstance(wanted[0], type) and issubclass(wanted[0], Decision)):
        return None
    (decided,) = wanted[0].__pydantic_generic_metadata__["args"] or (Event,)
    return _alternatives(decided), len(wanted) < len(alternatives)


def _check_parts(handler: str, parts: list[Part], lists: list[Part]) -> None:
    if not parts and not lists:
        raise refuse("SW103", handler, "it takes no event", "Annotate one parameter with an event class.")
    if len(lists) > 1 or (lists and len(parts) > 1):
        raise refuse(
            "SW105", handler, "a gather takes one list and at most one event of the scope around the scatter",
            "Gather in one handler and merge its result in the next.",
        )  # fmt: skip
    if sum(part.decision for part in parts) > 1 or (lists and any(part.decision for part in parts)):
        raise refuse("SW105", handler, "a gate takes one decision and no list", "Put the gate in its own handler.")
    taken = [event for part in [*parts, *lists] for event in part.types]
    for event in taken:
        if taken.count(event) > 1:
            problem = f"{event.__name__} would fill two of its slots"
            raise refuse("SW110", handler, problem, "Give each slot its own event type.")


def _returns(handler: str, annotation: Any) -> tuple[Term, ...]:
    terms = tuple(dict.fromkeys(_term(handler, term) for term in _alternatives(annotation)))
    if sum(term.items is not None for term in terms) > 1:
        cure = "Write list[A | B] instead of list[A] | list[B]."
        raise refuse("SW108", handler, "two list terms in one return", cure)
    return terms


def _term(handler: str, annotation: Any) -> Term:
    if annotation is None or annotation is type(None):
        return Term()
    if get_origin(annotation) is tuple:
        members = [_term(handler, member) for member in get_args(annotation)]
        events = tuple(event for member in members for event in member.events)
        lists = [member.items for member in members if member.items is not None]
        if len(lists) > 1:
            raise refuse("SW108", handler, "two lists in one tuple", "Write one list[A | B].")
        if len(set(events)) != len(events) or any(len(m.events) + (m.items is not None) != 1 for m in members):
            problem = f"{shown(annotation)} is not a tuple of distinct events"
            raise refuse("SW110", handler, problem, "Name each event once.")
        if lists and set(events) & set(lists[0]):
            problem = f"{shown(annotation)} emits one type both alone and as item"
            raise refuse("SW110", handler, problem, "Use two types.")
        return Term(events, lists[0] if lists else None)
    if get_origin(annotation) is list:
        items = _alternatives(get_args(annotation)[0])
        if all(_is_event(item) for item in items):
            return Term((), _events(handler, items))
    if _is_event(annotation):
        return Term(_events(handler, (annotation,)))
    raise refuse(
        "SW106", handler, f"it returns {shown(annotation)}, which is not in the grammar",
        "Return None, E, A | B, tuple[A, B] or list[E].",
    )  # fmt: skip

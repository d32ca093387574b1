"""Masks what an author marked `Sensitive`, wherever events are shown, and secrets wherever text is.

In: events, and whatever they hold. Out: plain data with stars. A mark holds wherever it stands in a field's annotation:
`Annotated[str, Sensitive()]`, `Annotated[str, Sensitive()] | None`, `list[Annotated[str, Sensitive()]]`.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, RootModel

from stepwire.event import Decision, Sensitive
from stepwire.jsontext import dump

MASK = "***"
LONG = 500  #: characters of a text that are shown where payloads are redacted
SHORTEST = 4  #: characters; a shorter sensitive value is part of too many harmless words to be searched for
SHORTEST_SECRET = 8  #: the same for a secret of the configuration, which is looked for in every line
QUOTED = ("'", '"', "\\")  #: what is written otherwise inside of quotes
SCALARS = frozenset({str, int, float, bool, type(None), datetime, date, time, timedelta, Decimal})


class _Plan(NamedTuple):
    """What must be done to show an event of one class."""

    hidden: frozenset[str]
    flat: bool  #: only scalars, none hidden: it may be shown as it is
    texts: tuple[str, ...]  #: fields that may be long


@lru_cache(maxsize=1_024)
def _plan(kind: type[Any]) -> _Plan:
    if kind is type(None):
        return _Plan(frozenset(), flat=True, texts=())
    if not issubclass(kind, BaseModel):  # a dataclass inside of an event, or no event at all
        hints = _hints(kind) if dataclasses.is_dataclass(kind) else {}
        return _Plan(frozenset(name for name, hint in hints.items() if _is_marked(hint)), flat=False, texts=())
    annotations = {name: field.annotation for name, field in kind.model_fields.items()}
    marks = {name: (field.annotation, *field.metadata) for name, field in kind.model_fields.items()}
    hidden = frozenset(name for name, some in marks.items() if any(map(_is_marked, some)))
    flat = not hidden and kind.model_config.get("extra") != "allow" and all(map(_is_scalar, annotations.values()))
    return _Plan(hidden, flat, tuple(name for name, annotation in annotations.items() if str in _leaves(annotation)))


def hidden_fields(kind: type[Any]) -> frozenset[str]:
    """The fields of an event, or of what it holds, that are marked."""
    return _plan(kind).hidden  # type: ignore[arg-type]  # as below


def _hidden(value: object) -> frozenset[str]:
    return _plan(type(value)).hidden  # type: ignore[arg-type]  # a class is hashable, mypy does not see it here


def _members(value: Any) -> Iterator[tuple[str, Any]] | None:
    """The fields of a model or a dataclass; None: it is neither."""
    if isinstance(value, BaseModel):
        return iter(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return None


def _hints(kind: type[Any]) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except NameError:  # an annotation that cannot be read may be a marked one
        return dict.fromkeys(
            (name for each in kind.__mro__ for name in vars(each).get("__annotations__", ())), Sensitive
        )


def _is_marked(annotation: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Is a mark in it, also behind a name (`type Iban = …`), which may name itself, or on a key of a TypedDict?"""
    if isinstance(annotation, Sensitive) or annotation is Sensitive:
        return True
    if get_origin(annotation) is Literal or id(annotation) in seen:
        return False
    inside = [*get_args(annotation), *filter(None, [getattr(annotation, "__value__", None)])]
    if isinstance(annotation, type) and (issubclass(annotation, tuple) or hasattr(annotation, "__total__")):
        inside += _hints(annotation).values()  # of a NamedTuple, or a TypedDict of either library
    return any(_is_marked(inner, seen | {id(annotation)}) for inner in inside)


def _leaves(annotation: Any) -> Iterator[Any]:
    """The alternatives of an annotation."""
    if get_origin(annotation) is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _leaves(inner)
    else:
        yield annotation


def _is_scalar(annotation: Any) -> bool:
    return all(leaf in SCALARS or get_origin(leaf) is Literal for leaf in _leaves(annotation))


def masked(value: Any, *, shorten: bool = True) -> Any:
    """Plain data for a log line or a page: sensitive fields masked at any depth, long texts cut if asked."""
    if isinstance(value, str):
        return value if not shorten or len(value) <= LONG else _cut(value)
    if value is None or isinstance(value, (int, float)):
        return value
    if (members := _members(value)) is not None:
        hidden = _hidden(value)
        found = {name: MASK if name in hidden else masked(field, shorten=shorten) for name, field in members}
        if isinstance(value, Decision):  # a person's remark may quote what they were shown in full elsewhere
            found["why"] = without(found["why"], sensitive_values(value))
        return found
    if isinstance(value, Enum):
        return masked(value.value, shorten=shorten)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [masked(item, shorten=shorten) for item in value]
    if isinstance(value, dict):
        return {str(name): masked(item, shorten=shorten) for name, item in value.items()}
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    return str(value)


def masked_json(event: BaseModel, mask: str = MASK, *, by_alias: bool | None = None) -> Any:
    """An event as its JSON, as the codec writes it if nothing else is said, sensitive fields masked at any depth."""
    return _over(event, event.model_dump(mode="json", by_alias=by_alias), mask)


def _over(value: Any, data: Any, mask: str) -> Any:
    """Stars over the dumped form of a value; over all of it, where something sensitive lies and nobody sees where."""
    if isinstance(value, RootModel):
        return mask if _hidden(value) else _over(value.root, data, mask)
    if isinstance(data, dict) and (members := _members(value)) is not None:
        hidden, found = _hidden(value), dict(data)
        for name, field in members:
            for written in {name, _written(value, name)} & data.keys():
                found[written] = mask if name in hidden else _over(field, data[written], mask)
        return found
    if isinstance(data, list) and isinstance(value, (list, tuple, set, frozenset)) and len(data) == len(value):
        return [_over(item, dumped, mask) for item, dumped in zip(value, data, strict=True)]
    if isinstance(data, dict) and isinstance(value, dict) and len(data) == len(value):
        pairs = zip(value.values(), data.items(), strict=True)
        return {name: _over(item, dumped, mask) for item, (name, dumped) in pairs}
    return mask if _hides(value) else data


def _hides(value: Any) -> bool:
    """Does anything sensitive lie in it, however short?"""
    if (members := _members(value)) is not None:
        hidden = _hidden(value)
        return any(name in hidden or _hides(field) for name, field in members)
    if isinstance(value, Mapping):
        return any(map(_hides, value.values()))
    return isinstance(value, Collection) and not isinstance(value, (str, bytes)) and any(map(_hides, value))


def _written(value: Any, name: str) -> str:
    """How a model that says so (`serialize_by_alias`) writes a field."""
    field = type(value).model_fields.get(name) if isinstance(value, BaseModel) else None
    return (field.serialization_alias if field is not None else None) or name


def shown(values: tuple[Any, ...], *, shorten: bool) -> list[Any]:
    """The same for what a step took or gave; what needs no mask is handed on as it is, which is ten times faster."""
    found = []
    for value in values:
        plan = _plan(value.__class__)
        if not plan.flat:
            found.append(masked(value, shorten=shorten))
        else:
            found.append(_shortened(value, plan.texts) if shorten else value)
    return found


def _shortened(value: Any, names: tuple[str, ...]) -> Any:
    """A flat model as it is, or its fields with the long texts cut."""
    fields: dict[str, Any] | None = None
    for name in names:
        text = value.__dict__.get(name)
        if text.__class__ is str and len(text) > LONG:
            fields = dict(value.__dict__) if fields is None else fields
            fields[name] = _cut(text)
    return value if fields is None else fields


def _cut(text: str) -> str:
    return f"{text[:LONG]}… ({len(text)} characters)"


def sensitive_values(value: Any, *, inside: bool = False, shortest: int = SHORTEST) -> Iterator[str]:
    """The texts below sensitive fields: an exception's message may quote them."""
    if not inside and _plan(value.__class__).flat:
        return
    if (inner := _inner(value)) is None:
        if inside and value is not None and not isinstance(value, bool) and len(text := str(value)) >= shortest:
            yield from _spellings(text, value)  # "None" and "True" tell nothing, and stand in many a text
        return
    for item, hidden in inner:
        if inside or hidden or item.__class__ not in SCALARS:
            yield from sensitive_values(item, inside=inside or hidden, shortest=shortest)


def _spellings(text: str, value: object) -> Iterable[str]:
    """As it is, and as Python and JSON write it inside of something else."""
    if not isinstance(value, str):
        return (text, repr(value))  # such as datetime.date(1971, 3, 29)
    if text.isascii() and text.isprintable() and not any(mark in text for mark in QUOTED):
        return (text,)
    return dict.fromkeys((text, repr(text)[1:-1], json.dumps(text)[1:-1], dump(text).decode(errors="replace")[1:-1]))


def _inner(value: Any) -> Iterator[tuple[Any, bool]] | None:
    """What lies in a value, keys too, each with whether it is marked; None: nothing can."""
    if (members := _members(value)) is not None:
        hidden = _hidden(value)
        return ((field, name in hidden) for name, field in members)
    if isinstance(value, dict):
        return ((item, False) for pair in value.items() for item in pair)
    return ((item, False) for item in value) if isinstance(value, (list, tuple, set, frozenset)) else None


def without(text: str, values: Iterable[str]) -> str:
    """The text with these values masked, the longer ones first: one may be the beginning of another."""
    for value in sorted((value for value in values if value in text), key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def without_pieces(text: str, values: Iterable[str]) -> str:
    """The same for a text that was cut when it was stored, at either end and perhaps within a value."""
    for value in sorted(values, key=len, reverse=True):
        text = _without_end(text.replace(value, MASK), value)
        text = _without_end(text[::-1], value[::-1])[::-1]
    return text


def _without_end(text: str, value: str) -> str:
    """The text without the beginning of the value that it ends with."""
    begin = value[:SHORTEST]
    at = text.find(begin, max(0, len(text) - len(value)))
    while at >= 0:
        if value.startswith(text[at:]):
            return text[:at] + MASK
        at = text.find(begin, at + 1)
    return text

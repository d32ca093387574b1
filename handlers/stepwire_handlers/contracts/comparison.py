"""Which JSON that fits one schema does not fit another: what a reader of the second one chokes on.

In: the schema that JSON is written by, the schema that it is read by, each with the document its references lead into.
Out: a `Gap` for each place. Of two equal schemas none. Judged by structure, so where it cannot tell (a changed pattern,
a keyword that it does not know) it says so as a gap: a release is stopped once too often rather than once too few. What
describes (titles, defaults, examples, `x-…`) does not count; but `x-also` says under which other names a field is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stepwire_handlers.contracts.alternatives import Alternative, alternatives, kind_of
from stepwire_handlers.contracts.schema import ALSO

LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
UNDERSTOOD = frozenset({
    *LOWER, *UPPER, "type", "enum", "const", "anyOf", "oneOf", "properties", "required", "additionalProperties",
    "items", "additionalItems", "uniqueItems", "$ref",
})  # fmt: skip
DESCRIBES = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$id"})


class Gap(NamedTuple):
    """One place where they part."""

    field: str  #: `invoice.total`, `lines[].price`; empty: the event itself
    what: str


class Comparison:
    """Compares what is written by one document's schemas with what is read by another's.

    Args:
        writer: the document of whoever writes.
        reader: the document of whoever reads.
        lost: does the reader miss a field that is not written any more, although it was optional?
    """

    def __init__(self, writer: Mapping[str, Any], reader: Mapping[str, Any], *, lost: bool) -> None:
        self._writer, self._reader, self._lost = writer, reader, lost
        self._seen: set[tuple[str, str]] = set()

    def gaps(self, written: Any, read: Any, field: str = "") -> list[Gap]:
        """Every gap between two schemas."""
        return list(dict.fromkeys(self._gaps(written, read, field)))

    def _gaps(self, written: Any, read: Any, field: str) -> Iterator[Gap]:
        choices = alternatives(read, self._reader)
        for alternative in alternatives(written, self._writer):
            yield from self._one(alternative, choices, field)

    def _one(self, written: Alternative, choices: list[Alternative], field: str) -> list[Gap]:
        """The gaps to the choice that is nearest."""
        fitting = [choice for choice in choices if _takes(choice.type, written.type)]
        if not fitting:
            shown = " or ".join(dict.fromkeys(choice.type or "anything" for choice in choices)) or "nothing"
            return [Gap(field, f"{written.type or 'anything'} where {shown} is read")]
        if written.values is not None:
            return self._values(written.values, fitting, field)
        found = [(self._inside(written, choice, field), choice) for choice in fitting]
        named = [gaps for gaps, choice in found if choice.name and choice.name == written.name]
        return min(named or [gaps for gaps, _ in found], key=len)

    def _values(self, values: tuple[Any, ...], choices: list[Alternative], field: str) -> list[Gap]:
        strange = [value for value in values if not any(_holds(choice, value) for choice in choices)]
        if not strange:
            return []
        return [Gap(field, f"the value {', '.join(map(repr, strange))} is not among those that are read")]

    def _inside(self, written: Alternative, choice: Alternative, field: str) -> list[Gap]:
        if choice.values is not None:
            return [Gap(field, f"only {', '.join(map(repr, choice.values))} is read, and more is written")]
        pair = (written.ref, choice.ref)
        if all(pair) and pair in self._seen:
            return []  # a type that holds itself: it is being compared already
        self._seen.add(pair)
        try:
            return [*_bounds(written.schema, choice.schema, field), *self._below(written.schema, choice, field)]
        finally:
            self._seen.discard(pair)

    def _below(self, written: Mapping[str, Any], choice: Alternative, field: str) -> Iterator[Gap]:
        if choice.type == "object":
            yield from self._object(written, choice.schema, field)
        elif choice.type == "array":
            yield from self._array(written, choice.schema, field)

    # -- objects and arrays

    def _object(self, written: Mapping[str, Any], read: Mapping[str, Any], field: str) -> Iterator[Gap]:
        theirs, wanted = read.get("properties", {}), set(read.get("required", ()))
        properties = written.get("properties", {})
        called = _called(properties, theirs)
        mine = {called.get(name, name): schema for name, schema in properties.items()}
        sure = {called.get(name, name) for name in written.get("required", ())}
        for name in sorted(wanted - sure):
            yield Gap(_path(field, name), self._lacking(name in mine))
        if self._lost:
            for name in sorted(theirs.keys() - mine.keys() - wanted):
                yield Gap(_path(field, name), "is not written any more")
        rest = read.get("additionalProperties", True)
        for name, schema in mine.items():
            if name in theirs:
                yield from self._names(schema, theirs[name], name, field)
                yield from self.gaps(schema, theirs[name], _path(field, name))
            elif rest is False:
                yield Gap(_path(field, name), "is unknown to the reader, who refuses unknown fields")
            elif isinstance(rest, Mapping):
                yield from self.gaps(schema, rest, _path(field, name))
        others = written.get("additionalProperties", True)
        if others is not False and rest is False:
            yield Gap(field, "unknown fields are refused")
        elif others is not False and isinstance(rest, Mapping):
            yield from self.gaps(others if isinstance(others, Mapping) else {}, rest, f"{field}{{}}")

    def _names(self, written: Any, read: Any, name: str, field: str) -> Iterator[Gap]:
        if not self._lost:
            for also in sorted(set(_also(written)) - {name, *_also(read)}):
                yield Gap(_path(field, name), f"is not read as {also} any more")

    def _lacking(self, sometimes: bool) -> str:
        if not self._lost:
            return "must be there now" if sometimes else "is new and required"
        return "may be missing now" if sometimes else "is not written any more"

    def _array(self, written: Mapping[str, Any], read: Mapping[str, Any], field: str) -> Iterator[Gap]:
        mine, theirs = written.get("items", {}), read.get("items", {})
        if not (isinstance(mine, list) or isinstance(theirs, list)):
            if theirs not in ({}, True):
                yield from self.gaps(mine if isinstance(mine, Mapping) else {}, theirs, f"{field}[]")
            return
        most = written.get("maxItems", 0)
        long = len(mine) if isinstance(mine, list) else min(most, 100) or len(theirs)
        for place in range(max(long, len(theirs) if isinstance(theirs, list) else 0)):
            one, other = _item(written, place), _item(read, place)
            if other is False and one is not False:
                yield Gap(f"{field}[{place}]", "is one item more than is read")
            elif isinstance(one, Mapping) and isinstance(other, Mapping):
                yield from self.gaps(one, other, f"{field}[{place}]")


def _item(schema: Mapping[str, Any], place: int) -> Any:
    """The schema of one position; False: there is none."""
    items = schema.get("items", {})
    if not isinstance(items, list):
        return {} if items is True else items
    if place < len(items):
        return items[place]
    rest = schema.get("additionalItems", True)
    return {} if rest is True else rest


def _also(schema: Any) -> list[str]:
    """Other names under which a property is read."""
    return list(schema.get(ALSO, ())) if isinstance(schema, Mapping) else []


def _called(properties: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, str]:
    """What is written under another name, by the name of the reader."""
    absent = {name: schema for name, schema in theirs.items() if name not in properties}
    return {also: name for name, schema in absent.items() for also in _also(schema) if also not in theirs}


def _path(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _takes(reader: str, writer: str) -> bool:
    """Does a reader of this type take that one? Empty: anything."""
    return reader in ("", writer) or (reader, writer) == ("number", "integer")


def _bounds(written: Mapping[str, Any], read: Mapping[str, Any], field: str) -> Iterator[Gap]:
    for word in LOWER:
        if word in read and (word not in written or written[word] < read[word]):
            yield Gap(field, f"{word} is {read[word]}, and {written.get(word, 'less')} may be written")
    for word in UPPER:
        if word in read and (word not in written or written[word] > read[word]):
            yield Gap(field, f"{word} is {read[word]}, and {written.get(word, 'more')} may be written")
    for word in _opaque(read):
        if read[word] != written.get(word):
            yield Gap(field, f"{word}: what is read is {read[word]!r}, what is written {written.get(word)!r}")
    if read.get("uniqueItems") and not written.get("uniqueItems"):
        yield Gap(field, "items must differ, and need not")


def _opaque(schema: Mapping[str, Any]) -> list[str]:
    """The keywords that are compared as they stand, because nothing here knows what they let through."""
    return sorted(word for word in schema.keys() - UNDERSTOOD - DESCRIBES if word == "x-pattern" or word[:2] != "x-")


def _holds(choice: Alternative, value: Any) -> bool:
    """Is a value among those that a choice takes?"""
    if not _takes(choice.type, kind_of(value)):
        return False
    if choice.values is not None:
        return any(value == known and kind_of(value) == kind_of(known) for known in choice.values)
    schema = choice.schema
    if _opaque(schema):
        return False  # a pattern, a format, or what else a value is not held against here
    if isinstance(value, str):
        exact: dict[str, Any] = {"minLength": len(value), "maxLength": len(value)}
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        exact = dict.fromkeys(("minimum", "maximum"), value)
        if not schema.get("exclusiveMinimum", float("-inf")) < value < schema.get("exclusiveMaximum", float("inf")):
            return False
    else:
        exact = {}
    known = {word: bound for word, bound in schema.items() if word in ("minLength", "maxLength", "minimum", "maximum")}
    return not [*_bounds(exact, known, "")]


__all__ = ["Comparison", "Gap"]

"""Random apps of one shape, entry → step → internal → step → output, and one change planted into one of their events.

The shape is fixed, so that each event has a known other side; the fields are random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from stepwire import App, Event, handler
from stepwire_handlers.contracts.document import Surroundings, document_of

ENTRY, INTERNAL, OUTPUT = "Opened", "Middle", "Closed"
WHO = {ENTRY: "producers", INTERNAL: "events in flight", OUTPUT: "consumers"}


class Inner(BaseModel):
    """A model below a field."""

    a: int
    b: str = ""


@dataclass(frozen=True)
class Shape:
    """One event: its fields and what is said in its class line."""

    name: str
    fields: Mapping[str, tuple[Any, bool]]  #: name -> type, required?
    line: Mapping[str, Any] = field(default_factory=dict)
    upcasts: tuple[int, ...] = ()

    def made(self) -> type[Event]:
        fields: dict[str, Any] = {
            name: (kind, ...) if required else (kind | None, None) for name, (kind, required) in self.fields.items()
        }
        line = {"topic": f"some.{self.name.lower()}", "result": self.name == OUTPUT, **self.line}
        found: type[Event] = create_model(self.name, __base__=Event, __cls_kwargs__=line, **fields)
        for version in self.upcasts:
            found.upcast(version)(lambda data: data)
        return found

    def with_field(self, name: str, kind: Any, *, required: bool) -> Shape:
        return replace(self, fields={**self.fields, name: (kind, required)})

    def without(self, name: str) -> Shape:
        return replace(self, fields={known: what for known, what in self.fields.items() if known != name})


def _upto(most: int) -> Any:
    return Annotated[int, Field(le=most)]


#: what changes are planted into
FIXED: dict[str, tuple[Any, bool]] = {
    "state": (Literal["new", "old"], True), "size": (_upto(10), True), "id": (str, True), "nested": (list[Inner], True),
}  # fmt: skip


DATES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(datetime.isoformat)  # noqa: DTZ001 - as text
INNER = st.fixed_dictionaries({"a": st.integers(-5, 5)}, optional={"b": st.text(max_size=3)})
#: a field's type, and JSON that fits it
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text(max_size=5)), (int, st.integers(-50, 50)), (float, st.floats(-5, 5)), (bool, st.booleans()),
    (Decimal, st.integers(-5, 5).map(str)), (datetime, DATES), (Inner, INNER),
    (list[int], st.lists(st.integers(-5, 5), max_size=3)), (list[Inner], st.lists(INNER, max_size=2)),
    (dict[str, Inner], st.dictionaries(st.text(max_size=2), INNER, max_size=2)),
    (tuple[int, str], st.tuples(st.integers(), st.text(max_size=2)).map(list)),
    (Literal["x", "y", "z"], st.sampled_from("xyz")), (Literal["x", "y"], st.sampled_from("xy")),
    (int | str, st.integers() | st.text(max_size=2)), (Inner | None, INNER | st.none()), (int | None, st.none()),
    (_upto(10), st.integers(-5, 10)), (_upto(20), st.integers(-5, 20)),
    (Annotated[str, Field(min_length=1)], st.text(min_size=1, max_size=3)),
    (Annotated[list[int], Field(max_length=2)], st.lists(st.integers(-5, 5), max_size=2)),
]  # fmt: skip
TYPES = st.sampled_from([kind for kind, _ in KINDS])
FIELDS = st.dictionaries(st.sampled_from([f"f{n}" for n in range(6)]), st.tuples(TYPES, st.booleans()), max_size=4)


@st.composite
def apps(draw: st.DrawFn) -> dict[str, Shape]:
    """The three events of an app; each has the fields that changes are planted into."""
    found = {}
    for name in (ENTRY, INTERNAL, OUTPUT):
        found[name] = Shape(name, {**draw(FIELDS), **FIXED}, draw(st.sampled_from([{}, {"key": "id"}, {"version": 2}])))
    return found


def document(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """The document of the app."""
    opened, middle, closed = (shapes[name].made() for name in (ENTRY, INTERNAL, OUTPUT))

    async def first(event: Any) -> Any: ...

    async def second(event: Any) -> Any: ...

    first.__annotations__ = {"event": opened, "return": middle}
    second.__annotations__ = {"event": middle, "return": closed}
    return document_of(App("some", [handler()(first), handler()(second)]), Surroundings())


class Fewer(BaseModel):
    """`Inner`, one field less."""

    a: int


class More(BaseModel):
    """`Inner`, one required field more."""

    a: int
    b: str = ""
    c: int


def _bump(shape: Shape) -> Shape:
    return replace(shape, line={**shape.line, "version": shape.line.get("version", 1) + 1})


#: change -> (what it does, whom it breaks)
BREAKS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a required field more": (lambda s: s.with_field("fresh", str, required=True), (ENTRY, INTERNAL)),
    "a field less": (lambda s: s.without("id") if s.line.get("key") != "id" else s.without("size"), (OUTPUT, INTERNAL)),
    "an enum narrowed": (lambda s: s.with_field("state", Literal["new"], required=True), (ENTRY, INTERNAL)),
    "an enum widened": (lambda s: s.with_field("state", Literal["new", "old", "odd"], required=True),
                        (OUTPUT, INTERNAL)),
    "a type changed": (lambda s: s.with_field("state", list[str], required=True), (ENTRY, OUTPUT, INTERNAL)),
    "a bound lowered": (lambda s: s.with_field("size", _upto(5), required=True), (ENTRY, INTERNAL)),
    "a bound raised": (lambda s: s.with_field("size", _upto(50), required=True), (OUTPUT, INTERNAL)),
    "null came in": (lambda s: s.with_field("size", _upto(10) | None, required=True), (OUTPUT, INTERNAL)),
    "a nested field less": (lambda s: s.with_field("nested", list[Fewer], required=True), (OUTPUT, INTERNAL)),
    "a nested required field more": (lambda s: s.with_field("nested", list[More], required=True), (ENTRY, INTERNAL)),
    "the topic": (lambda s: replace(s, line={**s.line, "topic": "elsewhere"}), (ENTRY, OUTPUT, INTERNAL)),
    "the key": (lambda s: replace(s, line={**s.line, "key": "state"}), (ENTRY, OUTPUT, INTERNAL)),
    "the run": (lambda s: replace(s, line={**s.line, "run": "id"}), (ENTRY,)),
    "the version, without an upcast": (_bump, (ENTRY, OUTPUT, INTERNAL)),
    "the name": (lambda s: replace(s, name="Other", line={"topic": "some.other", "result": s.name == OUTPUT}),
                 (ENTRY, OUTPUT, INTERNAL)),
}  # fmt: skip


def harmed(change: str, event: str) -> set[tuple[str, str]]:
    """Of which events the break is told, and whom it breaks: another class of the result also who waits for it."""
    waiting = {(ENTRY, "who waits for the result")} if (change, event) == ("the name", OUTPUT) else set()
    return {(event, WHO[event])} | waiting


#: what breaks nobody
HARMLESS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "an optional field more": (lambda s: s.with_field("fresh", str | None, required=False), (ENTRY, OUTPUT, INTERNAL)),
    "a field of an entry less": (lambda s: s.without("size"), (ENTRY,)),
    "an entry's enum widened": (lambda s: s.with_field("state", Literal["new", "old", "odd"], required=True), (ENTRY,)),
    "an output's enum narrowed": (lambda s: s.with_field("state", Literal["new"], required=True), (OUTPUT,)),
    "an entry's field freed": (lambda s: s.with_field("size", int | str, required=False), (ENTRY,)),
    "the version, with an upcast": (
        lambda s: replace(_bump(s.with_field("fresh", str, required=True)), upcasts=(s.line.get("version", 1),)),
        (ENTRY, INTERNAL),
    ),
}


@st.composite
def written(draw: st.DrawFn, shape: Shape) -> dict[str, Any]:
    """JSON that an event of this shape accepts."""
    found = {}
    for name, (kind, required) in shape.fields.items():
        if required or draw(st.booleans()):
            found[name] = draw(next(values for known, values in KINDS if known == kind))
    return found

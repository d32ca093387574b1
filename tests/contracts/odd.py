"""Apps that are wired and typed as oddly as the grammar allows, for the tests of contracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from stepwire import App, Decision, Event, Join, Sensitive, external, handler

T = TypeVar("T")


class Colour(StrEnum):
    red = "red"
    blue = "blue"


class Box(BaseModel, Generic[T]):
    """Holds something."""

    inside: T
    label: str = ""


class Tree(BaseModel):
    """Holds itself."""

    name: str
    children: list[Tree] = []
    parent: Tree | None = Field(None, description="Where it hangs.")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


@dataclass
class Person:
    name: str
    phone: Annotated[str, Sensitive()] = "+41 44 000 00 00"


class Wild(Event, topic="odd.things", key="name", run="name"):
    """Every kind of field."""

    name: str
    token: Annotated[str, Sensitive(), Field(description="Never shown.", examples=["hunter2"])] = "hunter2"  # noqa: S105
    animal: Annotated[Cat | Dog, Field(discriminator="kind")]
    pair: tuple[int, str]
    many: tuple[float, ...] = ()
    amount: Decimal = Decimal("1.5")
    when: datetime | date | None = None
    colour: Colour = Colour.red
    mixed: Literal["a", 1, True] | None = None
    numbers: Annotated[Box[int], Field(description="Some.")]
    texts: Mapping[str, Box[list[str]]] = {}
    tree: Tree | None = None
    person: Person = Person("nobody")
    limit: float = float("inf")
    short: Annotated[str, Field(min_length=1, max_length=5, pattern=r"^\w+$")] = "x"
    named: str = Field("", alias="called")
    blob: bytes = b""


class Strict(Event, topic="odd.things", type="com.acme/strict event", version=3, **{"extra": "forbid"}):
    n: Annotated[int, Field(ge=0, lt=10)]


class Twin(Event, topic="odd.things", type="com.acme/strict_event"):
    n: int


class Envelope(Box[int], Event, topic="odd.boxes", version=3):
    """A generic as an event."""


@Envelope.upcast(1)
def _second(data: dict[str, object]) -> dict[str, object]:
    return data


@Envelope.upcast(2)
def _third(data: dict[str, object]) -> dict[str, object]:
    return data


class Ask(Event, topic="odd.asks"):
    number: str


class Answer(Event, topic="odd.answers"):
    model_config = ConfigDict(title="An answer")

    number: str
    price: Decimal


class Doubt(Event, topic="odd.doubts", entry=True):
    n: int


class Part(Event, topic="odd.parts"):
    n: int


class Sum(Event, topic="odd.sums", result=True):
    n: int
    secret: Annotated[str, Sensitive()] = ""


class Note(Event, topic="odd.notes", terminal=True):
    tree: Tree


@handler()
async def either(one: Wild | Strict | Twin) -> tuple[Ask, Note] | Doubt | None:
    """Takes three types of one topic."""


@handler()
async def decide(asked: Decision[Doubt]) -> Ask | None: ...


@handler()
async def spread(answer: Answer) -> list[Part]: ...


@handler(join=Join(timeout=60))
async def gather(parts: list[Part]) -> Sum: ...


@handler()
async def open_(box: Envelope) -> None: ...


APP = App("odd", [either, decide, spread, gather, open_, external(Ask, Answer, match="number")])

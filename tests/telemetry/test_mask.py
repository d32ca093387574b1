"""Masking: a mark holds wherever it stands, and what needs none is handed on untouched."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType, TypedDict

from stepwire import Decision, Event, Sensitive
from stepwire_handlers.telemetry.mask import (
    LONG,
    MASK,
    masked,
    masked_json,
    sensitive_values,
    shown,
    without,
    without_pieces,
)
from stepwire_topics.attachment import Attachment


class Colour(Enum):
    red = "red"


@dataclass
class Person:
    name: str
    iban: Annotated[str, Sensitive()]


class Inner(BaseModel):
    value: Annotated[str, Sensitive]


class Everything(Event, topic="everything"):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    plain: str = "shown"
    direct: Annotated[str, Sensitive()] = "hidden-1"
    optional: Annotated[str, Sensitive()] | None = "hidden-2"
    listed: list[Annotated[str, Sensitive()]] = Field(["hidden-3"])
    mapped: dict[str, Inner] = Field({"a": Inner(value="hidden-4")})
    deep: list[tuple[Inner, int]] = Field([(Inner(value="hidden-5"), 1)])
    person: Person = Person("someone", "hidden-6")
    whole: Annotated[Inner | None, Sensitive()] = Inner(value="hidden-7")
    anything: Any = None
    colour: Colour = Colour.red
    raw: bytes = b"\xff"


class Flat(Event, topic="flat"):
    n: int
    text: str | None = None


Iban = TypeAliasType("Iban", Annotated[str, Sensitive()])
Tree = TypeAliasType("Tree", "list[Tree] | str")


class Bank(TypedDict):
    name: str
    iban: Annotated[str, Sensitive()]


class Pair(NamedTuple):
    name: str
    iban: Annotated[str, Sensitive()]


class Behind(Event, topic="mask.behind"):
    named: Iban
    keyed: Bank
    paired: Pair
    tree: Tree
    maybe: Annotated[str | None, Sensitive()] = None
    sure: Annotated[bool, Sensitive()] = True


def test_a_mark_holds_behind_a_name_and_on_a_key() -> None:
    """A named type, which may name itself; a key of a TypedDict, a field of a NamedTuple: then all of it is hidden."""
    bank: Bank = {"name": "b", "iban": "DE22"}
    event = Behind(named="DE11", keyed=bank, paired=Pair("p", "DE33"), tree=["a", ["b"]])
    hidden = {"named": MASK, "keyed": MASK, "paired": MASK, "tree": ["a", ["b"]], "maybe": MASK, "sure": MASK}
    assert masked(event) == masked_json(event) == hidden
    assert not {"None", "True"} & set(sensitive_values(event))


def test_a_mark_holds_at_any_depth() -> None:
    """Optional, listed, nested, in a dataclass, in a dictionary, behind Any."""
    event = Everything(anything=Inner(value="hidden-9"))
    data = masked(event)
    assert "hidden" not in str(data)
    assert data["plain"] == "shown"
    assert data["person"] == {"name": "someone", "iban": "***"}
    assert data["colour"] == "red"
    assert data["raw"] == "(1 bytes)"
    assert shown((event,), shorten=False) == [masked(event, shorten=False)]


def test_a_decision_is_masked_with_the_event_it_is_about() -> None:
    """What a gate was asked about, and how it was edited."""
    decision = Decision[Everything](approved=True, by="me", event=Everything(), edited=Everything())
    assert "hidden" not in str(masked(decision)) + str(shown((decision,), shorten=False))


def test_an_attachment_is_named_not_opened() -> None:
    """Name, size and hash are no secret; the bytes are not in the event."""
    attachment = Attachment(sha256="0" * 64, size=3, media_type="application/pdf", name="bill.pdf")
    assert masked(attachment)["name"] == "bill.pdf"


@pytest.mark.parametrize(("text", "same"), [("short", True), ("x" * (LONG + 1), False), (None, True)])
def test_a_flat_event_is_handed_on_unless_a_text_is_long(text: str | None, same: bool) -> None:
    """The fast way is taken only where it shows the same."""
    event = Flat(n=1, text=text)
    (found,) = shown((event,), shorten=True)
    assert (found is event) is same
    assert shown((event,), shorten=False)[0] is event


def test_the_values_below_a_mark_are_found_for_messages_that_quote_them() -> None:
    """Every one of them, at any depth."""
    assert {f"hidden-{n}" for n in range(1, 8)} <= set(sensitive_values((Everything(),)))
    assert "shown" not in set(sensitive_values((Everything(),)))


@pytest.mark.parametrize("kept", range(4, 12))
def test_a_value_that_was_cut_is_masked_like_a_whole_one(kept: int) -> None:
    """At either end of a text."""
    value = "abcabcd-hidden"
    assert without_pieces(f"no {value} and {value[:kept]}", [value]) == f"no {MASK} and {MASK}"
    assert without_pieces(f"{value[-kept:]}, says it", [value]) == f"{MASK}, says it"
    assert without_pieces("abcdef is no piece of it, nor is abc", [value]) == "abcdef is no piece of it, nor is abc"


@dataclass
class Older:
    iban: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037 - only its author's checker knows it


@dataclass
class Newer(Older):
    name: str


def test_what_cannot_be_read_hides_inherited_fields_too() -> None:
    """An annotation that nobody can resolve may be a marked one, wherever in the class's line it stands."""
    assert masked(Newer(iban="DE11", name="a")) == {"iban": MASK, "name": MASK}


def test_of_two_values_the_longer_one_is_masked_whole() -> None:
    """One may be the beginning of the other, and its rest would stay."""
    values = ["1234", "1234567890", "567890"]
    for each in (values, values[::-1]):
        assert without("pay 1234567890 with 1234", each) == "pay *** with ***"
        assert without_pieces("pay 1234567890 with 1234", each) == "pay *** with ***"


def test_a_remark_that_quotes_what_is_sensitive_is_masked() -> None:
    """Who decides sees the event, and may repeat of it what a log must not have."""
    decided = Decision[Account](approved=True, by="ann", why="as DE00-1 said", event=Account(iban="DE00-1"))
    (shown_,) = shown((decided,), shorten=False)
    assert (shown_["why"], shown_["event"]["iban"], shown_["by"]) == ("as *** said", "***", "ann")


class Account(Event, topic="mask.accounts"):
    iban: Annotated[str, Sensitive()]


@pytest.mark.parametrize("text", ["it's a\nline", 'a "b" c', "back\\slash", "Zoë 🔑", "tab\tbed"])
def test_a_value_is_masked_however_it_is_written(text: str) -> None:
    """As it is, as Python prints what it lies in, and as JSON does."""
    event = Account(iban=text)
    quotes = [f"<{text}>", f"<{event!r}>", f"<{json.dumps([text])}>", f"<{event.model_dump_json()}>"]
    shown_ = [without(quote, sensitive_values(event)) for quote in quotes]
    assert [each.count(MASK) for each in shown_] == [1, 1, 1, 1], shown_


def test_a_date_is_masked_as_python_prints_it_too() -> None:
    """Whoever quotes a whole event quotes its dates and amounts so."""
    event = Born(day=date(1971, 3, 29), paid=Decimal("98765.43"))
    assert without(f"{event!r} {event.day} {event.paid}", sensitive_values(event)) == "Born(day=***, paid=***) *** ***"


class Born(Event, topic="mask.born"):
    day: Annotated[date, Sensitive()]
    paid: Annotated[Decimal, Sensitive()]

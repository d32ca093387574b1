"""Which names an event type reads: `stepwire_handlers.services.fields`, for the command line and the door."""

from __future__ import annotations

import pytest
from pydantic import AliasChoices, AliasPath, ConfigDict, Field

from stepwire import Event
from stepwire_handlers.services.fields import Unfit, event_of, known, unknown


class Plain(Event, topic="fields.plain"):
    sku: str
    count: int


class Called(Event, topic="fields.called"):
    one: int = Field(alias="eins")
    two: int = Field(validation_alias=AliasChoices("zwei", AliasPath("zahlen", 0)))


class Both(Event, topic="fields.both"):
    model_config = ConfigDict(validate_by_name=True)
    one: int = Field(alias="eins")


class Open(Event, topic="fields.open"):
    model_config = ConfigDict(extra="allow")
    one: int


class Shut(Event, topic="fields.shut"):
    model_config = ConfigDict(extra="forbid")
    one: int


def test_every_mistake_is_in_one_message() -> None:
    """Unknown names, what there is instead, what is missing; each once, also where pydantic forbids extras."""
    with pytest.raises(Unfit, match=r"^Plain has no field cuont \(it has sku, count\); .*: count: Field required$"):
        event_of(Plain, {"sku": "a", "cuont": 5})
    with pytest.raises(Unfit, match=r"^Shut has no field two \(it has one\)$"):
        event_of(Shut, {"one": 1, "two": 2})


def test_a_field_has_the_names_that_pydantic_reads() -> None:
    """Its name, its alias, or any of several; any other would be ignored, so is refused."""
    assert unknown(Called, ["eins", "zwei", "zahlen", "one", "two", "three"]) == ["three"]
    assert known(Called) == ["eins", "zwei"]
    assert event_of(Called, {"eins": 1, "zahlen": [2]}) == Called.model_validate({"eins": 1, "zwei": 2})
    assert unknown(Both, ["one", "eins", "two"]) == ["two"]
    assert event_of(Both, {"one": 1}) == event_of(Both, {"eins": 1})


def test_an_author_may_take_any_name() -> None:
    """`extra="allow"` is kept."""
    assert event_of(Open, {"one": 1, "two": 2}).model_dump() == {"one": 1, "two": 2}


@pytest.mark.parametrize("fields", [{"sku": "\ud800", "count": 1}, {"sku": "a", "count": 1, "\ud800": 1}])
def test_what_cannot_be_written_is_no_name(fields: dict[str, object]) -> None:
    """Half a surrogate pair is refused as such, also in a name that nobody could be told."""
    with pytest.raises(ValueError, match="surrogates not allowed"):
        event_of(Plain, fields)

"""Stars that were shown for a sensitive value never take its place: sent back they mean it, or are refused."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from pydantic import Field
from tests.door.doors import Inside
from tests.door.shop import APP

from stepwire import App, Decision, Event, Sensitive, handler
from stepwire.bus.protocol import Partition
from stepwire.errors import SettingsError
from stepwire_handlers.services.gates import GATE, Gates, Waiting, returned
from stepwire_handlers.services.stars import meant, refuse_stars
from stepwire_handlers.telemetry.mask import masked_json


class Payee(Event, topic="stars.payees"):
    name: str
    iban: Annotated[str, Sensitive()]


class Payment(Event, topic="stars.payments", entry=True):
    cents: int
    iban: Annotated[str, Sensitive()] = ""
    payees: list[Payee] = Field(default_factory=list)
    pins: Annotated[list[int], Sensitive()] = Field(default_factory=list)
    notes: Annotated[dict[str, str], Sensitive()] = Field(default_factory=dict)


class Paid(Event, topic="stars.paid", result=True):
    cents: int
    iban: Annotated[str, Sensitive()]


@handler()
async def pay(asked: Decision[Payment]) -> Paid | None:
    return Paid(cents=asked.final.cents, iban=asked.final.iban) if asked.approved else None


STARS = App("stars", handlers=[pay])
WHOLE = Payment(
    cents=7, iban="DE1", payees=[Payee(name="a", iban="DE2"), Payee(name="b", iban="DE3")], notes={"why": "x"}
)


@pytest.mark.parametrize(
    ("edit", "comes"),
    [
        ({}, {}),
        ({"cents": 8}, {"cents": 8}),
        ({"payees": [{"name": "b", "iban": "***"}]}, {"payees": [{"name": "b", "iban": "DE3"}]}),
        ({"payees": [{"name": "b", "iban": "***"}, {"name": "c", "iban": "DE9"}]},
         {"payees": [{"name": "b", "iban": "DE3"}, {"name": "c", "iban": "DE9"}]}),
        ({"payees": [{"name": "a", "iban": "***"}, {"name": "c", "iban": "***"}]},
         {"payees": [{"name": "a", "iban": "DE2"}, {"name": "c", "iban": "DE3"}]}),
        ({"iban": "DE8", "notes": {}}, {"iban": "DE8", "notes": {}}),
    ],
)  # fmt: skip
def test_stars_mean_the_value_that_they_were_shown_for(edit: dict[str, Any], comes: dict[str, Any]) -> None:
    """At any depth; an item that was moved takes its value along, and one that alone was changed keeps it."""
    sent = masked_json(WHOLE) | edit
    event = Payment.model_validate(meant(sent, WHOLE))
    assert event.model_dump(mode="json") == WHOLE.model_dump(mode="json") | comes
    refuse_stars(event, WHOLE)


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"payees": [{"name": "c", "iban": "***"}]}, "payees[0].iban"),
        ({"payees": [{"name": "b", "iban": "***"}, {"name": "c", "iban": "***"}]}, "payees[1].iban"),
        ({"notes": {"why": "***"}}, "notes"),
    ],
)
def test_stars_that_stand_for_no_value_are_refused(edit: dict[str, Any], field: str) -> None:
    """Of a changed item nobody knows which one it was: the field is named, with what to do."""
    event = Payment.model_validate(meant(masked_json(WHOLE) | edit, WHOLE))
    with pytest.raises(SettingsError, match=r"give the value itself") as refused:
        refuse_stars(event, WHOLE)
    assert str(refused.value).startswith(f"{field}: ")


def test_stars_that_were_there_before_are_no_news() -> None:
    """An event that holds stars already can still be edited elsewhere."""
    spoilt = Payment(cents=1, iban="***")
    refuse_stars(Payment.model_validate(meant(masked_json(spoilt) | {"cents": 2}, spoilt)), spoilt)


async def test_a_dead_letter_is_replayed_as_it_was_shown(inside: Inside) -> None:
    """Its payload copied from the door, one field changed: the card that nobody saw goes on."""
    await inside.client.post("/apps/shop/Order", json={"n": -1, "card": "4711-0815"})
    await inside.work(APP)
    (letter,) = (await inside.get("/dead-letters"))["dead_letters"]
    payload = (await inside.get(f"/dead-letters/{letter['id']}"))["payload"]
    assert payload["card"] == "***"
    answer = await inside.client.post(f"/dead-letters/{letter['id']}/replay", json={"edited": payload | {"n": 3}})
    assert answer.status_code == 202
    await inside.work(APP)
    (done,) = inside.door.places["shop"].bus.log.take(Partition("shop.done", 0), 0, 10)
    assert json.loads(done.value) == {"n": 3, "card": "4711-0815"}
    await inside.client.post("/apps/shop/Order", json={"n": -2, "card": "4711-0815"})
    await inside.work(APP)
    (letter,) = (await inside.get("/dead-letters"))["dead_letters"]
    answer = await inside.client.post(f"/dead-letters/{letter['id']}/replay", json={"edited": {"card": "***"}})
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("n: Field required; it is given whole")


def test_a_gate_is_decided_with_the_event_as_it_was_shown() -> None:
    """The whole masked event with one change keeps what is hidden; stars in a new item are refused."""
    gate = Waiting("id", "pay", GATE, "run", 0.0, None, WHOLE)
    event = Gates._edited(gate, masked_json(WHOLE) | {"cents": 8})
    assert event == WHOLE.model_copy(update={"cents": 8})
    assert Gates._edited(gate, {"type": "Payment", **masked_json(WHOLE), "cents": 8}) == event  # as a door shows it
    with pytest.raises(SettingsError, match="stands for none"):
        Gates._edited(gate, {"payees": [{"name": "c", "iban": "***"}]})
    with pytest.raises(SettingsError, match=r"pins\.0.*\*\*\* stands for no value there"):
        Gates._edited(gate, {"pins": ["***", 2]})


def test_a_result_that_a_person_tells_holds_no_stars() -> None:
    """What an unknown outcome returned is not copied from a page where it is hidden."""
    with pytest.raises(SettingsError, match=r"^iban: "):
        returned(STARS.wiring.handlers["pay"], "", '{"cents": 1, "iban": "***"}')

"""Stars that were shown for a sensitive value never take its place: sent back they mean it, or are refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic_core import from_json, to_json
from tests.door.doors import Inside
from tests.door.shop import APP, ASKING

from stepwire import App, Decision, Event, Join, Reject, Sensitive, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire.errors import SettingsError
from stepwire.worker import Worker
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.gates import GATE, Gates, Waiting, returned
from stepwire_handlers.services.stars import Meant
from stepwire_handlers.telemetry.mask import masked, masked_json


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
    meant = Meant(sent, WHOLE)
    event = Payment.model_validate(meant.value)
    meant.check(event)
    assert event.model_dump(mode="json") == WHOLE.model_dump(mode="json") | comes


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"payees": [{"name": "c", "iban": "***"}]}, "payees[0].iban"),
        ({"payees": [{"name": "b", "iban": "***"}, {"name": "c", "iban": "***"}]}, "payees[1].iban"),
        ({"notes": {"why": "***"}}, "notes.why"),
    ],
)
def test_stars_that_stand_for_no_value_are_refused(edit: dict[str, Any], field: str) -> None:
    """Of a changed item nobody knows which one it was: the field is named, with what to do."""
    meant = Meant(masked_json(WHOLE) | edit, WHOLE)
    with pytest.raises(SettingsError, match=r"give the value itself") as refused:
        meant.check(Payment.model_validate(meant.value))
    assert str(refused.value).startswith(f"{field}: ")


class Line(BaseModel):
    sku: str
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    weight: Decimal = Decimal("1.10")
    code: Annotated[str, Sensitive()] = ""


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: Annotated[str, Sensitive()]


class Cash(BaseModel):
    kind: Literal["cash"] = "cash"
    number: str


class Basket(Event, topic="stars.baskets"):
    model_config = ConfigDict(serialize_by_alias=True)
    lines: list[Line] = Field(default_factory=list)
    rating: str = ""
    pin: Annotated[int, Sensitive()] = Field(0, alias="pinCode")
    bag: frozenset[Payee] = frozenset()
    paid: Card | Cash | None = None


def edited(basket: Basket, sent: Any) -> Basket:
    meant = Meant(sent, basket)
    event = Basket.model_validate(meant.value)
    meant.check(event)
    return event


def test_items_that_look_alike_are_not_mistaken_for_each_other() -> None:
    """Twins but for what is hidden: whose value goes with one that is taken away nobody knows."""
    basket = Basket(lines=[Line(sku="a", code="C1"), Line(sku="a", code="C2"), Line(sku="b", code="C3")])
    sent = masked_json(basket)
    assert edited(basket, sent) == basket
    assert edited(basket, from_json(to_json(masked(basket, shorten=False)))) == basket  # as a door shows it
    with pytest.raises(SettingsError, match=r"^lines\[0\]\.code: "):
        edited(basket, sent | {"lines": sent["lines"][1:]})
    assert edited(basket, sent | {"lines": sent["lines"][2:]}).lines == basket.lines[2:]


def test_a_hidden_value_never_comes_to_stand_where_it_is_seen() -> None:
    """Another alternative of a union, whose field of this name is not sensitive."""
    basket = Basket(paid=Card(number="4711"))
    with pytest.raises(SettingsError, match=r"^paid\.number: a sensitive value would be seen"):
        edited(basket, {"paid": {"kind": "cash", "number": "***"}})


def test_stars_that_hide_nothing_are_a_text() -> None:
    """A field that is not sensitive takes any."""
    assert edited(Basket(), {"rating": "***"}).rating == "***"
    assert edited(Basket(rating="***"), {"rating": "****"}).rating == "****"


def test_what_an_alias_or_a_set_holds_is_hidden_too() -> None:
    """As the codec writes it: under the alias, and where nobody can say which item is which."""
    basket = Basket(pin=7, bag=frozenset({Payee(name="a", iban="DE2")}))
    shown = masked_json(basket)
    assert "DE2" not in str(shown) and shown["pinCode"] == "***"
    gate = Waiting("id", "pay", GATE, "run", 0.0, None, basket)
    assert (
        Gates._edited(gate, {"pinCode": 5}) == Gates._edited(gate, {"pin": 5}) == basket.model_copy(update={"pin": 5})
    )


class Secret(RootModel[dict[str, Annotated[str, Sensitive()]]]):
    pass


class Wallet(Event, topic="stars.wallets"):
    secrets: Secret
    bags: tuple[frozenset[Payee], ...] = ()


def test_what_is_short_or_lies_in_a_root_model_is_hidden() -> None:
    """A PIN of three digits too."""
    wallet = Wallet(secrets=Secret({"pin": "123"}), bags=(frozenset({Payee(name="a", iban="D2")}),))
    shown = str(masked_json(wallet))
    assert "123" not in shown and "D2" not in shown


def releases() -> tuple[App, App]:
    """An app, and its next release, in which amounts are euros and not cents."""

    def app(version: int, result: type[Event], field: Any) -> App:
        class Bill(Event, topic="stars.bills", version=version, entry=True):
            amount: Annotated[field, Sensitive()]
            n: int

        if version == 2:
            Bill.upcast(1)(lambda data: {**data, "amount": data["amount"] / 100})

        @handler()
        async def settle(bill: Bill) -> result:  # type: ignore[valid-type]
            if bill.n < 0:
                raise Reject("no")
            return result(amount=float(bill.amount), n=bill.n)

        return App("bills", handlers=[settle])

    class Settled(Event, topic="stars.settled", result=True):
        amount: float
        n: int

    return app(1, Settled, int), app(2, Settled, float)


async def test_a_dead_letter_of_an_older_version_is_edited_as_it_is_shown(tmp_path: Path) -> None:
    """In the version of this release: what is hidden in it is not brought up a second time."""
    old, new = releases()
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    (bill,) = old.wiring.graph.entries
    await worked(old, bus, bill(amount=80_000, n=-1))
    letters = DeadLetters(new, bus)
    (letter,) = letters.open()
    shown = masked_json(letters.payload(letter))  # type: ignore[arg-type]
    assert shown == {"amount": "***", "n": -1}
    await letters.resume([letter], to_json(shown | {"n": 1}))
    await worked(new, bus)
    (settled,) = bus.log.take(Partition("stars.settled", 0), 0, 10)
    assert json.loads(settled.value) == {"amount": 800.0, "n": 1}
    await bus.close()


async def worked(app: App, bus: LocalBus, *events: Event) -> None:
    worker = Worker(app, bus)
    await worker.start()
    await bus.publish([app.record(event, now=0.0)[0] for event in events])
    await worker.settle()
    await worker.stop()


async def test_what_many_bring_takes_no_edit(tmp_path: Path) -> None:
    """Neither a join that the author wrote nor the one that finds the answers of an external step."""
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    letters = DeadLetters(ASKING, bus)
    (correlator,) = [step.name for step in ASKING.runnable if step.name not in ASKING.wiring.handlers]
    letter: Any = SimpleNamespace(kind="join", handler=correlator, id="1")
    with pytest.raises(SettingsError, match="a join has no payload of its own"):
        await letters.resume([letter], b"{}")
    await bus.close()


async def test_a_part_of_a_join_that_cannot_be_read_is_not_shown(tmp_path: Path) -> None:
    """Nobody knows what is sensitive in it; the other parts are there."""

    @handler(join=Join(timeout=5))
    async def both(one: Payee, other: Payment) -> None: ...

    values = b'{"one": {"who": "a", "iban": "DE2"}, "other": {"cents": 1}}'
    letter: Any = SimpleNamespace(kind="join", handler="both", id="1", record=SimpleNamespace(value=values))
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    payload: Any = DeadLetters(App("joined", handlers=[both]), bus).payload(letter)
    await bus.close()
    assert (payload["one"], payload["other"].cents) == (None, 1)


def test_stars_that_were_there_before_are_no_news() -> None:
    """An event that holds stars already can still be edited elsewhere."""
    spoilt = Payment(cents=1, iban="***")
    meant = Meant(masked_json(spoilt) | {"cents": 2}, spoilt)
    meant.check(Payment.model_validate(meant.value))


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

"""Classes of events: what is refused when they are written, what a copy may change, what a payload's errors tell."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    field_serializer,
)

from stepwire import App, Event, Sensitive, handler
from stepwire.outcome import said, traced

IBAN = "DE44500105175407324931"


class Customer(BaseModel):
    model_config = ConfigDict(validate_by_name=True)

    given_name: str = Field(alias="givenName")


class Came(Event, topic="came"):
    customer_id: str = Field(validation_alias="customerId")
    customer: Customer
    lines: list[Customer] = Field([], alias="theLines")


class Went(Event, topic="went", result=True):
    customer_id: str = Field(alias="customerId")
    name: str = ""
    iban: Annotated[str, Sensitive()] = ""


class Strict(BaseModel):
    number: str = Field(alias="cardNumber")


class Outer(BaseModel):
    inner: list[dict[str, SecretStr | None]] = []


@handler()
async def go(came: Came) -> Went:
    return Went(customerId=came.customer_id, name=came.customer.given_name)


async def test_a_field_with_an_alias_is_read_by_alias_and_by_name() -> None:
    """An upstream system writes the alias, a step writes the name; both arrive, at any depth."""
    came = Came(customerId="c1", customer=Customer(givenName="Ann"))
    async with await App("events", [go]).run(came) as run:
        assert run.result == Went(customer_id="c1", name="Ann")
    from stepwire.bus.protocol import Record
    from stepwire.codec import Codec

    written = b'{"customerId":"c2","customer":{"givenName":"Bo"},"theLines":[{"givenName":"Cy"}]}'
    event = Codec("came", [Came]).event(Record("came", 0, 0, 0.0, None, {}, written))
    assert isinstance(event, Came) and (event.customer_id, event.lines[0].given_name) == ("c2", "Cy")


@pytest.mark.parametrize(
    ("arguments", "fields", "says"),
    [
        ({"ressult": True}, {}, "there is no mark ressult; known are topic, type, version"),
        ({"version": 0}, {}, "version=0: give a whole number, from 1"),
        ({"version": "2"}, {}, "version='2': give a whole number"),
        ({}, {"card": SecretStr}, "Odd.card: pydantic writes a secret as asterisks, .* use Annotated\\[str, Sensitive"),
        ({}, {"paid": Strict | Outer}, "Odd.paid.number: it is written by its name and read by its alias alone; give"),
        ({}, {"deep": list[Outer]}, "Odd.deep.inner: pydantic writes a secret"),
        (
            {},
            {"name": str, "product": Annotated[str, Field(alias="name")]},
            "Odd.product: its alias 'name' is the name",
        ),
        ({}, {"a": str, "b": Annotated[str, Field(validation_alias=AliasChoices("x", "a"))]}, "Odd.b: its alias 'a'"),
    ],
)
def test_a_class_that_would_not_work_is_refused(arguments: dict[str, Any], fields: Any, says: str) -> None:
    """When it is written, not when its first event is lost."""
    with pytest.raises(TypeError, match=says):
        type("Odd", (Event,), {"__annotations__": fields, "__module__": __name__}, topic="odd", **arguments)


def test_a_secret_that_is_written_by_its_author_is_none_of_ours() -> None:
    """With a serializer of its own it comes back as it went."""
    written = PlainSerializer(lambda secret: secret.get_secret_value())

    class Told(Event, topic="told"):
        card: Annotated[SecretStr, written]
        cards: tuple[Annotated[SecretStr, written], ...] = ()
        pin: SecretStr = SecretStr("")

        @field_serializer("pin")
        def _pin(self, pin: SecretStr) -> str:
            return pin.get_secret_value()

    told = Told(card=SecretStr("4111"), cards=(SecretStr("5"),), pin=SecretStr("12"))
    assert Told.model_validate_json(told.model_dump_json()) == told


class Meter:
    def __init_subclass__(cls, unit: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.unit = unit  # type: ignore[attr-defined]


def test_a_mixin_may_take_arguments_of_its_own() -> None:
    """What no mark is goes on to whoever else the class is made of."""

    class Read(Event, Meter, topic="read", unit="kWh"):
        n: int = 0

    assert (Read.unit, Read.spec.topic) == ("kWh", "read")  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", [0, 2, 3, "1"])
def test_an_upcast_is_of_an_earlier_version_and_one_for_each(version: Any) -> None:
    """One that can never be called, or that takes another's place, is a mistake."""

    class Twice(Event, topic="twice", version=2):
        n: int = 0

    Twice.upcast(1)(dict)
    with pytest.raises(TypeError, match="one for each version below 2"):
        Twice.upcast(version)
    with pytest.raises(TypeError, match="one for each version below 2"):
        Twice.upcast(1)


@pytest.mark.parametrize(("update", "says"), [({"name": 7}, "another type"), ({"naem": "Bo"}, "of naem: it has")])
def test_a_copy_is_changed_within_its_types(update: dict[str, Any], says: str) -> None:
    """`model_copy(update=)` is how a frozen event is changed; pydantic's own would write anything, or nothing."""
    went = Went(customerId="c1", iban=IBAN)
    with pytest.raises(TypeError, match=says) as refused:
        went.model_copy(update=update)
    assert IBAN not in str(refused.value)
    assert went.model_copy(update={"name": "Bo"}).name == "Bo" and went.model_copy() == went


class Answer(BaseModel):
    iban: int


@pytest.mark.parametrize("model", [Answer, Went])
def test_what_is_wrong_with_a_payload_is_told_without_it(run_app: Any, model: type[BaseModel]) -> None:
    """A model's errors quote what they were given, cut in the middle, so no mask finds it there."""

    @handler()
    async def fails(came: Came) -> Went:
        try:
            model.model_validate({"iban": IBAN + "x" * 50, "name": 9})
        except ValidationError as error:
            raise ValueError("the model is odd") from error
        return Went(customerId="")

    run = run_app(App("events", [fails]), Came(customerId="c", customer=Customer(givenName="A")))
    (dead,) = run.dead_letters
    assert dead.message == "the model is odd"
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"iban": IBAN, "name": 9})
    assert IBAN[:8] not in said(caught.value) + traced(caught.value)
    wrapped: Exception = ValueError("odd")
    wrapped.__cause__ = caught.value
    for _ in range(5):
        wrapped = ExceptionGroup("several", [wrapped, KeyError("x")])
    assert IBAN[:8] not in traced(wrapped) and "ValidationError" in traced(wrapped)

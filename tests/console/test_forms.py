"""An event as a form: what may be edited in it, and what of a sent form is an edit."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from stepwire import Event, Sensitive
from stepwire_handlers.services.console import forms
from stepwire_handlers.services.stars import Meant


class Payee(BaseModel):
    name: str
    iban: Annotated[str, Sensitive()]


class Payment(Event, topic="forms.payments"):
    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    total: int = Field(alias="sum")
    due: date
    pin: Annotated[int, Sensitive()]
    payees: list[Payee]
    inside: str = Field("", exclude=True)


WHOLE = Payment(total=5, due=date(2026, 1, 2), pin=1234, payees=[Payee(name="Ann", iban="DE1")], inside="x")


def test_a_field_that_holds_something_sensitive_can_be_edited() -> None:
    """With stars where something is hidden; a field that is hidden itself cannot. Names are those that are written."""
    fields = {field.name: field for field in forms.fields_of(WHOLE)}
    assert {name: field.kind for name, field in fields.items()} == {
        "sum": "json", "due": "text", "pin": "hidden", "payees": "json",
    }  # fmt: skip
    assert "DE1" not in str(fields) and "1234" not in str(fields)
    untouched = {forms.PREFIX + name: field.text for name, field in fields.items()}
    assert forms.changed(WHOLE, untouched) == {}
    edited = fields["payees"].text.replace("Ann", "Bea")
    changes = forms.changed(WHOLE, {**untouched, "field.payees": edited, "field.sum": "6", "field.pin": "1"})
    assert changes == {"payees": [{"name": "Bea", "iban": "***"}], "sum": 6}
    meant = Meant(WHOLE.model_dump(mode="json") | changes, WHOLE)
    after = Payment.model_validate(meant.value)
    meant.check(after)
    assert (after.payees, after.total, after.pin) == ([Payee(name="Bea", iban="DE1")], 6, 1234)

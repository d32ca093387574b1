"""A small app for the tests of the console: text from outside, a secret, a gate, a step that refuses."""

from __future__ import annotations

from typing import Annotated

from stepwire import App, Decision, Event, Reject, Sensitive, handler


class Invoice(Event, topic="office.invoices"):
    customer: str
    amount: int
    iban: Annotated[str, Sensitive()] = ""


class Large(Event, topic="office.large"):
    customer: str
    amount: int
    iban: Annotated[str, Sensitive()] = ""


class Booked(Event, topic="office.booked", result=True):
    customer: str
    amount: int
    iban: Annotated[str, Sensitive()] = ""


@handler()
async def check(invoice: Invoice) -> Large | Booked:
    if invoice.amount < 0:
        raise Reject(f"{invoice.customer} owes a negative amount to {invoice.iban}")
    kind = Large if invoice.amount > 100 else Booked
    return kind(customer=invoice.customer, amount=invoice.amount, iban=invoice.iban)


@handler()
async def approve(asked: Decision[Large]) -> Booked | None:
    return Booked(**asked.final.model_dump()) if asked.approved else None


OFFICE = App("office", [check, approve])

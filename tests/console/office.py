"""A small app for the tests of the console: text from outside, a secret, a gate, a step that refuses."""

from __future__ import annotations

from typing import Annotated

from stepwire import App, Context, Decision, Event, Reject, Retry, Sensitive, handler


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


@handler(retry=Retry(backoff=0.01))
async def check(invoice: Invoice, ctx: Context) -> Large | Booked:
    if invoice.customer == "Busy" and ctx.attempt < 3:
        raise ConnectionError(f"no line for {invoice.iban}")
    if invoice.amount < 0:
        raise Reject(f"{invoice.customer} owes a negative amount to {invoice.iban}")
    kind = Large if invoice.amount > 100 else Booked
    return kind(customer=invoice.customer, amount=invoice.amount, iban=invoice.iban)


@handler()
async def approve(asked: Decision[Large]) -> Booked | None:
    return Booked(**asked.final.model_dump()) if asked.approved else None


OFFICE = App("office", [check, approve])


class Parcel(Event, topic="store.parcels"):
    weight: int


@handler()
async def weigh(parcel: Parcel) -> None:
    del parcel


STORE = App("store", [weigh])

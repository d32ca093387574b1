"""A small app for the tests of the console: text from outside, a secret, a gate, a step that refuses."""

from __future__ import annotations

from typing import Annotated

from stepwire import App, Context, Decision, Event, Reject, Retry, Sensitive, handler
from stepwire.bus.protocol import Out
from stepwire.event import identity


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


def checked(usage: str, amount: int, booked: int) -> tuple[list[Out], str]:
    """An invoice and what its check made of it, with a usage that may be anything; and their run."""
    out, run = OFFICE.record(Invoice(customer="Ada", amount=amount), now=1.0)
    headers = {
        **out.headers, "ce_id": "child", "ce_type": Booked.spec.type, "ce_swhandler": "check", "ce_swusage": usage,
        "ce_swscope": "", "ce_swcause": identity(out.headers["ce_source"], out.headers["ce_id"]),
    }  # fmt: skip
    value = Booked(customer="Ada", amount=booked).model_dump_json().encode()
    return [out, Out("office.booked", run, headers, value)], run

"""What an event is about, in a line: for lists that people choose from."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import BaseModel

from stepwire.event import Sensitive
from stepwire_handlers.services.gist import LONG, gist
from stepwire_handlers.services.runs import slot_shown
from stepwire_handlers.telemetry.mask import masked
from stepwire_topics.attachment import Attachment
from stepwire_topics.invoices import ApprovalNeeded, Customer, Invoice

FILE = Attachment(sha256="0" * 64, size=3, media_type="application/pdf", name="bill 7.pdf")


def test_an_invoice_is_known_by_its_line() -> None:
    """Who wants how much: not the text of the document, nor the hash of its file, nor what is sensitive."""
    invoice = Invoice(
        file=FILE, vendor="ACME", number="7", date="2026-01-31", currency="EUR", total=Decimal("12000.50")
    )
    customer = Customer(name="ACME", account_manager="Ann", email="a@b.example", slack_channel="#a", terms="30 days")
    event = ApprovalNeeded(invoice=invoice, customer=customer, text="INVOICE\nACME\n" * 50)
    assert gist(masked(event, shorten=False)) == "vendor=ACME number=7 date=2026-01-31 currency=EUR total=12000.50"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (None, ""), ({}, ""), ({"card": "***", "more": None, "empty": " "}, ""),
        ({"n": 7, "ok": True, "name": "Ann Lee"}, 'n=7 ok=true name="Ann Lee"'),
        ({"deep": {"n": 1}, "own": 2}, "own=2 n=1"),
        ({"lines": [1, 2], "items": [{"n": 1}], "n": 3}, "n=3"),
        ({"text": "x" * 121, "prose": "a\nb", "n": 3}, "n=3"),
        ({"pdf": masked(FILE)}, 'pdf="bill 7.pdf"'),
        ({str(n): n for n in range(9)}, "0=0 1=1 2=2 3=3 4=4"),
        ({"a\x1b[2J": "b\x1b]0;x\x07 \u202ec"}, 'a␛[2J="b␛]0;x␇ �c"'),
        ({"a": {"b": {"c": {"d": 1}}}}, ""),
    ],
)  # fmt: skip
def test_a_line_holds_the_first_short_values(event: dict[str, object] | None, line: str) -> None:
    """Outer ones first; no stars, no prose, no lists; nothing that a terminal would obey."""
    assert gist(event) == line


def test_a_line_has_an_end() -> None:
    """Whatever names and values an event has."""
    assert len(gist({"x" * 500 + str(n): "y" * 100 for n in range(50)})) < 5 * (2 * LONG + 2)


def test_what_is_sensitive_is_left_out_at_any_depth() -> None:
    """Its stars would only take the place of a value that tells something."""

    class Account(BaseModel):
        iban: Annotated[str, Sensitive()]
        bank: str

    class Payment(BaseModel):
        account: Account
        owner: Annotated[Account, Sensitive()]

    account = Account(iban="DE02120300000000202051", bank="B")
    assert gist(masked(Payment(account=account, owner=account), shorten=False)) == "bank=B"


def test_an_item_that_is_waited_for_is_called_one() -> None:
    """`waits for 0` would read as if it waited for nothing."""
    assert [slot_shown(slot) for slot in ("0", "12", "weighed", "#list")] == [
        "item 0",
        "item 12",
        "weighed",
        "the items",
    ]

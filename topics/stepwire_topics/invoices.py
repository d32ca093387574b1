"""Invoices: from a PDF to a draft in the account manager's mailbox."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from stepwire import Event, Sensitive
from stepwire_topics.attachment import Attachment


class Entities(BaseModel):
    """What stands on an invoice."""

    is_invoice: bool = Field(description="Is this document an invoice that asks for payment?")
    vendor: str | None = Field(default=None, description="Name of the company that issued the invoice")
    number: str | None = Field(default=None, description="Invoice number")
    date: str | None = Field(default=None, description="Invoice date, ISO 8601")
    currency: str | None = Field(default=None, description="Currency of the total, ISO 4217 code")
    total: float | None = Field(default=None, description="Grand total to pay, tax included")

    def invoice(self, file: Attachment) -> Invoice | None:
        """The invoice, if every field that the rest of the flow stands on was found."""
        if not self.is_invoice or not (self.vendor and self.number and self.total):
            return None
        total = Decimal(str(self.total)).quantize(Decimal("0.01"))
        date, currency = self.date or "", self.currency or ""
        return Invoice(
            file=file, vendor=self.vendor, number=self.number, date=date, currency=currency, total=total
        )  # fmt: skip


class Invoice(BaseModel):
    """An invoice that could be read."""

    file: Attachment
    vendor: str
    number: str
    date: str
    currency: str
    total: Decimal


class Customer(BaseModel):
    """Who looks after the sender of an invoice."""

    name: str
    account_manager: str
    email: Annotated[str, Sensitive()]
    slack_channel: str
    terms: str


class InvoiceReceived(Event, topic="invoices.received"):
    """Somebody uploaded a PDF."""

    pdf: Attachment


class InvoiceRead(Event, topic="invoices.read"):
    """Its text."""

    file: Attachment
    text: str


class InvoiceExtracted(Event, topic="invoices.extracted"):
    """What stands on it."""

    invoice: Invoice
    text: str


class InvoiceMatched(Event, topic="invoices.matched"):
    """Whose it is."""

    invoice: Invoice
    customer: Customer
    text: str


class ApprovalNeeded(Event, topic="invoices.approvals", entry=True):
    """The amount is above the limit: a person looks at it first."""

    invoice: Invoice
    customer: Customer
    text: str


class ChangesWanted(Event, topic="invoices.changes"):
    """The person sent it back, with a remark."""

    invoice: Invoice
    customer: Customer
    text: str
    remark: str


class InvoiceApproved(Event, topic="invoices.approved"):
    """It may go on."""

    invoice: Invoice
    customer: Customer
    approved_by: str


class ManagerTold(Event, topic="invoices.told"):
    """The account manager was told."""

    invoice: Invoice
    customer: Customer
    message: str


class MailWritten(Event, topic="invoices.mails"):
    """The mail to the customer, as text."""

    invoice: Invoice
    customer: Customer
    message: str
    body: str


class InvoiceDone(Event, topic="invoices.done", result=True):
    """The draft lies in the mailbox."""

    invoice: Invoice
    account_manager: str
    draft: str
    message: str


class InvoiceSetAside(Event, topic="invoices.set-aside", result=True):
    """It ends here, and why."""

    file: Attachment
    reason: str
    invoice: Invoice | None = None

    @classmethod
    def from_changes(cls, event: ChangesWanted) -> InvoiceSetAside:
        """Sent back as often as allowed."""
        return cls(file=event.invoice.file, reason=f"sent back too often: {event.remark}", invoice=event.invoice)

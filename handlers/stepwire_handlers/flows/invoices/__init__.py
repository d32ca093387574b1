"""Invoices, the seven steps of a production pipeline: PDF → extract → look up → approve → tell → write → draft."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from stepwire import App, Decision, handler
from stepwire_handlers.blobs import BlobStore, blob_store
from stepwire_handlers.flows.invoices.customers import LOOKUP_SQL
from stepwire_handlers.steps.claude import Claude
from stepwire_handlers.steps.pdf import pdf_text
from stepwire_handlers.steps.tool import Tool, Tools
from stepwire_topics.invoices import (
    ApprovalNeeded,
    ChangesWanted,
    Customer,
    Entities,
    Invoice,
    InvoiceApproved,
    InvoiceDone,
    InvoiceExtracted,
    InvoiceMatched,
    InvoiceRead,
    InvoiceReceived,
    InvoiceSetAside,
    MailWritten,
    ManagerTold,
)  # fmt: skip

HERE = Path(__file__).parent
LIMIT = Decimal(10_000)  #: above it a person looks first
MONTH = 30 * 86_400.0
Answer = dict[str, Any]


@handler(dedupe=MONTH, concurrency=8)
async def read(received: InvoiceReceived, blobs: BlobStore) -> InvoiceRead:
    return InvoiceRead(file=received.pdf, text=await pdf_text(await blobs.get(received.pdf)))


@handler()
async def extract(read: InvoiceRead, llm: Claude) -> InvoiceExtracted | InvoiceSetAside:
    seen = await llm(Entities, "extract.md", text=read.text)
    return extracted(seen, read) or InvoiceSetAside(file=read.file, reason="not an invoice, or fields are missing")


@handler()
async def look_up(
    found: InvoiceExtracted, query: Annotated[Tool[Answer, Answer], "postgres.query"]
) -> InvoiceMatched | InvoiceSetAside:
    rows = (await query(sql=LOOKUP_SQL, params=[found.invoice.vendor]))["rows"]
    if len(rows) != 1:
        reason = f"{len(rows) or 'no'} customers are called {found.invoice.vendor}"
        return InvoiceSetAside(file=found.invoice.file, reason=reason, invoice=found.invoice)
    return InvoiceMatched(invoice=found.invoice, customer=Customer.model_validate(rows[0]), text=found.text)


@handler()
async def check_amount(matched: InvoiceMatched) -> ApprovalNeeded | InvoiceApproved:
    invoice, customer = matched.invoice, matched.customer
    if invoice.total > LIMIT:
        return ApprovalNeeded(invoice=invoice, customer=customer, text=matched.text)
    return InvoiceApproved(invoice=invoice, customer=customer, approved_by="below the limit")


@handler()
async def approve(asked: Decision[ApprovalNeeded]) -> InvoiceApproved | ChangesWanted:
    final = asked.final
    if asked.approved:
        return InvoiceApproved(invoice=final.invoice, customer=final.customer, approved_by=asked.by)
    return ChangesWanted(invoice=final.invoice, customer=final.customer, text=final.text, remark=asked.why)


@handler(max_visits=3, on_limit=InvoiceSetAside.from_changes)
async def correct(back: ChangesWanted, llm: Claude) -> ApprovalNeeded:
    seen = await llm(Entities, "correct.md", text=back.text, remark=back.remark, invoice=back.invoice)
    again = extracted(seen, InvoiceRead(file=back.invoice.file, text=back.text))
    invoice = again.invoice if again else back.invoice
    return ApprovalNeeded(invoice=invoice, customer=back.customer, text=back.text)


@handler()
async def tell(approved: InvoiceApproved, send: Annotated[Tool[Answer, Answer], "slack.send"]) -> ManagerTold:
    invoice, customer = approved.invoice, approved.customer
    text = (
        f"{customer.account_manager}: invoice {invoice.number} of {invoice.vendor} over "
        f"{invoice.total} {invoice.currency} is approved ({approved.approved_by})."
    )
    sent = await send(channel=customer.slack_channel, text=text)
    return ManagerTold(invoice=invoice, customer=customer, message=str(sent["ts"]))


@handler()
async def write(told: ManagerTold, llm: Claude) -> MailWritten:
    invoice, customer = told.invoice, told.customer
    facts = {"number": invoice.number, "date": invoice.date, "total": f"{invoice.total} {invoice.currency}"}
    who = {"vendor": invoice.vendor, "terms": customer.terms, "manager": customer.account_manager}
    body = await llm.text("mail.md", **facts, **who)
    return MailWritten(invoice=invoice, customer=customer, message=told.message, body=body)


@handler()
async def save_draft(mail: MailWritten, create: Annotated[Tool[Answer, Answer], "gmail.create_draft"]) -> InvoiceDone:
    subject = f"Your invoice {mail.invoice.number}"
    draft = await create(to=[mail.customer.email], subject=subject, body=mail.body)
    manager = mail.customer.account_manager
    return InvoiceDone(invoice=mail.invoice, account_manager=manager, draft=str(draft["id"]), message=mail.message)


def extracted(seen: Entities, read: InvoiceRead) -> InvoiceExtracted | None:
    """The invoice, if every field that the rest of the flow stands on was found."""
    if not seen.is_invoice or not (seen.vendor and seen.number and seen.total):
        return None
    total = Decimal(str(seen.total)).quantize(Decimal("0.01"))
    invoice = Invoice(
        file=read.file, vendor=seen.vendor, number=seen.number, date=seen.date or "", currency=seen.currency or "",
        total=total,
    )  # fmt: skip
    return InvoiceExtracted(invoice=invoice, text=read.text)


app = App(
    "invoices",
    [read, extract, look_up, check_amount, approve, correct, tell, write, save_draft],
    [
        Claude(prompts=HERE / "prompts"),
        Tools(Path(os.environ.get("STEPWIRE_MCP", HERE / "mcp.json"))),
        blob_store(os.environ.get("STEPWIRE_BLOBS", ".stepwire/blobs")),
    ],
)

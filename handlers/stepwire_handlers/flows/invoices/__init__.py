"""Invoices, the seven steps of a production pipeline: PDF → extract → look up → approve → tell → write → draft."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from stepwire import App, Decision, handler
from stepwire_handlers.blobs import BlobStore, blob_store
from stepwire_handlers.flows.invoices.customers import LOOKUP_SQL
from stepwire_handlers.flows.invoices.wording import announcement, facts
from stepwire_handlers.steps.claude import Claude
from stepwire_handlers.steps.pdf import pdf_text
from stepwire_handlers.steps.tool import Tool, Tools

from stepwire_topics.invoices import (  # isort: skip
    ApprovalNeeded, ChangesWanted, Customer, Entities, InvoiceApproved, InvoiceDone, InvoiceExtracted, InvoiceMatched,
    InvoiceRead, InvoiceReceived, InvoiceSetAside, MailWritten, ManagerTold,
)  # fmt: skip

HERE = Path(__file__).parent
LIMIT = 10_000  #: above it a person looks first
MONTH = 30 * 86_400.0  #: seconds in which a file that comes again is known
AnyTool = Tool[dict[str, Any], dict[str, Any]]


@handler(dedupe=MONTH, concurrency=8)
async def read(received: InvoiceReceived, blobs: BlobStore) -> InvoiceRead:
    return InvoiceRead(file=received.pdf, text=await pdf_text(await blobs.get(received.pdf)))


@handler()
async def extract(read: InvoiceRead, llm: Claude) -> InvoiceExtracted | InvoiceSetAside:
    if invoice := (await llm(Entities, "extract.md", text=read.text)).invoice(read.file):
        return InvoiceExtracted(invoice=invoice, text=read.text)
    return InvoiceSetAside(file=read.file, reason="not an invoice, or fields are missing")


@handler()
async def look_up(it: InvoiceExtracted, ask: Annotated[AnyTool, "postgres.query"]) -> InvoiceMatched | InvoiceSetAside:
    rows = (await ask(sql=LOOKUP_SQL, params=[it.invoice.vendor]))["rows"]
    if len(rows) == 1:
        return InvoiceMatched(invoice=it.invoice, customer=Customer.model_validate(rows[0]), text=it.text)
    reason = f"{len(rows) or 'no'} customers are called {it.invoice.vendor}"
    return InvoiceSetAside(file=it.invoice.file, reason=reason, invoice=it.invoice)


@handler()
async def check_amount(it: InvoiceMatched) -> ApprovalNeeded | InvoiceApproved:
    if it.invoice.total > LIMIT:
        return ApprovalNeeded(invoice=it.invoice, customer=it.customer, text=it.text)
    return InvoiceApproved(invoice=it.invoice, customer=it.customer, approved_by="below the limit")


@handler()
async def approve(asked: Decision[ApprovalNeeded]) -> InvoiceApproved | ChangesWanted:
    it = asked.final
    if asked.approved:
        return InvoiceApproved(invoice=it.invoice, customer=it.customer, approved_by=asked.by)
    return ChangesWanted(invoice=it.invoice, customer=it.customer, text=it.text, remark=asked.why)


@handler(max_visits=3, on_limit=InvoiceSetAside.from_changes)
async def correct(it: ChangesWanted, llm: Claude) -> ApprovalNeeded:
    seen = await llm(Entities, "correct.md", text=it.text, remark=it.remark, invoice=it.invoice)
    corrected = seen.invoice(it.invoice.file) or it.invoice
    return ApprovalNeeded(invoice=corrected, customer=it.customer, text=it.text)


@handler()
async def tell(it: InvoiceApproved, send: Annotated[AnyTool, "slack.send"]) -> ManagerTold:
    sent = await send(channel=it.customer.slack_channel, text=announcement(it))
    return ManagerTold(invoice=it.invoice, customer=it.customer, message=str(sent["ts"]))


@handler()
async def write(it: ManagerTold, llm: Claude) -> MailWritten:
    body = await llm.text("mail.md", **facts(it))
    return MailWritten(invoice=it.invoice, customer=it.customer, message=it.message, body=body)


@handler()
async def save_draft(mail: MailWritten, create: Annotated[AnyTool, "gmail.create_draft"]) -> InvoiceDone:
    to, manager = mail.customer.email, mail.customer.account_manager
    draft = await create(to=[to], subject=f"Your invoice {mail.invoice.number}", body=mail.body)
    return InvoiceDone(invoice=mail.invoice, account_manager=manager, draft=str(draft["id"]), message=mail.message)


app = App(
    "invoices",
    [read, extract, look_up, check_amount, approve, correct, tell, write, save_draft],
    [
        Claude(prompts=HERE / "prompts"),
        Tools(Path(os.environ.get("STEPWIRE_MCP", HERE / "mcp.json"))),
        blob_store(os.environ.get("STEPWIRE_BLOBS", ".stepwire/blobs")),
    ],
)

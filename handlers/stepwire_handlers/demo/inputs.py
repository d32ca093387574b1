"""What goes into each flow: texts, and for invoices the PDFs of a folder.

In: a folder. Out: events, each with an id that is the same every time, so that a second demo publishes nothing twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

from stepwire import Event
from stepwire_handlers.blobs import blob_store
from stepwire_handlers.flows.invoices.samples import generate
from stepwire_handlers.services.publishing import put
from stepwire_topics.articles import Brief
from stepwire_topics.invoices import InvoiceReceived
from stepwire_topics.polish import Text
from stepwire_topics.review import Proposal
from stepwire_topics.support import TicketOpened

SEED = 7
TEXTS: dict[str, list[Event]] = {
    "articles": [
        Brief(subject="Solar power for small farms", points=("cost", "storage", "selling to the grid")),
        Brief(subject="How to read a balance sheet", audience="founders", points=("assets", "liabilities", "cash")),
    ],
    "support": [
        TicketOpened(customer="Ann", body="I was charged twice for invoice 4711. Please refund one payment."),
        TicketOpened(customer="Bob", body="Since version 2.3 the app crashes with error 500 when I log in."),
        TicketOpened(customer="Cleo", body="What are your opening hours over the holidays?"),
        TicketOpened(customer="Dev", body="The installation stops with an error at 80 percent on my laptop."),
    ],
    "polish": [
        Text(
            goal="Tell customers that the office moves to 5 Harbour Street on 1 March",
            body="Dear customers, on 1 March our office moves to 5 Harbour Street. You reach us there from 9 to 17 on "
            "every working day. The phone number stays the same. We look forward to your visit.",
        ),
        Text(goal="Invite customers to the spring sale and name the date", body="Sale. Come."),
    ],
    "review": [
        Proposal(
            title="New prices in April",
            body="Our prices rise by 3 percent on 1 April 2027. According to the statistics office, energy became 6 "
            "percent dearer in 2026. Contracts that exist keep their price until they end.",
        ),
        Proposal(title="The best ever", body="We are the best company of all times!!! Everybody always saves 90 %!!!"),
    ],
}


async def inputs(flow: str, folder: Path) -> AsyncIterator[tuple[str, str, Event]]:
    """(name, id, event) of everything that the flow should work on."""
    if flow != "invoices":
        for number, event in enumerate(TEXTS[flow], start=1):
            yield f"{flow} {number}", sha256(event.model_dump_json().encode()).hexdigest(), event
        return
    inbox = folder / "inbox"
    if not inbox.is_dir():
        generate(inbox, SEED)
    async with blob_store(folder / "blobs") as blobs:
        for path in sorted(inbox.glob("*.pdf")):
            attachment = await put(blobs, path)
            yield path.name, attachment.sha256, InvoiceReceived(pdf=attachment)

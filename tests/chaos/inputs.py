"""What is published: events for the five shipped flows, and for the one of our own whose effect must not repeat.

In: a folder, a seed, a number. Out: (app, id, event), shuffled; the same for the same seed. Texts differ so that each
flow takes all its branches; every invoice has a number of its own, by which its message and its draft are told apart.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.chaos.flow import Ticket

from stepwire import App, Event
from stepwire_handlers.blobs import blob_store
from stepwire_handlers.demo.inputs import TEXTS
from stepwire_handlers.flows import articles, invoices, polish, review, support
from stepwire_handlers.flows.invoices.samples import generate
from stepwire_handlers.services.publishing import put
from stepwire_topics.invoices import InvoiceReceived

FLOWS: dict[str, App] = {
    "articles": articles.app, "support": support.app, "review": review.app, "polish": polish.app,
    "invoices": invoices.app,
}  # fmt: skip
OURS = "chaos"
TEXT_FIELD = {"articles": "subject", "support": "customer", "review": "title", "polish": "goal"}
ODD = 4  #: files of the generator that are no invoices


async def inputs(folder: Path, seed: int, events: int) -> list[tuple[str, str, Event]]:
    """A fifth of the events for each shipped flow, and a tenth more for ours."""
    dice, each = Random(seed), events // len(FLOWS)
    found: list[tuple[str, str, Event]] = []
    for flow, field in TEXT_FIELD.items():
        for number in range(each):
            event = dice.choice(TEXTS[flow])
            changed = event.model_copy(update={field: f"{getattr(event, field)} ({number})"})
            found.append((flow, f"{flow}-{number}", changed))
    generate(folder / "inbox", seed, each - ODD)
    async with blob_store(folder / "blobs") as blobs:
        for path in sorted((folder / "inbox").glob("*.pdf")):
            file = await put(blobs, path)
            found.append(("invoices", file.sha256, InvoiceReceived(pdf=file)))
    found += [(OURS, f"t{number}", Ticket(n=number)) for number in range(events // 10)]
    dice.shuffle(found)
    return found

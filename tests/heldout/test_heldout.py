"""Invoices that the offline model's author has not seen: at least four in five numbers and totals are right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.heldout.generator import Bill, bills

from stepwire_handlers.flows import invoices
from stepwire_handlers.offline_model import serve
from stepwire_handlers.steps.claude import Claude
from stepwire_handlers.steps.pdf import pdf_text
from stepwire_topics.invoices import Entities

PROMPTS = Path(invoices.__file__).parent / "prompts"
SEEDS = (1, 2, 3)


def score(found: list[tuple[Bill, Entities]]) -> Counter[str]:
    """How many of each field are right."""
    right: Counter[str] = Counter()
    for bill, seen in found:
        right["number"] += seen.number == bill.number
        right["total"] += seen.total is not None and abs(seen.total - bill.total) < 0.005
        right["currency"] += seen.currency == bill.currency
        right["is_invoice"] += seen.is_invoice
    return right


@pytest.mark.timeout(120)
async def test_held_out_invoices_are_read() -> None:
    """Twenty-four invoices of eight templates in six languages; and a judge that sees when truth is shuffled."""
    found: list[tuple[Bill, Entities]] = []
    async with serve() as url, Claude(base_url=url, api_key="offline", prompts=PROMPTS) as llm:
        for seed in SEEDS:
            for bill in bills(seed):
                found.append((bill, await llm(Entities, "extract.md", text=await pdf_text(bill.pdf))))
    right, wrong = score(found), [(b.template, b.number, s.number, b.total, s.total) for b, s in found
                                  if (b.number, b.total) != (s.number, s.total)]  # fmt: skip
    assert right["number"] >= 0.8 * len(found), wrong
    assert right["total"] >= 0.8 * len(found), wrong
    assert right["currency"] >= 0.8 * len(found), right
    assert right["is_invoice"] >= 0.95 * len(found), right
    shuffled = [(bill, seen) for (bill, _), (_, seen) in zip(found, found[1:] + found[:1], strict=True)]
    assert score(shuffled)["number"] < 0.2 * len(found)

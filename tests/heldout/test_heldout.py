"""Invoices that the offline model's author has not seen: at least four in five numbers and totals are right."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
from tests.heldout.bill import Bill
from tests.heldout.generator import TEMPLATES, bills
from tests.heldout.judge import REQUIRED, Reading, share, truth, wrong

from stepwire_handlers.flows import invoices
from stepwire_handlers.offline_model import serve
from stepwire_handlers.steps.claude import Claude
from stepwire_handlers.steps.pdf import pdf_text
from stepwire_topics.invoices import Entities

pytestmark = pytest.mark.slow

PROMPTS = Path(invoices.__file__).parent / "prompts"
SEEDS = range(1, 7)  # so many that every wording of every template comes up


@pytest.fixture(scope="module")
def papers() -> list[Bill]:
    return [bill for seed in SEEDS for bill in bills(seed)]


@pytest.fixture(scope="module")
def readings(papers: list[Bill]) -> list[Reading]:
    """All of them read by the flow's own steps; one server for all."""
    return anyio.run(_read, papers)


async def _read(papers: list[Bill]) -> list[Reading]:
    async with serve() as url, Claude(base_url=url, api_key="offline", prompts=PROMPTS) as llm:
        return [(bill, await _seen(llm, bill)) for bill in papers]


async def _seen(llm: Claude, bill: Bill) -> Entities:
    try:
        return await llm(Entities, "extract.md", text=await pdf_text(bill.pdf))
    except Exception as error:
        error.add_note(f"while reading the invoice {bill.number} of the template {bill.template}")
        raise


@pytest.mark.parametrize("field", REQUIRED)
def test_held_out_invoices_are_read(readings: list[Reading], field: str) -> None:
    """Thirteen templates in six languages, six invoices of each."""
    assert share(readings, field) >= REQUIRED[field], wrong(readings, [field])


@pytest.mark.parametrize("field", ["number", "total", "currency"])
def test_the_judge_sees_when_a_field_is_shuffled(papers: list[Bill], field: str) -> None:
    """A perfect reader passes; with one field taken from the next invoice it fails in that field and no other."""
    perfect = [truth(bill) for bill in papers]
    following = [*perfect[1:], perfect[0]]
    shuffled = [
        (bill, mine.model_copy(update={field: getattr(other, field)}))
        for bill, mine, other in zip(papers, perfect, following, strict=True)
    ]
    assert {name for name in REQUIRED if share(shuffled, name) < REQUIRED[name]} == {field}
    assert not wrong(zip(papers, perfect, strict=True)).strip()


def test_the_judge_gives_nothing_for_an_empty_answer(papers: list[Bill]) -> None:
    """Nor may a model pass by calling nothing an invoice."""
    nothing = [(bill, Entities(is_invoice=False)) for bill in papers]
    assert [share(nothing, field) for field in REQUIRED] == [0, 0, 0, 0]


async def test_the_truth_stands_on_the_page(papers: list[Bill]) -> None:
    """What is asked for can be read: a wrong answer is not the PDF's fault."""
    for bill in papers:
        text = await pdf_text(bill.pdf)
        digits = re.sub(r"(?<=\d)[.,’ ](?=\d)", "", text)
        assert bill.number in text and bill.vendor.casefold() in text.casefold(), bill.template
        assert str(bill.total).replace(".", "") in digits, bill.template


def test_the_same_seed_makes_the_same_invoices() -> None:
    """Byte for byte; and another seed makes others."""
    assert bills(1) == bills(1)
    assert {bill.pdf for bill in bills(1)}.isdisjoint(bill.pdf for bill in bills(2))
    assert len({bill.template for bill in bills(1)}) == len(TEMPLATES)

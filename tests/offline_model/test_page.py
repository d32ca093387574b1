"""Lines out of raw text: columns, and text that is none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.offline_model.asking import fill

from stepwire_handlers.offline_model.page import page


class Seen(BaseModel):
    """What stands on an invoice."""

    is_invoice: bool
    number: str | None = None
    total: float | None = None


@given(st.lists(st.sampled_from(["Total", "12.00", " ", "  ", "   ", "\t", "|", "....", "RE7", "R 1.00", "EUR5", "é"])))
@settings(max_examples=300, deadline=None, database=None)
def test_every_cell_of_a_line_has_a_place(pieces: list[str]) -> None:
    """A gap of two spaces parts columns as one of three does, so that what asks for a cell's place gets one."""
    for line in page("".join(pieces)):
        assert len(line.cells) == len(line.columns), line


def test_a_strip_of_labels_two_spaces_apart_is_read() -> None:
    """The layout that was an IndexError, and the whole answer with it."""
    strip = (
        "LASKU\n Laskun päiväys  Asiakasnro  Tilausnumero  Laskunro\n 21.10.2026      D85107      117290        KM-4821"
    )
    seen = fill(Seen, "{{text}}", text=f"{strip}\nYhteensä   19 869,42 €")
    assert (seen.is_invoice, seen.number, seen.total) == (True, "KM-4821", 19869.42)


def test_a_number_that_looks_like_a_sum_is_one_only_away_from_its_label() -> None:
    """Beside "Invoice no." it is the number; a sum beside it in the same document stays a sum."""
    seen = fill(Seen, "{{text}}", text="Invoice\nInvoice no.: 1847.26\nSubtotal 1500.00\nTotal due 1847.20")
    assert (seen.number, seen.total) == ("1847.26", 1847.2)
    assert fill(Seen, "{{text}}", text="Invoice\nTotal due 1847.20").number is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t\n",
        "\x00\x01\x7f" * 50,
        random.Random(7).randbytes(20_000).decode("latin-1"),
        "x" * 1_000_000,
        "Total 7 " * 125_000,
        "word\n" * 200_000,
        "| " * 50_000,
    ],
    ids=["empty", "blank", "control", "binary", "one word", "one line", "many lines", "bars"],
)
def test_what_is_no_document_is_answered_as_none(text: str) -> None:
    """Nothing is invented from garbage, whatever its size, and nothing crashes."""
    seen = fill(Seen, "{{text}}", text=text)
    assert (seen.is_invoice, seen.number) == (False, None)

"""What the sample invoices promise: the same for the same seed, all different, right, and readable."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from decimal import Decimal
from io import BytesIO
from itertools import combinations
from pathlib import Path

import anyio
import pytest
from pypdf import PdfReader

from stepwire.errors import Reject
from stepwire_handlers.flows.invoices import customers
from stepwire_handlers.flows.invoices.samples import APPROVAL_LIMIT, Sample, _bill, generate
from stepwire_handlers.flows.invoices.samples.__main__ import main
from stepwire_handlers.flows.invoices.samples.sellers import SELLERS
from stepwire_handlers.steps.pdf import pdf_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[Sample]:
    return generate(folder, seed=7, count=24)


@pytest.fixture(scope="module")
def invoices(samples: list[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.number]


def text_of(folder: Path, sample: Sample) -> str:
    return anyio.run(pdf_text, (folder / sample.file).read_bytes())


def test_the_same_seed_gives_the_same_bytes_whatever_the_count(
    folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    again = generate(tmp_path, seed=7, count=12)
    assert again == samples[:12] + samples[24:]
    for sample in again:
        assert (tmp_path / sample.file).read_bytes() == (folder / sample.file).read_bytes(), sample.file


def test_the_same_seed_gives_the_same_bytes_in_another_process(
    folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    module = "stepwire_handlers.flows.invoices.samples"
    arguments = ["--out", str(tmp_path), "--seed", "7", "--count", "12"]
    said = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    expected = [sample.file for sample in samples[:12] + samples[24:]]
    assert [line.split()[0] for line in said.stdout.splitlines()] == expected
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (folder / file.name).read_bytes(), file.name


def test_another_seed_gives_other_files(folder: Path, tmp_path: Path) -> None:
    for sample in generate(tmp_path, seed=8, count=12):
        assert (tmp_path / sample.file).read_bytes() != (folder / sample.file).read_bytes(), sample.file


def test_there_are_twelve_papers_six_languages_and_six_currencies(invoices: list[Sample]) -> None:
    first = invoices[:12]
    assert len({sample.kind for sample in first}) == len({sample.vendor for sample in first}) == 12
    assert {sample.language for sample in first} == {"en", "de", "fr", "es", "it", "nl"}
    assert {sample.currency for sample in first} == {"EUR", "USD", "GBP", "CHF", "JPY", "SEK"}
    assert len({sample.number for sample in invoices}) == 24


def places(data: bytes) -> set[tuple[int, int, int]]:
    """Where on its pages a PDF begins pieces of text, in steps of four millimetres."""
    found: set[tuple[int, int, int]] = set()
    for number, page in enumerate(PdfReader(BytesIO(data)).pages):

        def note(text: str, cm: list[float], tm: list[float], *_: object, number: int = number) -> None:
            if text.strip():
                found.add((number, round((cm[4] + tm[4]) / 11), round((cm[5] + tm[5]) / 11)))

        page.extract_text(visitor_text=note)
    return found


def test_no_two_papers_put_their_text_in_the_same_places(folder: Path, invoices: list[Sample]) -> None:
    """The same paper of another month overlaps far more with itself than with any other."""
    found = {sample.file: places((folder / sample.file).read_bytes()) for sample in invoices}

    def overlap(one: Sample, other: Sample) -> float:
        a, b = found[one.file], found[other.file]
        return len(a & b) / min(len(a), len(b))

    for one, other in combinations(invoices[:12], 2):
        assert overlap(one, other) < 0.4, (one.kind, other.kind)
    for one, later in zip(invoices[:12], invoices[12:], strict=True):
        assert overlap(one, later) > 0.5, one.kind


def test_vendor_number_dates_and_total_stand_on_the_page(folder: Path, invoices: list[Sample]) -> None:
    for sample in invoices:
        text = text_of(folder, sample)
        assert sample.vendor is not None
        assert sample.number is not None
        assert sample.printed_total is not None
        assert sample.vendor.lower() in text.lower(), sample.file
        assert sample.number in text, sample.file
        assert sample.printed_total.replace("\u00a0", " ") in text, sample.file


def test_the_printed_total_is_the_total(invoices: list[Sample]) -> None:
    """Read back by a rule that knows nothing of languages: a separator before two last digits is the point."""
    for sample in invoices:
        digits = [char for char in sample.printed_total or "" if char.isdigit() or char in ".,"]
        plain = "".join(digits).strip(".,")
        whole, cents = (plain[:-3], plain[-2:]) if plain[-3:-2] in {".", ","} else (plain, "")
        read = Decimal(f"{whole.replace('.', '').replace(',', '')}.{cents or 0}")
        assert read == sample.total, sample.file


@pytest.mark.parametrize("number", range(36))
def test_sums_are_right_and_on_the_side_of_the_limit_they_should_be(number: int) -> None:
    bill = _bill(3, number)
    assert bill.subtotal == sum(item.amount for item in bill.items)
    assert bill.total == bill.subtotal + bill.tax
    step = Decimal(1).scaleb(-bill.notation.places)
    assert abs(bill.tax - bill.subtotal * bill.seller.tax_rate / 100) <= step / 2
    assert all(abs(item.amount - item.quantity * item.price) <= step / 2 for item in bill.items)
    assert len(bill.items) >= 3
    assert (bill.total > APPROVAL_LIMIT) is bill.seller.large
    assert bill.issued < bill.due


def test_most_go_through_some_need_approval_and_each_way_to_fail_is_there(samples: list[Sample]) -> None:
    assert Counter(sample.outcome for sample in samples) == {
        "drafted": 14,
        "approval": 6,
        "unknown customer": 2,
        "ambiguous customer": 2,
        "unreadable": 1,
        "encrypted": 1,
        "scanned": 1,
        "not an invoice": 1,
    }


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [("unreadable", "damaged"), ("encrypted", "needs a password"), ("scanned", "was scanned")],
)
def test_the_files_that_nobody_can_read_are_rejected_for_their_reason(
    folder: Path, samples: list[Sample], outcome: str, reason: str
) -> None:
    (sample,) = [sample for sample in samples if sample.outcome == outcome]
    with pytest.raises(Reject, match=reason):
        text_of(folder, sample)


def test_the_menu_is_readable_and_no_invoice(folder: Path, samples: list[Sample]) -> None:
    text = text_of(folder, samples[-1])
    assert "Lunch" in text
    assert "£" in text
    assert "invoice" not in text.lower()


def test_labels_and_values_of_a_total_share_a_line_where_they_do_on_the_page(
    folder: Path, invoices: list[Sample]
) -> None:
    """All papers but the one whose total stands in a sentence have a row of it."""
    for sample, seller in zip(invoices[:12], SELLERS, strict=True):
        label, total = seller.notation.word("total"), (sample.printed_total or "").replace("\u00a0", " ")
        rows = [line for line in text_of(folder, sample).splitlines() if label in line and total in line]
        assert bool(rows) is (sample.kind != "prose"), sample.kind


def test_the_command_lists_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path / "new"), "--count", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].split()[:3] == ["001-ledger.pdf", "drafted", "en"]
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == sorted(line.split()[0] for line in lines)


def test_every_seller_but_two_is_exactly_one_customer() -> None:
    found = {seller.name: len(customers.find(seller.name)) for seller in SELLERS}
    assert {name: count for name, count in found.items() if count != 1} == {
        "Brackenfield Catering Ltd": 0,
        "Nordlicht Energie": 2,
    }
    assert customers.find("  harbor & PINE ") == [customers.CUSTOMERS[0]]
    assert any(seller.name not in {row["name"] for row in customers.CUSTOMERS} for seller in SELLERS[:10])


def test_the_sql_quotes_what_needs_quoting() -> None:
    sql = customers.customers_sql()
    assert "'Talleres d''Ibarra'" in sql
    assert sql.count("ARRAY[") == len(customers.CUSTOMERS)
    outside = sql.replace("''", "")
    assert outside.count("'") % 2 == 0
    assert outside.count(";") == 3, "one statement makes the table, one fills it, one moves the sequence"

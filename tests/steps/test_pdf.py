"""What reading a PDF promises: rows stay rows, and a file that cannot be read is rejected with its reason."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.to_thread import run_sync
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PageObject, PdfReader, PdfWriter
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from stepwire.errors import Reject
from stepwire_handlers.steps import pdf as pdf_module
from stepwire_handlers.steps.pdf import PdfLimits, pdf_text

Draw = Callable[[Canvas], object]


def pdf(*pages: Draw, **options: Any) -> bytes:
    """A PDF of these pages."""
    buffer = BytesIO()
    canvas = Canvas(buffer, invariant=1, **options)
    for page in pages:
        page(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def says(text: str, x: float = 72, y: float = 700) -> Draw:
    return lambda canvas: canvas.drawString(x, y, text)


def picture(canvas: Canvas) -> None:
    from PIL import Image

    canvas.drawImage(ImageReader(Image.new("L", (40, 40), 128)), 0, 0, 400, 600)


def bill(canvas: Canvas) -> None:
    """Labels and values are drawn column by column, as many programs do."""
    for row, label in enumerate(("Invoice no.", "Subtotal", "Total")):
        canvas.drawString(72, 700 - 20 * row, label)
    for row, value in enumerate(("A-17", "100,00 €", "119,00 €")):
        canvas.drawRightString(500, 700 - 20 * row, value)


INVOICE = pdf(bill)


async def test_a_label_and_its_value_stay_on_one_line() -> None:
    lines = [line.split(maxsplit=1) for line in (await pdf_text(INVOICE)).splitlines()]
    assert [line[0] for line in lines] == ["Invoice", "Subtotal", "Total"]
    assert lines[2][1].strip() == "119,00 €"


async def test_pages_are_parted_and_blank_ones_left_out() -> None:
    data = pdf(says("first"), lambda _: None, says("third"))
    assert [page.strip() for page in (await pdf_text(data)).split("\n\n")] == ["first", "third"]


async def test_text_is_fit_for_json_and_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typesetters' spaces become plain ones; letters that a broken font leaves unknown are marked as such."""
    given = "1\u202f234,50\u00a0€ \0 \ud83d\ude00 \ude00"
    monkeypatch.setattr(PageObject, "extract_text", lambda *_, **__: given)
    text = await pdf_text(INVOICE)
    assert text == "1 234,50 € \ufffd \U0001f600 \ufffd"
    assert text.encode()


def in_a_form(canvas: Canvas) -> None:
    canvas.beginForm("letterhead")
    canvas.drawString(72, 700, "Total 119,00 on a form")
    canvas.endForm()
    canvas.doForm("letterhead")


def half_in_a_form(canvas: Canvas) -> None:
    canvas.drawString(72, 600, "Subtotal 100,00 beside the form")
    in_a_form(canvas)


def turned(canvas: Canvas) -> None:
    canvas.rotate(90)
    canvas.drawString(100, -100, "Total 119,00 turned")


def far_away(canvas: Canvas) -> None:
    """Hundreds of lines, each padded with ten thousand spaces if it were laid out."""
    canvas.drawString(72, 750, "Subtotal 100,00 where it belongs")
    for row in range(300):
        canvas.drawString(10.0**6, 700 - 2 * row, "Total 119,00 far away")


@pytest.mark.parametrize("page", [in_a_form, half_in_a_form, turned, far_away])
async def test_text_that_the_layout_would_lose_or_blow_up_is_read_plainly(page: Draw) -> None:
    text = await pdf_text(pdf(page))
    assert "Total 119,00" in text
    assert len(text) < 10_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 2000, "is not a PDF"),
        (b"0" * 1024 + INVOICE, "is not a PDF"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 8, r"is damaged and cannot be read \(PdfStreamError\)"),
        (INVOICE[:300], "is damaged and cannot be read"),
        (pdf(bill, encrypt=StandardEncryption("secret", strength=128)), "is encrypted and needs a password"),
        (pdf(picture, picture), r"was scanned: its pages are pictures without text\. Send it through text"),
        (pdf(lambda _: None), "has no text and no pictures"),
    ],
    ids=["empty", "png", "late-header", "noise", "cut", "locked", "scanned", "blank"],
)
async def test_what_cannot_be_read_is_rejected_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Reject, match=reason):
        await pdf_text(data)


async def test_one_page_of_text_among_pictures_is_enough() -> None:
    assert (await pdf_text(pdf(picture, says("Total 1,00")))).strip() == "Total 1,00"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (PdfLimits(pages=2), "has 3 pages, and 2 are the limit"),
        (PdfLimits(size=500), "bytes, and 500 are the limit"),
        (PdfLimits(text=29), "more than 29 letters"),
    ],
)
async def test_the_limits_are_kept(limits: PdfLimits, reason: str) -> None:
    data = pdf(*[says("ten letters")] * 3)
    assert await pdf_text(data, PdfLimits(pages=3, size=len(data), text=30))
    with pytest.raises(Reject, match=reason):
        await pdf_text(data, limits)


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
async def test_a_pdf_locked_only_against_changes_is_read(algorithm: str) -> None:
    writer = PdfWriter(clone_from=PdfReader(BytesIO(INVOICE)))
    writer.encrypt(user_password="", owner_password="theirs", algorithm=algorithm)  # noqa: S106 - of this test
    buffer = BytesIO()
    writer.write(buffer)
    assert "119,00 €" in await pdf_text(buffer.getvalue())


@given(
    cut=st.integers(0, len(INVOICE)),
    changes=st.lists(st.tuples(st.integers(0, len(INVOICE) - 1), st.integers(0, 255)), max_size=20),
)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_a_damaged_file_gives_text_or_a_rejection_and_nothing_else(cut: int, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(INVOICE)
    for place, byte in changes:
        damaged[place] = byte
    with suppress(Reject):
        assert anyio.run(pdf_text, bytes(damaged[:cut]))


async def test_a_reason_quotes_nothing_of_the_file() -> None:
    with pytest.raises(Reject) as rejected:
        await pdf_text(b"%PDF-confidential" + b"confidential" * 50)
    assert "confidential" not in str(rejected.value)


async def test_reading_leaves_the_event_loop_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a reader that nobody waits for any more stops at the next page."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    read: list[threading.Thread] = []
    real_page, real_text = PageObject.extract_text, pdf_module._text

    def slow(page: PageObject, *args: Any, **options: Any) -> str:
        read.append(threading.current_thread())
        begun.set()
        assert go_on.wait(10)
        return real_page(page, *args, **options)

    def noted(*args: Any) -> str:
        try:
            return real_text(*args)
        finally:
            ended.set()

    monkeypatch.setattr(PageObject, "extract_text", slow)
    monkeypatch.setattr(pdf_module, "_text", noted)
    async with anyio.create_task_group() as group:
        group.start_soon(pdf_text, pdf(says("one"), says("two"), says("three")))
        assert await run_sync(begun.wait, 10)
        group.cancel_scope.cancel()
    go_on.set()
    assert await run_sync(ended.wait, 10)
    assert threading.main_thread() not in read
    assert len(read) == 2, "the first page, once plainly and once laid out"


def test_without_the_library_the_message_names_the_extra() -> None:
    code = (
        "import sys, anyio; sys.modules['pypdf'] = None\n"
        "from stepwire_handlers.steps.pdf import pdf_text\n"
        "try: anyio.run(pdf_text, b'%PDF-1.7')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "SettingsError reading PDFs needs the library pypdf: install stepwire[pdf]\n"

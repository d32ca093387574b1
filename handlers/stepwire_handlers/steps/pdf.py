"""PDF to text: what stands on the pages, row by row, or a clear reason why nobody can read it.

In: the bytes of a file that anybody may have sent.  Out: its text, a label and its value on one line
    wherever they stand on one line of the page, columns apart by spaces, as `pdftotext -layout` would show
    it.

Promises: all that is wrong with the file itself is a `Reject`, never an exception of the library; the
    reasons hold nothing of the file's content; reading happens in a worker thread, and a cancelled reader
    stops at the next page. It is pure Python and takes the processor for itself, about a hundredth of a
    second per page: bound it with the handler's `concurrency`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BytesIO
from threading import Event as Flag
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync

from stepwire.errors import Reject, SettingsError, StepwireError

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

HEADER = 1024  #: readers look for `%PDF-` in so many first bytes, because some writers put something before it
PIECES = 5000  #: separate pieces of text on one page, above which its layout is not worth what it costs
WIDEST = 200_000  #: characters of one laid-out page; a dense one has 20,000
CLEAN = {**dict.fromkeys(map(ord, "\u00a0\u2007\u202f"), " "), 0: "\ufffd"}  #: typesetters' spaces; unknown letters


@dataclass(frozen=True, slots=True)
class PdfLimits:
    """How much of a file is read; beyond any of these it is rejected.

    Attributes:
        pages: an invoice is short; a hundred pages are a catalogue that got into the wrong mailbox.
        size: bytes of the file.
        text: letters and digits, spaces not counted; more than a model's prompt should hold.
    """

    pages: int = 50
    size: int = 32 * 1024 * 1024
    text: int = 400_000


async def pdf_text(data: bytes, limits: PdfLimits | None = None) -> str:
    """The text of a PDF, its pages parted by an empty line.

    Raises:
        Reject: it is no PDF, damaged, locked by a password, only pictures, empty, or beyond the limits.
        SettingsError: the library pypdf is missing.
    """
    stop = Flag()
    try:
        return await run_sync(partial(_read, data, limits or PdfLimits(), stop), abandon_on_cancel=True)
    finally:
        stop.set()


def _read(data: bytes, limits: PdfLimits, stop: Flag) -> str:
    if not data:
        raise Reject("the file is empty: ask the sender for it again")
    if len(data) > limits.size:
        raise Reject(f"the PDF has {len(data)} bytes, and {limits.size} are the limit")
    if b"%PDF-" not in data[:HEADER]:
        raise Reject("the file is not a PDF: it does not begin like one")
    try:
        return _text(_opened(data), limits, stop)
    except (StepwireError, MemoryError):
        raise
    except Exception as error:  # broken files break the library in every way there is
        # its message may quote the file
        raise Reject(f"the PDF is damaged and cannot be read ({type(error).__name__})") from error


def _opened(data: bytes) -> PdfReader:
    try:
        from pypdf import PdfReader  # noqa: PLC0415 - an optional library
        from pypdf.errors import DependencyError  # noqa: PLC0415 - the same
    except ImportError as error:
        raise SettingsError("reading PDFs needs the library pypdf: install stepwire[pdf]") from error
    try:
        reader = PdfReader(BytesIO(data))
        # many a bank locks its PDFs against changes only; those open with an empty password
        if reader.is_encrypted and not reader.decrypt(""):
            raise Reject("the PDF is encrypted and needs a password: ask the sender for an open one")
    except DependencyError as error:
        raise SettingsError("reading encrypted PDFs needs cryptography: install stepwire[pdf]") from error
    return reader


def _text(reader: PdfReader, limits: PdfLimits, stop: Flag) -> str:
    count = len(reader.pages)
    if count > limits.pages:
        raise Reject(f"the PDF has {count} pages, and {limits.pages} are the limit")
    texts: list[str] = []
    length = 0
    for page in reader.pages:
        if stop.is_set():
            return ""
        text, letters = _page(page)
        length += letters
        if length > limits.text:
            raise Reject(f"the PDF holds more than {limits.text} letters of text, which is the limit")
        texts.append(text)
    if not length:
        raise _wordless(reader)
    return "\n\n".join(text for text in texts if text)


def _page(page: PageObject) -> tuple[str, int]:
    """The text of a page, laid out if that loses nothing, and how many letters it has."""
    pieces: list[None] = []
    plain = page.extract_text(visitor_text=lambda *_: pieces.append(None))
    letters = _letters(plain)
    text = _laid_out(page, letters) if len(pieces) <= PIECES else None
    lines = (line.rstrip() for line in _clean(text or plain).splitlines())
    return "\n".join(line for line in lines if line), letters


def _laid_out(page: PageObject, letters: int) -> str | None:
    """The page's text as it is laid out; None where the library's layout, young as it is, fails.

    It knows neither rotated text nor text inside forms, and pads with as many spaces as a page asks for.
    """
    try:
        text = page.extract_text(extraction_mode="layout", layout_mode_space_vertically=False)
    except Exception:  # noqa: BLE001 - there is the plain text, which was read without one
        return None
    return text if len(text) <= WIDEST and _letters(text) >= 0.95 * letters else None


def _clean(text: str) -> str:
    """Text that can be sent as JSON and looked up in a database: a broken font may give half a character."""
    return text.translate(CLEAN).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _letters(text: str) -> int:
    return sum(len(word) for word in text.split())


def _wordless(reader: PdfReader) -> Reject:
    if any(len(page.images) for page in reader.pages):
        return Reject(
            "the PDF was scanned: its pages are pictures without text. Send it through text recognition "
            "(OCR) first, or ask the sender for the original"
        )
    return Reject("the PDF has no text and no pictures on its pages: ask the sender for it again")

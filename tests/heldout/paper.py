"""A page to write on: millimetres from the upper left corner, deterministic bytes.

In: words and where they stand. Out: a PDF, the same for the same calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.resources import as_file, files

from fpdf import FPDF

Column = tuple[float, str, str]  #: x in millimetres, alignment L or R, heading
Pairs = Iterable[tuple[str, str]]


class Paper:
    """One document in one typeface: a core one (helvetica, times, courier), or `vera`, which is embedded."""

    def __init__(self, face: str = "helvetica", size: str = "A4") -> None:
        self.face = face
        self.pdf = FPDF(format=size)
        self.pdf.core_fonts_encoding = "windows-1252"  # has the euro sign
        self.pdf.set_creation_date(datetime(2026, 3, 1, tzinfo=UTC))
        self.pdf.set_auto_page_break(False)
        if face == "vera":
            for style, name in (("", "Vera.ttf"), ("B", "VeraBd.ttf")):
                with as_file(files("reportlab") / "fonts" / name) as path:
                    self.pdf.add_font("vera", style, path)
        self.pdf.add_page()

    def text(self, x: float, y: float, text: str, *, size: float = 9, style: str = "", align: str = "L") -> None:
        """Words on a baseline; with align R they end at x."""
        self.pdf.set_font(self.face, style, size)
        width = self.pdf.get_string_width(text)
        self.pdf.text(x - {"L": 0.0, "C": width / 2, "R": width}[align], y, text)

    def block(self, x: float, y: float, lines: Iterable[str], *, size: float = 9, align: str = "L") -> float:
        """Lines under each other; where the next would stand."""
        for line in lines:
            self.text(x, y, line, size=size, align=align)
            y += size * 0.48
        return y

    def pairs(
        self, x: float, to: float, y: float, pairs: Pairs, *, size: float = 9, align: str = "L", bold: str = ""
    ) -> float:
        """Labels at x and values at `to`; the pair whose label is `bold` is heavier."""
        for label, value in pairs:
            style = "B" if label == bold else ""
            self.text(x, y, label, size=size, style=style)
            self.text(to, y, value, size=size, style=style, align=align)
            y += size * 0.56
        return y

    def heads(self, y: float, cells: Iterable[tuple[float, str, str]], *, size: float = 8) -> float:
        """Labels side by side with their values below: (x, label, value)."""
        for x, label, value in cells:
            self.text(x, y, label, size=size - 1)
            self.text(x, y + size * 0.58, value, size=size, style="B")
        return y + size * 1.3

    def table(self, y: float, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, size: float = 9) -> float:
        """A ruled table; where the next line would stand."""
        for x, align, head in columns:
            self.text(x, y, head, size=size, style="B", align=align)
        self.rule(y + size * 0.2, 20, max(x for x, _, _ in columns))
        for row in rows:
            y += size * 0.62
            for (x, align, _), cell in zip(columns, row, strict=True):
                self.text(x, y, cell, size=size, align=align)
        return y + size * 0.9

    def rule(self, y: float, start: float, end: float) -> None:
        """A thin line across."""
        self.pdf.set_line_width(0.2)
        self.pdf.line(start, y, end, y)

    def shade(self, x: float, y: float, width: float, height: float) -> None:
        """A grey box to write upon."""
        self.pdf.set_fill_color(228, 232, 236)
        self.pdf.rect(x, y, width, height, style="F")

    def prose(self, x: float, y: float, width: float, text: str, *, size: float = 10) -> float:
        """A paragraph, broken into lines; where the next would stand."""
        self.pdf.set_font(self.face, "", size)
        self.pdf.set_xy(x, y - size * 0.35)
        self.pdf.multi_cell(width, size * 0.5, text, align="L")
        return float(self.pdf.get_y()) + size * 0.65

    def done(self) -> bytes:
        """The file."""
        return bytes(self.pdf.output())

"""Paper to draw on: millimetres from the top left corner, and the same bytes for the same drawing.

The fonts are those that every PDF reader brings along, so no font file is embedded or needed.
"""

from __future__ import annotations

from io import BytesIO
from typing import Literal

from stepwire.errors import SettingsError

try:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.lib.units import mm
    from reportlab.lib.utils import ImageReader, simpleSplit
    from reportlab.pdfbase.pdfmetrics import stringWidth
    from reportlab.pdfgen.canvas import Canvas
except ImportError as error:
    raise SettingsError("sample PDFs need the library reportlab: install stepwire[demo]") from error

Align = Literal["left", "right", "centre"]
REGULAR, BOLD, TYPED, TYPED_BOLD = "Helvetica", "Helvetica-Bold", "Courier", "Courier-Bold"
SERIF, ITALIC = "Times-Roman", "Times-Italic"
POINT = 0.3528  #: millimetres


class Paper:
    """A document under way.

    Args:
        width: in millimetres.
        height: in millimetres.
        password: what a reader has to enter; None for an open document.
    """

    def __init__(self, width: float = 210, height: float = 297, password: str | None = None) -> None:
        self.width, self.height = width, height
        self._buffer = BytesIO()
        lock = StandardEncryption(password, strength=128) if password else None
        # invariant: no time of making and no random id in the file
        self._canvas = Canvas(
            self._buffer, pagesize=(width * mm, height * mm), invariant=1, pageCompression=1, encrypt=lock
        )

    def text(
        self, x: float, y: float, text: str, *, size: float = 9, font: str = REGULAR, align: Align = "left",
        ink: str = "#1a1a1a",
    ) -> None:  # fmt: skip
        """One line of text; `x` is its left end, right end or middle, `y` its baseline. Size in points."""
        self._canvas.setFont(font, size)
        self._canvas.setFillColor(HexColor(ink))
        draw = {
            "left": self._canvas.drawString,
            "right": self._canvas.drawRightString,
            "centre": self._canvas.drawCentredString,
        }[align]
        draw(x * mm, (self.height - y) * mm, text)

    def lines(
        self, x: float, y: float, lines: tuple[str, ...] | list[str], *, size: float = 9, font: str = REGULAR,
        align: Align = "left", ink: str = "#1a1a1a", lead: float = 1.35,
    ) -> float:  # fmt: skip
        """Lines of text one below the other; returns the next baseline."""
        for line in lines:
            self.text(x, y, line, size=size, font=font, align=align, ink=ink)
            y += size * lead * POINT
        return y

    def prose(self, x: float, y: float, width: float, text: str, *, size: float = 10.5, font: str = SERIF) -> float:
        """A paragraph, broken into lines; returns the next baseline."""
        return self.lines(x, y, simpleSplit(text, font, size, width * mm), size=size, font=font)

    def rule(self, x1: float, y1: float, x2: float, y2: float, *, ink: str = "#444444", dashed: float = 0) -> None:
        """A thin line; `dashed` is the length of a dash in millimetres."""
        self._canvas.setLineWidth(0.5)
        self._canvas.setDash(*([dashed * mm, dashed * mm] if dashed else []))
        self._canvas.setStrokeColor(HexColor(ink))
        self._canvas.line(x1 * mm, (self.height - y1) * mm, x2 * mm, (self.height - y2) * mm)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str | None = None,
        ink: str = "#444444",
    ) -> None:
        """A frame, or a filled area without one; `x` and `y` are its upper left corner."""
        self._canvas.setLineWidth(0.5)
        self._canvas.setDash()
        self._canvas.setStrokeColor(HexColor(ink))
        self._canvas.setFillColor(HexColor(fill or "#ffffff"))
        self._canvas.rect(
            x * mm, (self.height - y - height) * mm, width * mm, height * mm,
            stroke=fill is None, fill=fill is not None,
        )  # fmt: skip

    def image(self, data: bytes) -> None:
        """A picture over the whole page."""
        self._canvas.drawImage(ImageReader(BytesIO(data)), 0, 0, self.width * mm, self.height * mm)

    def turn(self) -> None:
        """Begin the next page."""
        self._canvas.showPage()

    def data(self) -> bytes:
        """The finished PDF."""
        self._canvas.save()
        return self._buffer.getvalue()


def width_of(text: str, font: str, size: float) -> float:
    """How wide a line of text is, in millimetres."""
    return float(stringWidth(text, font, size) / mm)

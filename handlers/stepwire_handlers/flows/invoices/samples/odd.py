"""What else lies in an invoice mailbox: files that are no readable invoice, each for its own reason.

In: a source of randomness and a bill to hide.  Out: the bytes of a file.
"""

from __future__ import annotations

from io import BytesIO
from random import Random

from stepwire_handlers.flows.invoices.samples.bill import Bill
from stepwire_handlers.flows.invoices.samples.paper import ITALIC, SERIF, Paper
from stepwire_handlers.flows.invoices.samples.sellers import BUYER

DISHES = (
    "Leek and potato soup", "Grilled mackerel, beetroot", "Mushroom risotto", "Lamb stew with barley",
    "Roast squash, feta, pine nuts", "Chicken and leek pie", "Lentil dal, flatbread", "Plum crumble",
    "Lemon posset", "Cheese, oatcakes, quince",
)  # fmt: skip
DPI = 110  #: a poor office scanner's


def unreadable(random: Random) -> bytes:
    """The head of a PDF and then noise: a download that broke off on a bad line."""
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + random.randbytes(2000 + random.randrange(2000))


def menu(random: Random) -> bytes:
    """A lunch menu: a perfectly good PDF with prices, and no invoice."""
    paper = Paper(148, 210)
    paper.text(74, 28, "The Quayside Canteen", size=20, font=SERIF, align="centre")
    paper.text(74, 37, f"Lunch, week {random.randint(36, 44)}", size=11, font=ITALIC, align="centre")
    for row, dish in enumerate(random.sample(DISHES, 6)):
        paper.text(20, 60 + 15 * row, dish, size=12, font=SERIF)
        paper.text(128, 60 + 15 * row, f"£{random.randint(5, 16)}.50", size=12, font=SERIF, align="right")
    paper.text(74, 170, f"Staff of {BUYER[0]} eat at half price.", size=9, font=ITALIC, align="centre")
    return paper.data()


def scanned(bill: Bill, random: Random) -> bytes:
    """An invoice that was printed and scanned: a picture of text, a little askew, and no text."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - comes with reportlab, in the same extra

    page = Image.new("L", (round(8.27 * DPI), round(11.69 * DPI)), 250)
    draw, y = ImageDraw.Draw(page), 60
    for line in _printed(bill):
        draw.text((70, y), line, fill=30, font=ImageFont.load_default(16))
        y += 24
    page = page.rotate(random.uniform(0.4, 1.2), fillcolor=250)
    noise = Image.frombytes("L", page.size, random.randbytes(page.width * page.height))
    buffer = BytesIO()
    Image.blend(page, noise, 0.06).save(buffer, "JPEG", quality=60)
    paper = Paper()
    paper.image(buffer.getvalue())
    return paper.data()


def _printed(bill: Bill) -> list[str]:
    """Plain letters only: the picture's font is Pillow's own."""
    shown = bill.notation
    return [
        bill.seller.name, *bill.seller.address, "", f"{shown.word('number')} {bill.number}",
        f"{shown.word('date')} {shown.date(bill.issued)}", "",
        *(f"{item.quantity} x {item.text}: {bill.money(item.amount)}" for item in bill.items), "",
        *(f"{label}: {bill.money(amount)}" for label, amount in bill.sums),
    ]  # fmt: skip

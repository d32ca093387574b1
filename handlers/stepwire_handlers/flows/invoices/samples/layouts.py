"""Ways to lay out an invoice that businesses use for goods: tables, boxes, cards and a till receipt.

In: a `Bill` and the paper's password, if any.  Out: a `Paper` that shows all of it in the sender's words.
    Together with `layouts_prose` they differ where readers of PDFs fail: labels left of their values, above
    them or inside a sentence; columns drawn one after the other instead of row by row; amounts before
    descriptions; totals at the top, in a box, or on the second page.
"""

from __future__ import annotations

from stepwire_handlers.flows.invoices.samples.bill import Bill
from stepwire_handlers.flows.invoices.samples.paper import BOLD, TYPED, TYPED_BOLD, Paper, width_of
from stepwire_handlers.flows.invoices.samples.sellers import BUYER


def ledger(bill: Bill, password: str | None) -> Paper:
    """US letter; labels left of their values at the right; a plain table with the totals below."""
    paper, word = Paper(216, 279, password), bill.notation.word
    paper.text(18, 24, bill.seller.name, size=15, font=BOLD)
    paper.lines(18, 31, (*bill.seller.address, f"{word('tax_id')} {bill.seller.tax_id}"))
    paper.text(198, 24, word("invoice").upper(), size=20, align="right", ink="#2f5d50")
    shown = [
        (word("number"), bill.number),
        (word("date"), bill.notation.date(bill.issued)),
        (word("due"), bill.notation.date(bill.due)),
        (word("total"), bill.money(bill.total)),
    ]
    for row, (label, value) in enumerate(shown):
        paper.text(158, 36 + 6 * row, label, align="right", ink="#777777")
        paper.text(198, 36 + 6 * row, value, align="right")
    paper.text(18, 66, word("to"), font=BOLD)
    paper.lines(18, 71, BUYER)
    paper.box(18, 96, 180, 8, fill="#2f5d50")
    for x, key in ((21, "item"), (120, "quantity"), (158, "price"), (195, "amount")):
        paper.text(x, 101.5, word(key), font=BOLD, align="left" if x == 21 else "right", ink="#ffffff")
    y = 111.0
    for item in bill.items:
        paper.text(21, y, item.text)
        paper.text(120, y, bill.notation.number(item.quantity), align="right")
        paper.text(158, y, bill.money(item.price), align="right")
        paper.text(195, y, bill.money(item.amount), align="right")
        paper.rule(18, y + 3, 198, y + 3, ink="#cccccc")
        y += 8
    for label, amount in bill.sums:
        y += 6
        paper.text(158, y, label, align="right", font=BOLD if amount == bill.total else "Helvetica")
        paper.text(195, y, bill.money(amount), align="right", font=BOLD)
    paper.text(18, 262, f"{word('thanks')} {bill.seller.bank}", size=8, ink="#777777")
    return paper


def grid(bill: Bill, password: str | None) -> Paper:
    """Everything in ruled cells; small labels above values; the totals are the table's last rows."""
    paper, word = Paper(password=password), bill.notation.word
    paper.text(105, 22, bill.seller.name, size=17, font=BOLD, align="centre")
    paper.text(105, 28, " · ".join(bill.seller.address), size=8.5, align="centre")
    paper.text(105, 42, word("invoice").upper(), size=13, align="centre")
    cells = (
        (word("number"), bill.number),
        (word("date"), bill.notation.date(bill.issued)),
        (word("due"), bill.notation.date(bill.due)),
        (word("tax_id"), bill.seller.tax_id),
    )
    for column, (label, value) in enumerate(cells):
        paper.box(15 + 45 * column, 48, 45, 13)
        paper.text(17 + 45 * column, 52, label, size=7)
        paper.text(17 + 45 * column, 58, value, size=10, font=BOLD)
    paper.box(105, 66, 90, 28)
    paper.text(107, 70, word("to"), size=7)
    paper.lines(107, 76, BUYER, size=9.5)
    edges = (15, 100, 118, 152, 195)
    y = 102.0
    head = tuple(word(key) for key in ("item", "quantity", "price", "amount"))
    rows = [head] + [
        (
            item.text,
            f"{bill.notation.number(item.quantity)} {item.unit}",
            bill.money(item.price),
            bill.money(item.amount),
        )
        for item in bill.items
    ]
    for number, row in enumerate(rows):
        for left, right, text in zip(edges, edges[1:], row, strict=False):
            paper.box(left, y, right - left, 8)
            aside = text is not row[0] and number > 0
            paper.text(
                right - 2 if aside else left + 2, y + 5.4, text, align="right" if aside else "left",
                font="Helvetica" if number else BOLD, size=8.5,
            )  # fmt: skip
        y += 8
    for label, amount in bill.sums:
        paper.box(118, y, 34, 8)
        paper.box(152, y, 43, 8)
        paper.text(120, y + 5.4, label, font=BOLD)
        paper.text(193, y + 5.4, bill.money(amount), align="right", font=BOLD)
        y += 8
    paper.lines(15, 275, (f"{word('please')} {bill.notation.date(bill.due)}", bill.seller.bank), size=8)
    return paper


def cards(bill: Bill, password: str | None) -> Paper:
    """Cards with labels above values, all labels drawn first; zebra rows; a totals box in the corner."""
    paper, word = Paper(password=password), bill.notation.word
    paper.text(20, 28, bill.seller.name, size=14, font=BOLD, ink="#0b3c5d")
    paper.lines(190, 22, bill.seller.address, size=8, align="right")
    values = (bill.number, bill.notation.date(bill.issued), bill.notation.date(bill.due))
    for column, key in enumerate(("number", "date", "due")):
        paper.box(20 + 58 * column, 44, 54, 18, fill="#e8eef3")
        paper.text(24 + 58 * column, 50, word(key), size=7.5, ink="#5c6f7d")
    for column, value in enumerate(values):
        paper.text(24 + 58 * column, 58, value, size=11, font=BOLD)
    paper.text(20, 76, word("to"), size=7.5, ink="#5c6f7d")
    paper.lines(20, 81, BUYER)
    y = 110.0
    for number, item in enumerate(bill.items):
        if number % 2 == 0:
            paper.box(20, y - 5, 170, 12, fill="#f4f6f8")
        paper.text(23, y, item.text, font=BOLD)
        paper.text(
            23, y + 4.5, f"{bill.notation.number(item.quantity)} {item.unit} @ {bill.money(item.price)}",
            size=8, ink="#5c6f7d",
        )  # fmt: skip
        paper.text(187, y + 2, bill.money(item.amount), align="right", size=10)
        y += 12
    sums = bill.sums
    paper.box(118, 228, 72, 34)
    for row, (label, _) in enumerate(sums):
        paper.text(122, 236 + 8 * row, label, size=9)
    for row, (_, amount) in enumerate(sums):
        paper.text(186, 236 + 8 * row, bill.money(amount), align="right", font=BOLD)
    paper.lines(20, 236, (word("bank"), *bill.seller.bank.split(", ")), size=8)
    paper.text(20, 260, f"{word('tax_id')} {bill.seller.tax_id}", size=8)
    return paper


def register(bill: Bill, password: str | None) -> Paper:
    """Landscape; many small cells; an article code and the tax rate in every row; totals in cells."""
    paper, word = Paper(297, 210, password), bill.notation.word

    def cell(x: float, y: float, width: float, label: str, value: str) -> None:
        paper.box(x, y, width, 10)
        paper.text(x + 1, y + 3, label.upper(), size=5)
        paper.text(x + 1, y + 8, value, size=8)

    paper.lines(10, 14, (bill.seller.name, *bill.seller.address), size=8, font=BOLD)
    paper.lines(180, 14, (word("to"), *BUYER), size=8)
    cell(10, 36, 60, word("number"), bill.number)
    cell(70, 36, 40, word("date"), bill.notation.date(bill.issued))
    cell(110, 36, 40, word("due"), bill.notation.date(bill.due))
    cell(150, 36, 60, word("tax_id"), bill.seller.tax_id)
    cell(210, 36, 77, word("bank"), bill.seller.bank.partition(",")[0])
    columns = (
        (11, "Cod."),
        (32, word("item")),
        (150, "UM"),
        (178, word("quantity")),
        (212, word("price")),
        (252, word("amount")),
        (285, word("tax")),
    )
    for x, label in columns:
        paper.text(x, 53, label, size=6.5, font=BOLD, align="right" if x > 160 else "left")
    paper.rule(10, 55, 287, 55)
    y = 60.0
    for number, item in enumerate(bill.items):
        row = (
            f"{len(item.text):02}{number + 11:03}", item.text, item.unit, bill.notation.number(item.quantity),
            bill.notation.number(item.price, 2), bill.notation.number(item.amount, 2),
            f"{bill.seller.tax_rate}",
        )  # fmt: skip
        for (x, _), text in zip(columns, row, strict=True):
            paper.text(x, y, text, size=7, align="right" if x > 160 else "left")
        y += 5
    cell(10, 180, 50, f"{word('tax')} %", bill.notation.number(bill.seller.tax_rate))
    cell(60, 180, 60, word("subtotal"), bill.money(bill.subtotal))
    cell(120, 180, 60, word("tax"), bill.money(bill.tax))
    paper.box(200, 178, 87, 14, fill="#dddddd")
    paper.text(202, 187, word("total"), size=9, font=BOLD)
    paper.text(285, 187, bill.money(bill.total), size=12, font=BOLD, align="right")
    return paper


def receipt(bill: Bill, password: str | None) -> Paper:
    """A till roll of 80 mm as long as it needs to be, in typewriter letters."""
    height = 96 + 9.0 * len(bill.items)
    paper, word = Paper(80, height, password), bill.notation.word
    paper.text(40, 9, bill.seller.name.upper(), size=10, font=TYPED_BOLD, align="centre")
    y = paper.lines(40, 14, bill.seller.address, size=7, font=TYPED, align="centre")
    y = paper.lines(40, y, [f"{word('tax_id')} {bill.seller.tax_id}"], size=7, font=TYPED, align="centre")
    paper.rule(4, y, 76, y, dashed=1)
    for label, value in (
        (word("number"), bill.number),
        (word("date"), bill.notation.date(bill.issued)),
        (word("to"), BUYER[0]),
    ):
        y += 4
        paper.text(4, y, f"{label}: {value}", size=7.5, font=TYPED)
    paper.rule(4, y + 2.5, 76, y + 2.5, dashed=1)
    y += 7
    for item in bill.items:
        paper.text(4, y, item.text, size=7.5, font=TYPED)
        paper.text(8, y + 3.5, f"{item.quantity} x {bill.money(item.price)}", size=7.5, font=TYPED)
        paper.text(76, y + 3.5, bill.money(item.amount), size=7.5, font=TYPED, align="right")
        y += 9
    paper.rule(4, y - 3, 76, y - 3, dashed=1)
    for label, amount in bill.sums:
        bold = amount == bill.total
        paper.text(4, y + 2, label, size=10 if bold else 7.5, font=TYPED_BOLD if bold else TYPED)
        paper.text(76, y + 2, bill.money(amount), size=10 if bold else 7.5, font=TYPED_BOLD, align="right")
        y += 5
    paper.text(4, y + 6, f"{word('please')} {bill.notation.date(bill.due)}", size=7.5, font=TYPED)
    paper.lines(4, y + 11, bill.seller.bank.split(", "), size=6.5, font=TYPED)
    return paper


def typed(bill: Bill, password: str | None) -> Paper:
    """A typewritten page without a single line: labels and values joined by leaders of dots."""
    paper, word = Paper(password=password), bill.notation.word

    def leader(y: float, label: str, value: str, right: float) -> None:
        room = right - 22 - width_of(f"{label} {value} ", TYPED, 10)
        dots = "." * max(3, int(room / width_of(".", TYPED, 10)))
        paper.text(22, y, f"{label} {dots} {value}", font=TYPED, size=10)

    y = paper.lines(22, 25, (bill.seller.name, *bill.seller.address), font=TYPED, size=10)
    y = paper.lines(22, y + 8, (f"{word('to')}:", *BUYER), font=TYPED, size=10)
    y = paper.lines(22, y + 8, (word("invoice").upper(),), font=TYPED_BOLD, size=12)
    for key, value in (
        ("number", bill.number),
        ("date", bill.notation.date(bill.issued)),
        ("due", bill.notation.date(bill.due)),
        ("tax_id", bill.seller.tax_id),
    ):
        leader(y + 3, word(key), value, 130)
        y += 5
    y += 12
    for item in bill.items:
        paper.text(22, y, item.text, font=TYPED, size=10)
        each = f"  {bill.notation.number(item.quantity)} {item.unit} x {bill.money(item.price)}"
        leader(y + 5, each, bill.money(item.amount), 188)
        y += 12
    for label, amount in bill.sums:
        y += 6
        leader(y, label, bill.money(amount), 188)
    paper.lines(22, 272, (f"{word('please')} {bill.notation.date(bill.due)}:", bill.seller.bank), font=TYPED)
    return paper

"""Ways to lay out an invoice beside tables and boxes: letters, columns, a sidebar, a long statement.

In: a `Bill` and the paper's password, if any.  Out: a `Paper` that shows all of it in the sender's words.
"""

from __future__ import annotations

from decimal import Decimal

from stepwire_handlers.flows.invoices.samples.bill import Bill, Item
from stepwire_handlers.flows.invoices.samples.paper import BOLD, ITALIC, SERIF, Paper
from stepwire_handlers.flows.invoices.samples.sellers import BUYER

PER_PAGE = 24  #: rows of a statement


def letter(bill: Bill, password: str | None) -> Paper:
    """A German business letter: address window, information block, subject, prose around a small table."""
    paper, word, seller = Paper(password=password), bill.notation.word, bill.seller
    paper.text(25, 49, " · ".join((seller.name, *seller.address[:2])), size=6.5)
    paper.lines(25, 56, BUYER, size=10.5)
    paper.lines(125, 52, (seller.name, *seller.address), size=9, font=BOLD)
    paper.lines(
        125,
        72,
        (
            f"{word('number')}: {bill.number}",
            f"{word('date')}: {bill.notation.date(bill.issued)}",
            f"{word('tax_id')}: {seller.tax_id}",
        ),
    )
    paper.text(25, 99, f"{word('invoice')} {bill.number}", size=11.5, font=BOLD)
    y = paper.prose(25, 108, 165, "Sehr geehrte Damen und Herren,")
    y = paper.prose(25, y + 2, 165, "für unsere Lieferungen und Leistungen erlauben wir uns zu berechnen:")
    y += 6
    paper.text(25, y, "Pos.", font=BOLD)
    for x, key in ((38, "item"), (132, "quantity"), (160, "price"), (190, "amount")):
        paper.text(x, y, word(key), font=BOLD, align="left" if x == 38 else "right")
    paper.rule(25, y + 2, 190, y + 2)
    for number, item in enumerate(bill.items, start=1):
        y += 7
        paper.text(25, y, str(number))
        paper.text(38, y, item.text)
        paper.text(132, y, f"{bill.notation.number(item.quantity)} {item.unit}", align="right")
        paper.text(160, y, bill.money(item.price), align="right")
        paper.text(190, y, bill.money(item.amount), align="right")
    paper.rule(25, y + 3, 190, y + 3)
    y += 3
    for label, amount in bill.sums:
        y += 6
        paper.text(132, y, label, font=BOLD if amount == bill.total else "Helvetica")
        paper.text(190, y, bill.money(amount), align="right", font=BOLD)
    y = paper.prose(25, y + 12, 165, f"{word('please')} {bill.notation.date(bill.due)}. {word('thanks')}")
    paper.prose(25, y + 4, 165, "Mit freundlichen Grüßen")
    paper.rule(25, 274, 190, 274)
    paper.lines(25, 279, seller.bank.split(", "), size=7)
    return paper


def columns(bill: Bill, password: str | None) -> Paper:
    """Two columns side by side: who, when and where on the left; what and how much on the right."""
    paper, word, seller = Paper(password=password), bill.notation.word, bill.seller
    paper.rule(80, 20, 80, 280, ink="#b04a2f")
    y = paper.lines(15, 26, (seller.name,), size=11.5, font=BOLD, ink="#b04a2f")
    y = paper.lines(15, y, (*seller.address, f"{word('tax_id')} {seller.tax_id}"), size=8)
    for label, value in (
        (word("number"), bill.number),
        (word("date"), bill.notation.date(bill.issued)),
        (word("due"), bill.notation.date(bill.due)),
    ):
        paper.text(15, y + 8, f"{label} {value}", size=9)
        y += 6
    y = paper.lines(15, y + 16, (word("to"),), size=8, font=BOLD)
    y = paper.lines(15, y, BUYER, size=8)
    paper.lines(15, y + 10, (word("bank"), *seller.bank.split(", ")), size=7)
    y = 26.0
    for item in bill.items:
        paper.text(88, y, item.text, size=10)
        each = f"{bill.notation.number(item.quantity)} {item.unit} × {bill.money(item.price)}"
        paper.text(88, y + 5, each, size=8, font=ITALIC)
        paper.text(196, y + 5, bill.money(item.amount), size=10, align="right")
        y += 14
    paper.rule(88, y - 4, 196, y - 4)
    for label, amount in bill.sums:
        paper.text(88, y + 4, label, size=10, font=BOLD if amount == bill.total else "Helvetica")
        paper.text(196, y + 4, bill.money(amount), size=10, font=BOLD, align="right")
        y += 7
    paper.text(88, y + 12, word("thanks"), size=9, font=ITALIC)
    return paper


def band(bill: Bill, password: str | None) -> Paper:
    """The total in a coloured band at the top, under its label; amounts come before what they are for."""
    paper, word, seller = Paper(password=password), bill.notation.word, bill.seller
    paper.box(0, 0, 210, 46, fill="#7a1f3d")
    paper.text(15, 20, seller.name, size=18, font=BOLD, ink="#ffffff")
    paper.lines(15, 28, seller.address, size=8, ink="#f0d9e0")
    paper.text(195, 20, word("total"), size=9, align="right", ink="#f0d9e0")
    paper.text(195, 31, bill.money(bill.total), size=20, font=BOLD, align="right", ink="#ffffff")
    shown = (
        (word("number"), bill.number),
        (word("date"), bill.notation.date(bill.issued)),
        (word("due"), bill.notation.date(bill.due)),
    )
    for column, (label, value) in enumerate(shown):
        paper.text(15 + 64 * column, 58, label, size=8, ink="#7a1f3d")
        paper.text(15 + 64 * column, 64, value, size=11)
    paper.text(15, 78, word("to"), size=8, ink="#7a1f3d")
    paper.lines(15, 83, BUYER)
    y = 112.0
    for item in bill.items:
        paper.text(48, y, bill.money(item.amount), align="right", font=BOLD)
        each = f"{bill.notation.number(item.quantity)} {item.unit} a {bill.money(item.price)}"
        paper.text(56, y, f"{item.text} ({each})")
        paper.rule(15, y + 3, 195, y + 3, ink="#e3c9d1")
        y += 9
    for label, amount in bill.sums:
        y += 6
        paper.text(48, y, bill.money(amount), align="right", font=BOLD)
        paper.text(56, y, label)
    paper.lines(15, 272, (f"{word('please')} {bill.notation.date(bill.due)}.", seller.bank), size=8)
    paper.text(15, 282, f"{word('tax_id')} {seller.tax_id}", size=8)
    return paper


def sidebar(bill: Bill, password: str | None) -> Paper:
    """Sender, buyer and dates in a dark sidebar, labels above values; items beside it; the total twice."""
    paper, word, seller = Paper(password=password), bill.notation.word, bill.seller
    paper.box(0, 0, 64, 297, fill="#16324f")
    y = paper.lines(8, 24, (seller.name,), size=15, font=BOLD, ink="#ffffff")
    y = paper.lines(8, y, (*seller.address, f"{word('tax_id')} {seller.tax_id}"), size=8, ink="#c8d6e5")
    for label, value in (
        (word("number"), (bill.number,)),
        (word("date"), (bill.notation.date(bill.issued),)),
        (word("due"), (bill.notation.date(bill.due),)),
        (word("to"), BUYER),
        (word("bank"), tuple(seller.bank.split(", "))),
    ):
        paper.text(8, y + 10, label.upper(), size=6.5, ink="#8fa8c4")
        y = paper.lines(8, y + 15, value, size=8, ink="#ffffff")
    paper.text(74, 30, f"{word('total')}: {bill.money(bill.total)}", size=17, ink="#16324f")
    y = 52.0
    for x, key in ((74, "item"), (150, "quantity"), (200, "amount")):
        paper.text(x, y, word(key), size=8, align="left" if x == 74 else "right", ink="#16324f")
    for item in bill.items:
        y += 9
        paper.text(74, y, item.text)
        paper.text(150, y, f"{bill.notation.number(item.quantity)} {item.unit}", align="right")
        paper.text(200, y, bill.money(item.amount), align="right")
    paper.rule(74, y + 5, 200, y + 5)
    y += 6
    for label, amount in bill.sums:
        y += 6
        paper.text(74, y, label)
        paper.text(200, y, bill.money(amount), align="right", font=BOLD)
    return paper


def prose(bill: Bill, password: str | None) -> Paper:
    """A friendly letter with no table: the number in the subject, the sums inside sentences."""
    paper, seller = Paper(password=password), bill.seller
    paper.lines(195, 25, (seller.name, *seller.address), size=10.5, font=SERIF, align="right")
    paper.lines(22, 48, BUYER, size=10.5, font=SERIF)
    paper.text(195, 72, bill.notation.date(bill.issued), size=10.5, font=SERIF, align="right")
    paper.text(22, 84, f"Re: {bill.notation.word('number')} {bill.number}", size=11.5, font="Times-Bold")
    y = paper.prose(22, 94, 166, "Dear all,")
    y = paper.prose(22, y + 3, 166, "It was a pleasure to have you. As agreed, we charge you for the following:")
    for item in bill.items:
        each = f"{bill.notation.number(item.quantity)} × {item.text}, at {bill.money(item.price)} each"
        y = paper.prose(28, y + 3, 160, f"— {each}, which makes {bill.money(item.amount)}.")
    y = paper.prose(
        22,
        y + 6,
        166,
        f"Before tax this comes to {bill.money(bill.subtotal)}. With {bill.tax_label} of "
        f"{bill.money(bill.tax)} the total due is {bill.money(bill.total)}, which we would be glad to "
        f"receive by {bill.notation.date(bill.due)}. Our account is with {seller.bank}.",
    )
    y = paper.prose(22, y + 5, 166, "Do come again, and mind the step on your way out next time.")
    paper.prose(22, y + 8, 166, f"Kind regards, {seller.name} (VAT no. {seller.tax_id})", font=ITALIC)
    return paper


def statement(bill: Bill, password: str | None) -> Paper:
    """More rows than a page holds: a heading on each, the sum carried forward, the total on the last."""
    paper, word = Paper(password=password), bill.notation.word
    pages = [bill.items[start : start + PER_PAGE] for start in range(0, len(bill.items), PER_PAGE)]
    carried = Decimal(0)
    for number, rows in enumerate(pages, start=1):
        y = _heading(paper, bill, f"{word('page')} {number} {word('of')} {len(pages)}")
        if number > 1:
            paper.text(20, y, word("carried"), font=ITALIC)
            paper.text(190, y, bill.money(carried), align="right", font=ITALIC)
            y += 7
        for item in rows:
            _reading(paper, bill, item, y)
            carried += item.amount
            y += 7
        if number < len(pages):
            paper.text(20, 272, word("carried"), font=ITALIC)
            paper.text(190, 272, bill.money(carried), align="right", font=ITALIC)
            paper.turn()
    paper.box(20, y + 2, 80, 28)
    for label, amount in bill.sums:
        y += 8
        paper.text(24, y, f"{label}:", font=BOLD if amount == bill.total else "Helvetica")
        paper.text(96, y, bill.money(amount), align="right", font=BOLD)
    paper.lines(20, 278, (f"{word('please')} {bill.notation.date(bill.due)}.", bill.seller.bank), size=8)
    return paper


def _heading(paper: Paper, bill: Bill, page: str) -> float:
    """What stands at the top of every page; returns the baseline of the first row."""
    word, seller = bill.notation.word, bill.seller
    paper.text(20, 18, seller.name, size=13, font=BOLD, ink="#005f73")
    paper.text(190, 18, page, align="right")
    paper.text(20, 24, ", ".join((*seller.address, f"{word('tax_id')} {seller.tax_id}")), size=7.5)
    paper.text(20, 36, f"{word('invoice')}   {word('number')} {bill.number}", size=11, font=BOLD)
    paper.text(190, 36, f"{word('date')} {bill.notation.date(bill.issued)}", align="right")
    paper.text(20, 44, f"{word('to')}: {', '.join(BUYER)}", size=8.5)
    paper.text(190, 44, f"{word('due')} {bill.notation.date(bill.due)}", align="right")
    for x, key in ((20, "item"), (120, "quantity"), (150, "price"), (190, "amount")):
        paper.text(x, 56, word(key), font=BOLD, align="left" if x == 20 else "right")
    paper.rule(20, 58, 190, 58)
    return 64.0


def _reading(paper: Paper, bill: Bill, item: Item, y: float) -> None:
    paper.text(20, y, item.text)
    paper.text(120, y, bill.notation.number(item.quantity), align="right")
    paper.text(150, y, bill.notation.number(item.price), align="right")
    paper.text(190, y, bill.money(item.amount), align="right")

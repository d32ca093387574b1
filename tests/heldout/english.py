"""Invoices in English: a software service's, a British one with VAT, a freelancer's letter, one in yen."""

from __future__ import annotations

from decimal import Decimal

from tests.heldout.bill import Bill, Case, Ware, summed
from tests.heldout.money import cents, day_month, english, percent, yen
from tests.heldout.paper import Paper

SEATS: tuple[Ware, ...] = (
    ("Business plan, per seat, monthly", 18, 39),
    ("Additional storage, 100 GB", 9, 25),
    ("Priority support add-on", 99, 250),
    ("API calls above allowance (per 10k)", 4, 12),
)
CATERING: tuple[Ware, ...] = (
    ("Buffet lunch per 10 covers", 145, 230),
    ("Hire of crockery and glassware", 38, 74),
    ("Serving staff, hours", 15, 19),
    ("Soft drinks, case", 11, 17),
    ("Delivery and collection", 25, 45),
)
PARTS: tuple[Ware, ...] = (
    ("Spindle bearing 7014C P4", 41000, 66000),
    ("Linear guide block HSR25", 9800, 14500),
    ("Coolant nozzle set", 3200, 5400),
    ("Servo coupling 28 mm", 12800, 19000),
    ("Inspection certificate", 5000, 8000),
    ("Export packing and freight", 18000, 36000),
)
US = "{m} {d}, {y}"


def saas(case: Case) -> Bill:
    """A software service's: the sum stands large on top; an old credit is used up in some."""
    vendor = case.rnd.choice(
        ("Plumeboard, Inc.", "Tidewrench Software LLC", "Quillhaven Inc.", "Nimbolt Technologies, Inc.")
    )
    paper, lines = Paper(size="letter"), case.sold(SEATS, 1, 4)
    _saas_head(paper, case, vendor)
    net = summed(lines)
    off = percent(net, "20") if case.maybe() else Decimal(0)
    tax = percent(net - off, "8.25")
    credit = Decimal("25.00") if case.maybe() and net > 60 else Decimal(0)
    gross = net - off + tax
    total = gross - credit
    paper.text(20, 95, f"${english(total)} USD due {day_month(case.later(30), 'en', US)}", size=15, style="B")
    columns = ((20, "L", "Description"), (120, "R", "Qty"), (155, "R", "Unit price"), (195, "R", "Amount"))
    rows = [(line.text, str(line.quantity), f"${english(line.price)}", f"${english(line.amount)}") for line in lines]
    y = paper.table(112, columns, rows)
    sums = [("Subtotal", f"${english(net)}")]
    if off:
        sums += [("NONPROFIT20 (20% off)", f"-${english(off)}"), ("Total excluding tax", f"${english(net - off)}")]
    sums += [
        (f"Sales tax - California (8.25% on ${english(net - off)})", f"${english(tax)}"),
        ("Total", f"${english(gross)}"),
    ]
    if credit:
        sums.append(("Applied balance", f"-${english(credit)}"))
    sums.append(("Amount due", f"${english(total)} USD"))
    paper.pairs(105, 195, y, sums, size=8.5, align="R", bold="Amount due")
    paper.text(20, 262, f"{case.number} · ${english(total)} USD due {day_month(case.later(30), 'en', US)}", size=7)
    paper.text(195, 262, "Page 1 of 1", size=7, align="R")
    return Bill("saas", paper.done(), vendor, case.number, case.day, "USD", total)


def _saas_head(paper: Paper, case: Case, vendor: str) -> None:
    paper.text(20, 24, "Invoice", size=20, style="B")
    paper.text(195, 24, vendor.partition(",")[0], size=14, style="B", align="R")
    facts = (
        ("Invoice number", case.number),
        ("Date of issue", day_month(case.day, "en", US)),
        ("Date due", day_month(case.later(30), "en", US)),
    )
    paper.pairs(20, 52, 34, facts, bold="Invoice number")
    paper.text(20, 58, vendor, style="B")
    paper.block(
        20,
        62.5,
        ("2261 Market Street #4040", "San Francisco, California 94114", "United States", "billing@example.com"),
    )
    paper.text(95, 58, "Bill to", style="B")
    paper.block(
        95,
        62.5,
        (
            "Harrow & Pine Architects",
            "Customer ID " + case.code("cus_N8#####"),
            "77 Congress Street",
            "Portland, ME 04101",
        ),
    )


def uk_vat(case: Case) -> Bill:
    """A caterer's: an analysis of VAT, the pound only as a sign, a discount for settling early."""
    vendor = case.rnd.choice(
        ("Marrowby Catering Ltd", "Thistle & Crumb Limited", "The Gilded Ladle Ltd", "Ashcombe Events Ltd")
    )
    paper, lines = Paper("times"), case.sold(CATERING, 3, 5)
    _uk_head(paper, case, vendor)
    columns = (
        (20, "L", "Qty"),
        (32, "L", "Details"),
        (120, "R", "Unit Price"),
        (145, "R", "Net"),
        (165, "R", "VAT %"),
        (190, "R", "VAT"),
    )
    taxes = [percent(line.amount, "20") for line in lines]
    rows = [
        (str(line.quantity), line.text, english(line.price), english(line.amount), "20.00", english(tax))
        for line, tax in zip(lines, taxes, strict=True)
    ]
    y = paper.table(90, columns, rows, size=10)
    net = summed(lines)
    vat = sum(taxes, Decimal(0))
    total = net + vat
    paper.text(20, y + 6, "VAT Analysis", size=8, style="B")
    paper.block(20, y + 10, ("Rate     Goods     VAT", f"20.00    {english(net)}    {english(vat)}"), size=8)
    sums = [
        ("Total Net Amount", f"£{english(net)}"),
        ("Carriage", "£0.00"),
        ("Total VAT", f"£{english(vat)}"),
        ("Invoice Total", f"£{english(total)}"),
    ]
    paper.pairs(125, 190, y + 6, sums, size=10, align="R", bold="Invoice Total")
    early = cents(total - net * Decimal("0.025"))
    settle = f"A settlement discount applies to accounts paid within 7 days: pay £{english(early)} by "
    bank = case.code("Sort code 20-##-##   Account ########")
    terms = (f"{settle}{case.later(7):%d/%m/%Y}.", "Otherwise payment is due within 30 days.", bank)
    paper.block(20, 258, terms, size=9)
    return Bill("uk_vat", paper.done(), vendor, case.number, case.day, "GBP", total)


def _uk_head(paper: Paper, case: Case, vendor: str) -> None:
    paper.text(105, 20, vendor, size=18, style="B", align="C")
    paper.text(105, 26, "Unit 6 Weavers Yard, Halifax HX1 5QG   Tel: 01422 555 0143", size=9, align="C")
    paper.text(105, 31, case.code("VAT Reg No: GB ### #### ##   Company Reg No: 0#######"), size=9, align="C")
    paper.text(190, 46, "VAT INVOICE", size=15, style="B", align="R")
    paper.block(
        20,
        52,
        ("Invoice to:", "Calder Valley Schools Trust", "Accounts Payable", "Skircoat Road", "Halifax HX3 0AB"),
        size=10,
    )
    facts = (
        ("Invoice No", case.number),
        ("Invoice/Tax Date", f"{case.day:%d/%m/%Y}"),
        ("Your Order No", case.code("PO00####")),
        ("Account No", case.code("CALD00#")),
    )
    paper.pairs(130, 164, 54, facts, size=10)


def letter(case: Case) -> Bill:
    """A freelancer's: what is owed and the number stand in sentences."""
    vendor = case.rnd.choice(("Imogen Tarrant", "Desmond Okoro-Hale", "Wren Aldersey", "Philippa Stroud"))
    paper, code, sign = Paper("times"), *case.rnd.choice((("GBP", "£"), ("USD", "$"), ("EUR", "€")))
    days, rate = case.rnd.randint(3, 14), Decimal(case.rnd.randrange(280, 620, 10))
    trips = cents(Decimal(str(case.rnd.uniform(24, 210))))
    fee = days * rate
    total = fee + trips
    paper.text(190, 24, vendor, size=13, style="B", align="R")
    paper.block(190, 30, ("Translator and editor", "3 Orchard Row, Ludlow", "+44 7700 900 417"), size=10, align="R")
    paper.block(20, 56, ("Ms Joan Harker", "Lanternhouse Press", "19 Quay Street", "Bristol"), size=11)
    paper.text(20, 86, day_month(case.day, "en"), size=11)
    paper.text(20, 98, "Dear Joan,", size=11)
    month, latest = day_month(case.later(-25), "en", "{m}"), day_month(case.later(30), "en")
    wage, cost, sum_, owed = (f"{sign}{english(amount)}" for amount in (rate, trips, fee, total))
    work = (
        f"Thank you again for the commission under your contract {case.code('LP-####')}. In {month} I worked {days} "
        f"days on the manuscript at the agreed {wage} a day, which makes {sum_}, and spent {cost} on two journeys, "
        "for which the tickets are enclosed."
    )
    account = case.code("account ########, sort code 30-##-##")
    asks = (
        f"Please accept this letter as my invoice no. {case.number} for a total of {owed}. No VAT is charged.",
        f"I therefore invoice you, under the number {case.number}, {owed} in all. No VAT is charged.",
        f"The total to pay comes to {owed}; my invoice number is {case.number}, please quote it. No VAT is charged.",
    )
    paid = f" Payment by {latest} to {account}, would be kind."
    y = paper.prose(20, 108, 165, work, size=11)
    y = paper.prose(20, y, 165, case.rnd.choice(asks) + paid, size=11)
    paper.block(20, y + 4, ("With best wishes,", "", vendor), size=11)
    return Bill("letter", paper.done(), vendor, case.number, case.day, code, total)


def japan(case: Case) -> Bill:
    """A machine-part maker's from Osaka: yen without decimals, the sum in a box above the goods."""
    vendor = case.rnd.choice(
        ("Kitahama Seiki Co., Ltd.", "Minowa Precision K.K.", "Tsukuda Works Co., Ltd.", "Hoshigaoka Kogyo K.K.")
    )
    paper, lines = Paper(), case.sold(PARTS, 3, 6)
    lines = [type(line)(line.text, line.quantity, line.price.quantize(Decimal(1))) for line in lines]
    paper.text(105, 22, "INVOICE", size=18, style="B", align="C")
    paper.block(20, 40, ("Messrs.", "Brennerwerk Tools GmbH", "Attn: Purchasing Dept."), size=10)
    registration = case.code("Registration No. T#############")
    paper.block(
        190,
        40,
        (vendor, "2-14-7 Kitahama, Chuo-ku", "Osaka 541-0041, Japan", "TEL +81-6-5550-0148", registration),
        align="R",
    )
    facts = (("Invoice No.", case.number), ("Issue Date", f"{case.day:%Y/%m/%d}"), ("P/O No.", case.code("45000#####")))
    paper.pairs(20, 46, 62, facts)
    net = summed(lines)
    tax = (net / 10).quantize(Decimal(1), "ROUND_DOWN")
    total = net + tax
    paper.shade(20, 84, 95, 12)
    paper.text(24, 92, "Amount Billed", size=11, style="B")
    paper.text(110, 92, f"¥{yen(total)} -", size=14, style="B", align="R")
    columns = (
        (20, "L", "No."),
        (32, "L", "Description"),
        (120, "R", "Q'ty"),
        (155, "R", "Unit Price (JPY)"),
        (190, "R", "Amount (JPY)"),
    )
    rows = [
        (str(at), line.text, str(line.quantity), yen(line.price), yen(line.amount)) for at, line in enumerate(lines, 1)
    ]
    y = paper.table(106, columns, rows)
    sums = (("Subtotal", yen(net)), ("Consumption Tax (10%)", yen(tax)), ("Grand Total", yen(total)))
    paper.pairs(130, 190, y, sums, align="R", bold="Grand Total")
    bank = (
        f"Please remit by {case.later(30):%Y/%m/%d} to:",
        case.code("Naniwa Bank, Kitahama Branch, Ordinary Account #######"),
    )
    paper.block(20, 262, (*bank, "Bank charges are borne by the remitter."), size=8)
    return Bill("japan", paper.done(), vendor, case.number, case.day, "JPY", total)

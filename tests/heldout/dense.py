"""Crowded bills: a hotel's with a line for every night, and an electricity bill with an old balance."""

from __future__ import annotations

from decimal import Decimal

from tests.heldout.bill import Bill, Case
from tests.heldout.money import cents, english, german, percent
from tests.heldout.paper import Pairs, Paper


def hotel(case: Case) -> Bill:
    """An Austrian hotel's in two languages: a date on every line, a deposit in some."""
    vendor = case.rnd.choice(
        ("Hotel Steinbachhof", "Seehotel Grundner GmbH", "Pension Alpenglöckl", "Hotel Zur Lerche KG")
    )
    paper, nights = Paper("vera"), case.rnd.randint(2, 6)
    _hotel_head(paper, case, vendor, nights)
    room, levy = Decimal(case.rnd.randrange(88, 210)), Decimal("2.40")
    rows = [
        (f"{case.later(at - nights):%d.%m.}", text, german(price))
        for at in range(nights)
        for text, price in (("Logis mit Frühstück / Room, breakfast", room), ("Ortstaxe / City tax", levy))
    ]
    bar = cents(Decimal(str(case.rnd.uniform(9, 84))))
    rows.append((f"{case.later(-1):%d.%m.}", "Restaurant", german(bar)))
    y = paper.table(84, ((20, "L", "Datum"), (40, "L", "Leistung / Service"), (190, "R", "EUR")), rows, size=8)
    gross = nights * (room + levy) + bar
    total = gross
    sums = [("Gesamt / Total EUR", german(gross))]
    if case.maybe():
        deposit = Decimal(case.rnd.randrange(50, 150, 10))
        total -= deposit
        sums += [
            ("Anzahlung / Deposit received", f"-{german(deposit)}"),
            ("Offener Betrag / Balance due EUR", german(total)),
        ]
    y = paper.pairs(100, 190, y, sums, align="R", bold=sums[-1][0])
    for label, base, rate in (("Logis", nights * room, "10"), ("Speisen, Getränke", bar, "20")):
        net = cents(base / (1 + Decimal(rate) / 100))
        tax = f"{label}: Netto {german(net)}  MwSt. {rate} % {german(base - net)}  Brutto {german(base)}"
        paper.text(20, y + 6, tax, size=7)
        y += 4
    paper.text(105, 285, case.code("IBAN AT## 2032 0### #### ####") + " · FN 55501k LG Wels", size=7, align="C")
    return Bill("hotel", paper.done(), vendor, case.number, case.day, "EUR", total)


def _hotel_head(paper: Paper, case: Case, vendor: str, nights: int) -> None:
    paper.text(105, 20, vendor, size=15, style="B", align="C")
    tax_id = case.code("UID ATU########")
    paper.text(105, 26, f"Uferpromenade 5 · A-4810 Gmunden · +43 7612 5550 · {tax_id}", size=7.5, align="C")
    paper.block(20, 44, ("Mr Alasdair Munro", "Munro Survey Ltd", "14 Bernard Street", "Leith EH6 6PW"), size=9)
    facts = (
        ("Rechnung Nr. / Invoice no.", case.number),
        ("Datum / Date", f"{case.day:%d.%m.%Y}"),
        ("Zimmer / Room", case.code("2##")),
        ("Anreise / Arrival", f"{case.later(-nights):%d.%m.%Y}"),
        ("Abreise / Departure", f"{case.day:%d.%m.%Y}"),
        ("Buchung / Booking", case.code("88#######")),
    )
    paper.pairs(115, 165, 44, facts, size=8)


def utility(case: Case) -> Bill:
    """An Australian electricity bill: two columns, meters, tariffs, last year's use, an old balance."""
    vendor = case.rnd.choice(
        (
            "Corella Energy Retail Pty Ltd",
            "Banksia Power Pty Ltd",
            "Southern Gull Energy Ltd",
            "Wattlebird Electricity Pty Ltd",
        )
    )
    paper = Paper()
    used, offpeak = case.rnd.randrange(380, 1400), case.rnd.randrange(90, 600)
    charges = [
        ("Peak usage", used, "0.3124"),
        ("Controlled load", offpeak, "0.1876"),
        ("Supply charge (days)", 91, "1.0450"),
    ]
    amounts = [cents(quantity * Decimal(price)) for _, quantity, price in charges]
    net = sum(amounts, Decimal(0))
    gst, before = percent(net, "10"), cents(Decimal(str(case.rnd.uniform(180, 420))))
    paid = before if case.maybe() else Decimal(int(before) - 60)
    total = before - paid + net + gst
    _utility_head(paper, case, vendor)
    _box(paper, case, total)
    account = [
        ("Previous balance", f"${english(before)}"),
        (f"Payment received {case.later(-40):%d %b}, thank you", f"-${english(paid)}"),
        ("Balance brought forward", f"${english(before - paid)}"),
        ("New charges (see below)", f"${english(net)}"),
        ("GST 10%", f"${english(gst)}"),
        ("Total amount due (AUD)", f"${english(total)}"),
    ]
    paper.text(15, 88, "Your account at a glance", size=9, style="B")
    paper.pairs(15, 105, 94, account, size=7.5, align="R", bold="Total amount due (AUD)")
    priced = zip(charges, amounts, strict=True)
    parts = [(f"{label}  {quantity:,} @ ${price}", f"${english(cost)}") for (label, quantity, price), cost in priced]
    _meters(paper, case, parts)
    biller = case.code("BPAY  Biller code 55###  Ref 7### ### ### #")
    foot = (biller, "Late payment fee $16.00 incl. GST", "All amounts are in Australian dollars.")
    paper.block(15, 262, foot, size=7)
    return Bill("utility", paper.done(), vendor, case.number, case.day, "AUD", total)


def _utility_head(paper: Paper, case: Case, vendor: str) -> None:
    paper.text(15, 18, vendor, size=14, style="B")
    contact = ("GPO Box 5550, Hobart TAS 7001", "Faults 13 55 50 (24 h)   Enquiries 1300 555 018")
    paper.block(15, 23, (case.code("ABN ## ### ### ###"), *contact), size=7)
    paper.text(195, 18, "Tax invoice", size=14, style="B", align="R")
    facts = (
        ("Account number", case.code("7## ### ###")),
        ("Tax invoice number", case.number),
        ("Issue date", f"{case.day:%d %b %Y}"),
        ("NMI", case.code("8000######")),
        ("Billing period", f"{case.later(-94):%d %b %Y} - {case.later(-3):%d %b %Y}"),
        ("Next reading", f"{case.later(88):%d %b %Y}"),
    )
    paper.pairs(120, 158, 27, facts, size=7.5)
    paper.block(15, 48, ("Mrs D Pascoe and Mr L Pascoe", "22 Swanport Road", "SORELL TAS 7172"), size=9)


def _box(paper: Paper, case: Case, total: Decimal) -> None:
    paper.shade(118, 56, 77, 24)
    paper.text(122, 62, "Amount due", size=9)
    paper.text(191, 63, f"${english(total)}", size=16, style="B", align="R")
    paper.text(122, 70, f"Due date {case.later(21):%d %b %Y}", size=9)
    paper.text(122, 76, "Direct debit saves you $12.50 a quarter", size=7)


def _meters(paper: Paper, case: Case, charges: Pairs) -> None:
    paper.text(118, 88, "How you used energy (kWh per day)", size=9, style="B")
    for at, month in enumerate(("Mar", "Jun", "Sep", "Dec", "now")):
        use = case.rnd.uniform(6, 19)
        paper.shade(120 + at * 15, 120 - use, 8, use)
        paper.text(124 + at * 15, 119 - use, f"{use:.1f}", size=6, align="C")
        paper.text(124 + at * 15, 124, month, size=6, align="C")
    paper.text(15, 138, "New charges", size=9, style="B")
    paper.pairs(15, 195, 144, charges, size=7.5, align="R")
    start = case.rnd.randrange(20000, 60000)
    rows = [
        (case.code("E1######"), "General", f"{start}", f"{start + 914}"),
        (case.code("E1######"), "Off-peak", f"{start + 77}", f"{start + 391}"),
    ]
    paper.table(
        176, ((15, "L", "Meter"), (50, "L", "Register"), (100, "R", "Previous"), (130, "R", "Current")), rows, size=7
    )
    words = (
        "Concession holders may be entitled to a discount on their supply charge. Estimated readings are marked with "
        "an E. If you cannot pay this bill by the due date, please talk to us before it, we can offer instalments."
    )
    paper.prose(15, 205, 180, words, size=7)

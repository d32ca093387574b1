"""Invoices in German: a craftsman's, a wholesaler's over two pages, and a Swiss one with its payment slip."""

from __future__ import annotations

from decimal import Decimal

from tests.heldout.bill import Bill, Case, Line, Ware, summed
from tests.heldout.money import day_month, german, percent, slip, swiss
from tests.heldout.paper import Paper

PAINTING: tuple[Ware, ...] = (
    ("Wandflächen spachteln und schleifen", 14, 22),
    ("Dispersionsanstrich, zweimalig, weiß", 9, 13),
    ("Türzargen lackieren, seidenmatt", 68, 95),
    ("Raufaser entfernen und entsorgen", 6, 9),
    ("Abdeckarbeiten, pauschal", 120, 260),
    ("An- und Abfahrt", 35, 60),
    ("Gerüststellung bis 4 m Höhe", 340, 520),
)
CABLES: tuple[Ware, ...] = tuple(
    (text, price, price * 1.6)
    for text, price in (
        ("NYM-J 3x1,5 Ring 100 m", 61.0),
        ("NYM-J 5x2,5 Ring 50 m", 98.0),
        ("FI/LS-Schalter B16 30mA", 27.5),
        ("Verteiler AP 3-reihig IP65", 84.0),
        ("Abzweigdose 80x80", 1.9),
        ("LED-Panel 62x62 36W 4000K", 44.0),
        ("Schuko-Steckdose reinweiß", 3.4),
        ("Kabelkanal 60x40 2m", 7.2),
        ("Bewegungsmelder 180° UP", 33.0),
        ("Reihenklemme 4 mm² grau", 0.9),
        ("Hutschiene 35 mm 2m", 8.8),
        ("Überspannungsableiter Typ 2", 139.0),
        ("Wechselschalter Einsatz", 4.6),
        ("Rauchwarnmelder Q 10 Jahre", 19.9),
        ("Erdungsschelle 8-22", 2.3),
        ("CEE-Stecker 16A 5-polig", 6.7),
    )
)
METAL: tuple[Ware, ...] = (
    ("Geländer Chromstahl, 4.20 m", 1450, 2100),
    ("Montage vor Ort, Std.", 112, 128),
    ("Handlauf gebürstet", 260, 410),
    ("Glasfüllung VSG 12 mm", 380, 620),
    ("Transportpauschale", 90, 140),
)


def handwerk(case: Case) -> Bill:
    """A painter's: letterhead, window address, advance paid in some, a discount for paying early."""
    vendor = case.rnd.choice(
        ("Malerbetrieb Sandkuhl GmbH", "Fritz Öhlenbrock Malermeister", "Raumwerk Ziegeler & Sohn", "Farbhof Türk e.K.")
    )
    paper, lines = Paper(), case.sold(PAINTING, 3, 6)
    _letterhead(paper, case, vendor)
    columns = (
        (20, "L", "Pos."),
        (32, "L", "Bezeichnung"),
        (118, "R", "Menge"),
        (155, "R", "E-Preis"),
        (190, "R", "G-Preis"),
    )
    rows = [
        (f"{at:02}", line.text, str(line.quantity), german(line.price), german(line.amount))
        for at, line in enumerate(lines, 1)
    ]
    y = paper.table(118, columns, rows)
    gross, sums = _german_sums(case, summed(lines))
    total = gross
    if case.maybe():
        advance = Decimal(int(gross * case.rnd.randrange(2, 6)) // 10)
        total -= advance
        sums += [
            ("Gesamtbetrag", f"{german(gross)} €"),
            (f"abzgl. Abschlagszahlung vom {case.later(-20):%d.%m.%Y}", f"-{german(advance)} €"),
            ("Noch zu zahlen", f"{german(total)} €"),
        ]
    else:
        sums.append(("Gesamtbetrag", f"{german(gross)} €"))
    y = paper.pairs(110, 190, y, sums, align="R", bold=sums[-1][0])
    wages, early = percent(gross, "61"), percent(total, "98")
    paper.prose(
        20, y + 8, 165, f"Im Betrag sind Lohnkosten in Höhe von {german(wages)} € enthalten (§ 35a EStG).", size=9
    )
    soon, latest = f"{case.later(7):%d.%m.%Y}", f"{case.later(14):%d.%m.%Y}"
    terms = f"Zahlbar bis {latest} ohne Abzug, bis {soon} mit 2 % Skonto ({german(early)} €)."
    paper.prose(20, y + 15, 165, terms, size=9)
    return Bill("handwerk", paper.done(), vendor, case.number, case.day, "EUR", total)


def _german_sums(case: Case, goods: Decimal) -> tuple[Decimal, list[tuple[str, str]]]:
    sums = [("Summe netto", f"{german(goods)} €")]
    if case.maybe():
        discount = percent(goods, "5")
        goods -= discount
        sums += [("abzgl. 5 % Nachlass", f"-{german(discount)} €"), ("Zwischensumme", f"{german(goods)} €")]
    vat = percent(goods, "19")
    return goods + vat, [*sums, ("zzgl. 19 % MwSt.", f"{german(vat)} €")]


def _letterhead(paper: Paper, case: Case, vendor: str) -> None:
    paper.text(190, 22, vendor, size=17, style="B", align="R")
    contact = (
        "Lindenweg 4 · 83022 Rosenheim",
        "Tel. 08031 / 55 01 74 · Mobil 0170 555 01 74",
        "post@maler-muster.example",
    )
    paper.block(190, 29, contact, size=8, align="R")
    paper.text(20, 52, f"{vendor} · Lindenweg 4 · 83022 Rosenheim", size=6.5)
    paper.block(
        20, 58, ("Hausverwaltung Prien & Partner GmbH", "Frau Ines Prien", "Seestraße 18", "83209 Prien"), size=10
    )
    facts = [("Kunden-Nr.:", case.code("10###")), ("Auftrag:", case.code("A-26-####")), ("Bearbeiter:", "M. Kuhn")]
    dates = [("Datum:", f"{case.day:%d.%m.%Y}"), ("Ausführung:", f"KW {case.later(-6):%V}/{case.later(-6):%G}")]
    if case.maybe():
        paper.pairs(135, 162, 60, [("Rechnungs-Nr.:", case.number), *facts, *dates])
        paper.text(20, 98, "Rechnung", size=14, style="B")
    else:
        paper.pairs(135, 162, 60, [*facts, *dates])
        paper.text(20, 98, f"Rechnung Nr. {case.number}", size=14, style="B")
    paper.text(20, 107, "Sehr geehrte Frau Prien, für die ausgeführten Arbeiten berechnen wir Ihnen:")
    bank = ("Volkskasse Chiemgau", case.code("IBAN DE## 7115 #### #### #### ##"), "BIC CHGAUDE1XXX")
    for x, lines in (
        (20, bank),
        (85, (case.code("USt-IdNr. DE#########"), case.code("St.-Nr. 156/###/#####"))),
        (145, ("Handwerkskammer München", case.code("Betriebs-Nr. ######"))),
    ):
        paper.block(x, 279, lines, size=7)


def wholesale(case: Case) -> Bill:
    """A wholesaler's print-out over two pages: labels above their values, sums carried forward."""
    vendor = case.rnd.choice(
        (
            "Ohmtec Elektrogroßhandel GmbH",
            "Kabelkontor Wesermünde KG",
            "Rehbock Elektro AG",
            "Dorn & Quast Großhandel GmbH",
        )
    )
    paper, lines = Paper("courier"), case.sold(CABLES, 13, 16)
    head = [
        (20.0, "Rechnungs-Nr.", case.number),
        (62.0, "Kunden-Nr.", case.code("2#####")),
        (94.0, "Auftrags-Nr.", case.code("40######")),
        (130.0, "Datum", f"{case.day:%d.%m.%y}"),
    ]
    carried, cut = Decimal(0), 9
    for page, part in enumerate((lines[:cut], lines[cut:]), 1):
        if page > 1:
            paper.pdf.add_page()
        paper.text(20, 20, vendor, size=13, style="B")
        paper.block(20, 26, ("Hafenstraße 77, 27576 Bremerhaven", "Telefon 0471/555-0  Telefax 0471/555-199"), size=8)
        if page == 1:
            paper.block(20, 46, ("Elektro Jansen", "Inh. Wiebke Jansen", "Deichweg 3", "26919 Brake"), size=10)
        paper.text(20, 78, "R E C H N U N G", size=14, style="B")
        paper.heads(86, [*head, (168.0, "Seite", f"{page} von 2")], size=9)
        y = _wares(paper, case, part, carried)
        carried += summed(part)
        if page == 1:
            paper.pairs(110, 190, y, [("Übertrag", german(carried))], align="R")
    freight = Decimal("8.90")
    vat = percent(carried + freight, "19")
    total = carried + freight + vat
    sums = (("Warenwert", carried), ("Fracht", freight), ("Netto", carried + freight), ("MwSt 19%", vat))
    cells = [(20.0 + 34 * at, label, german(value)) for at, (label, value) in enumerate(sums)]
    y = paper.heads(y + 4, [*cells, (158.0, "Rechnungsbetrag EUR", german(total))], size=9)
    foot = ("Lieferschein 83######", "Unterweserbank IBAN DE## 2924 #### #### #### ##", "USt-ID DE#########")
    due = f"Zahlung: 30 Tage netto, fällig {case.later(30):%d.%m.%y}"
    paper.block(20, y + 6, (due, *map(case.code, foot)), size=8)
    return Bill("wholesale", paper.done(), vendor, case.number, case.day, "EUR", total)


def _wares(paper: Paper, case: Case, lines: list[Line], carried: Decimal) -> float:
    columns = (
        (20, "L", "Artikel"),
        (46, "L", "Bezeichnung"),
        (128, "R", "Menge"),
        (158, "R", "Preis"),
        (190, "R", "Betrag"),
    )
    rows = [
        (case.code("##-####"), line.text, f"{line.quantity} ST", german(line.price), german(line.amount))
        for line in lines
    ]
    if carried:
        rows.insert(0, ("", "Übertrag", "", "", german(carried)))
    return paper.table(104, columns, rows, size=8.5)


def schweiz(case: Case) -> Bill:
    """A metal worker's in francs, rounded to five centimes, with the payment slip below."""
    vendor = case.rnd.choice(
        ("Berchtold Metallbau AG", "Schlosserei Gut + Nägeli", "Aebischer Stahl GmbH", "Toggi Metall AG")
    )
    paper, lines = Paper("vera"), case.sold(METAL, 2, 5)
    paper.text(20, 22, vendor, size=15, style="B")
    uid = case.code("CHE-###.###.### MWST")
    paper.block(20, 28, ("Industriestrasse 9", "8610 Uster", "044 555 07 30", uid), size=8)
    paper.block(120, 48, ("Genossenschaft Sonnhalde", "Herr Reto Wyss", "Rebweg 21", "8630 Rüti ZH"), size=9)
    paper.text(20, 78, "Rechnung", size=13, style="B")
    facts = [
        ("Rechnungsnummer", case.number),
        ("Rechnungsdatum", day_month(case.day, "de", "{d}. {m} {y}")),
        ("Ihre Bestellung", case.code("4500######")),
        ("Kundennummer", case.code("7####")),
        ("Zahlbar bis", day_month(case.later(30), "de", "{d}. {m} {y}")),
    ]
    paper.pairs(20, 60, 85, facts, size=8.5)
    columns = ((20, "L", "Leistung"), (115, "R", "Anzahl"), (150, "R", "Ansatz"), (190, "R", "CHF"))
    rows = [(line.text, str(line.quantity), swiss(line.price), swiss(line.amount)) for line in lines]
    y = paper.table(116, columns, rows, size=8.5)
    net = summed(lines)
    vat = percent(net, "8.1")
    total = (((net + vat) * 20).quantize(Decimal(1)) / 20).quantize(Decimal("0.01"))
    sums = [
        ("Zwischentotal", swiss(net)),
        (f"MWST 8.1 % von {swiss(net)}", swiss(vat)),
        ("Rundung", f"{total - net - vat:.2f}"),
        ("Total CHF", swiss(total)),
    ]
    paper.pairs(110, 190, y, sums, align="R", bold="Total CHF")
    _slip(paper, case, vendor, total)
    return Bill("schweiz", paper.done(), vendor, case.number, case.day, "CHF", total)


def _slip(paper: Paper, case: Case, vendor: str, total: Decimal) -> None:
    paper.rule(192, 0, 210)
    account = (case.code("CH## 3000 ###1 #### #### #"), vendor, "Industriestrasse 9", "8610 Uster")
    reference = case.code("21 ##### ##### ##### ##### #####")
    debtor = ("Genossenschaft Sonnhalde", "Rebweg 21", "8630 Rüti ZH")
    for x, title, size in ((8, "Empfangsschein", 7.0), (70, "Zahlteil", 8.0)):
        paper.text(x, 200, title, size=10, style="B")
        right = x if x < 20 else 122
        y = paper.block(right, 208, ("Konto / Zahlbar an", *account), size=size)
        y = paper.block(right, y + 3, ("Referenz", reference), size=size)
        paper.block(right, y + 3, ("Zahlbar durch", *debtor), size=size)
        paper.pairs(x, x + 18, 265, [("Währung", "Betrag"), ("CHF", slip(total))], size=size)
    paper.text(30, 285, "Annahmestelle", size=6, style="B")
    paper.pdf.set_fill_color(0, 0, 0)
    for row in range(20):
        for column in range(20):
            if case.maybe():
                paper.pdf.rect(70 + column * 2, 207 + row * 2, 2, 2, style="F")

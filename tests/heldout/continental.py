"""Invoices in French, Spanish, Italian and Dutch."""

from __future__ import annotations

from decimal import Decimal

from tests.heldout.bill import Bill, Case, Ware, summed
from tests.heldout.money import day_month, french, german, percent
from tests.heldout.paper import Paper

JOINERY: tuple[Ware, ...] = (
    ("Dépose de l'ancien revêtement", 180, 420),
    ("Parquet chêne contrecollé, m²", 52, 78),
    ("Plinthes assorties, ml", 6, 11),
    ("Pose et finitions", 380, 940),
    ("Évacuation des gravats", 90, 150),
)
DESIGN: tuple[Ware, ...] = (
    ("Diseño de identidad corporativa", 700, 1900),
    ("Maquetación de catálogo, por página", 28, 44),
    ("Sesión fotográfica (media jornada)", 240, 390),
    ("Ilustraciones a medida", 95, 180),
)
TILES: tuple[Ware, ...] = (
    ("Piastrelle gres 60x60 rett. grigio", 19, 34),
    ("Collante C2TE sacco 25 kg", 13, 18),
    ("Profilo inox mt 2,70", 9, 15),
    ("Stucco epossidico kg 5", 38, 52),
    ("Trasporto a mezzo vettore", 45, 80),
)
GARDEN: tuple[Ware, ...] = (
    ("Snoeien haagbeuk incl. afvoer", 180, 340),
    ("Leveren en leggen graszoden, m2", 7, 12),
    ("Arbeidsuren hovenier", 44, 52),
    ("Tuinhout geïmpregneerd", 65, 140),
    ("Voorrijkosten", 25, 38),
)


def facture(case: Case) -> Bill:
    """A joiner's: two rates of TVA, sums without and with tax, an advance in some."""
    vendor = case.rnd.choice(
        ("Menuiserie Vasselin SARL", "Atelier Courtepaille", "Boiseries du Gier SAS", "Ets Maronnier")
    )
    paper, lines = Paper("times"), case.sold(JOINERY, 3, 5)
    paper.text(20, 22, vendor.upper(), size=15, style="B")
    ids = (case.code("SIRET ### ### ### 00021 - APE 4332A"), case.code("TVA intracom. FR## #########"))
    paper.block(20, 28, ("27, chemin des Tuileries", "42800 Rive-de-Gier", "Tél. 04 77 55 01 92", *ids), size=9)
    paper.block(
        125,
        52,
        ("Cabinet Delorme et Associés", "À l'attention de Mme Rouvier", "8, place Carnot", "69002 LYON"),
        size=10,
    )
    paper.text(20, 82, f"FACTURE N° {case.number}", size=14, style="B")
    paper.text(20, 89, f"Rive-de-Gier, le {day_month(case.day, 'fr')}", size=10)
    facts = (
        ("Code client", case.code("C0####")),
        ("Devis n°", case.code("D26-###")),
        ("Échéance", f"{case.later(30):%d/%m/%Y}"),
    )
    paper.pairs(125, 150, 82, facts, size=9.5)
    columns = (
        (20, "L", "Désignation"),
        (104, "R", "Qté"),
        (130, "R", "P.U. HT"),
        (148, "R", "TVA"),
        (190, "R", "Montant HT"),
    )
    rates = ["10", *case.rnd.choices(("10", "20"), k=len(lines) - 2), "20"]
    rows = [
        (line.text, str(line.quantity), french(line.price), f"{rate} %", french(line.amount))
        for line, rate in zip(lines, rates, strict=True)
    ]
    y = paper.table(108, columns, rows, size=10)
    bases = {at: summed([line for line, rate in zip(lines, rates, strict=True) if rate == at]) for at in ("10", "20")}
    sums = [("Total HT", f"{french(summed(lines))} €")]
    sums += [(f"TVA {at} % sur {french(base)} €", f"{french(percent(base, at))} €") for at, base in bases.items()]
    total = summed(lines) + sum(percent(base, at) for at, base in bases.items())
    sums.append(("Total TTC", f"{french(total)} €"))
    if case.maybe():
        advance = Decimal(int(total) // 3)
        total -= advance
        sums += [(f"Acompte versé le {case.later(-30):%d/%m/%Y}", f"- {french(advance)} €")]
        sums += [("Reste à payer", f"{french(total)} €")]
    paper.pairs(115, 190, y, sums, size=10, align="R", bold=sums[-1][0])
    late = "Pénalités de retard : 3 fois le taux légal. Indemnité forfaitaire pour frais de recouvrement : 40,00 €."
    paper.block(20, 268, (late, case.code("IBAN FR76 #### #### #### #### #### ###   BIC GIERFRPPXXX")), size=8)
    return Bill("facture", paper.done(), vendor, case.number, case.day, "EUR", total)


def factura(case: Case) -> Bill:
    """A self-employed designer's: VAT is added, income tax withheld."""
    vendor = case.rnd.choice(
        ("Lucía Berrocal Estudio Gráfico", "Taller Nispero", "Estudio Cantalejo S.L.", "Marcos Urrutia Diseño")
    )
    paper, lines = Paper("vera"), case.sold(DESIGN, 2, 4)
    paper.shade(0, 0, 210, 36)
    paper.text(20, 17, "FACTURA", size=20, style="B")
    paper.text(190, 15, vendor, size=11, style="B", align="R")
    nif = case.code("NIF ########") + case.rnd.choice("BHJKLZ")
    paper.block(190, 20, (nif, "C/ Almirante Lobo 14, 2º B", "41001 Sevilla"), size=7.5, align="R")
    client = (
        "Cliente",
        "Bodegas Villar del Saz, S.A.",
        case.code("CIF A########"),
        "Ctra. de Jerez km 4",
        "11540 Sanlúcar",
    )
    paper.block(120, 48, client, size=8.5)
    facts = (
        ("Factura nº:", case.number),
        ("Fecha de emisión:", f"{case.day:%d/%m/%Y}"),
        ("Su pedido:", case.code("PC-####/26")),
        ("Vencimiento:", f"{case.later(30):%d/%m/%Y}"),
    )
    paper.pairs(20, 58, 48, facts, size=8.5)
    columns = ((20, "L", "Concepto"), (120, "R", "Uds."), (152, "R", "Precio"), (190, "R", "Importe"))
    rows = [(line.text, str(line.quantity), f"{german(line.price)} €", f"{german(line.amount)} €") for line in lines]
    y = paper.table(86, columns, rows, size=8.5)
    base = summed(lines)
    vat, withheld = percent(base, "21"), percent(base, "15")
    total = base + vat - withheld
    sums = (
        ("Base imponible", f"{german(base)} €"),
        ("IVA 21 %", f"{german(vat)} €"),
        ("Retención IRPF 15 %", f"-{german(withheld)} €"),
        ("TOTAL A PAGAR", f"{german(total)} €"),
    )
    paper.pairs(115, 190, y, sums, align="R", bold="TOTAL A PAGAR")
    paper.block(
        20,
        262,
        ("Forma de pago: transferencia bancaria", case.code("ES## #### #### ## ##########"), "Tel. 954 55 50 17"),
        size=8,
    )
    return Bill("factura", paper.done(), vendor, case.number, case.day, "EUR", total)


def fattura(case: Case) -> Bill:
    """A merchant's: boxes with labels above their values, and payment in two instalments."""
    vendor = case.rnd.choice(
        ("Ceramiche Baldisserri S.r.l.", "Edilforniture Gozzano snc", "Tognana Posa S.p.A.", "F.lli Marchesan")
    )
    paper, lines = Paper(), case.sold(TILES, 3, 5)
    paper.text(20, 20, vendor, size=14, style="B")
    tax = case.code("P.IVA e C.F. ###########")
    paper.block(
        20,
        26,
        ("Via dell'Artigianato, 31 - 41049 Sassuolo (MO)", tax, "Tel. 0536 555 018 - Cap. soc. € 50.000,00 i.v."),
        size=8,
    )
    paper.block(120, 48, ("Spett.le", "Impresa Costruzioni Ferraris", "Via Po 118", "10124 Torino TO"), size=10)
    paper.rule(74, 20, 190)
    boxes = [
        ("Tipo documento", "FATTURA"),
        ("Numero", case.number),
        ("Data", f"{case.day:%d/%m/%Y}"),
        ("Cod. cliente", case.code("0####")),
    ]
    boxes.append(("Rif. ordine", case.code("OC/####")))
    paper.heads(79, [(20 + 36 * at, label, value) for at, (label, value) in enumerate(boxes)], size=9)
    paper.rule(88, 20, 190)
    columns = (
        (20, "L", "Descrizione"),
        (108, "R", "Q.tà"),
        (136, "R", "Prezzo"),
        (152, "R", "IVA"),
        (190, "R", "Importo"),
    )
    rows = [(line.text, f"{line.quantity},00", german(line.price), "22", german(line.amount)) for line in lines]
    paper.table(97, columns, rows)
    base, stamp = summed(lines), Decimal("2.00") if case.maybe() else Decimal("0.00")
    total = base + percent(base, "22") + stamp
    foot = (("Imponibile", german(base)), ("Imposta", german(percent(base, "22"))), ("Bollo", german(stamp)))
    cells = [(20.0 + 40 * at, label, value) for at, (label, value) in enumerate(foot)]
    paper.heads(230, [*cells, (150.0, "TOTALE FATTURA EUR", german(total))], size=10)
    half = percent(total, "50")
    due = (
        "Scadenze",
        f"{case.later(30):%d/%m/%Y}   {german(half)}",
        f"{case.later(60):%d/%m/%Y}   {german(total - half)}",
    )
    paper.block(
        20, 248, ("Pagamento: bonifico bancario 30/60 gg", case.code("IBAN IT## X 05387 ##### 0000000#####")), size=8.5
    )
    paper.block(120, 248, due, size=8.5)
    return Bill("fattura", paper.done(), vendor, case.number, case.day, "EUR", total)


def factuur(case: Case) -> Bill:
    """A gardener's: the euro sign in a column of its own, and a request to pay below."""
    vendor = case.rnd.choice(
        ("Hoveniersbedrijf Wielinga", "Groenvak Zijlstra B.V.", "De Boer & Tuin V.O.F.", "Tuinen Oosterbaan")
    )
    paper, lines = Paper("vera"), case.sold(GARDEN, 3, 5)
    paper.text(105, 22, vendor, size=16, style="B", align="C")
    paper.text(105, 28, "Veenweg 88 - 9203 LC Drachten - 0512 555 640", size=8, align="C")
    paper.block(20, 48, ("VvE Parkzicht", "t.a.v. de heer J. Postma", "Parklaan 10", "8911 AB Leeuwarden"), size=9)
    facts = (
        ("Factuurdatum", day_month(case.day, "nl")),
        ("Factuurnummer", case.number),
        ("Debiteurnummer", case.code("1####")),
        ("Uw referentie", case.code("VVE-##")),
        ("Vervaldatum", day_month(case.later(14), "nl")),
    )
    paper.pairs(125, 160, 48, facts, size=8.5)
    paper.text(20, 80, "Factuur", size=14, style="B")
    columns = (
        (20, "L", "Aantal"),
        (36, "L", "Omschrijving"),
        (120, "R", "Stukprijs"),
        (148, "R", "BTW"),
        (190, "R", "Bedrag"),
    )
    rows = [(str(line.quantity), line.text, german(line.price), "21%", german(line.amount)) for line in lines]
    y = paper.table(92, columns, rows, size=8.5)
    net = summed(lines)
    vat = percent(net, "21")
    total = net + vat
    for label, value in (("Subtotaal", net), ("21% BTW over " + german(net), vat), ("Totaal", total)):
        style = "B" if label == "Totaal" else ""
        paper.text(100, y, label, style=style)
        paper.text(160, y, "€", style=style)
        paper.text(190, y, german(value), style=style, align="R")
        y += 5.5
    account = case.code("NL## VEEN 0### #### ##")
    ask = (
        f"Wij verzoeken u vriendelijk het bedrag van € {german(total)} voor {case.later(14):%d-%m-%Y} over te "
        f"maken op {account} onder vermelding van het factuurnummer."
    )
    paper.prose(20, y + 12, 165, ask, size=8.5)
    paper.text(105, 285, case.code("KvK ########  -  btw-id NL#########B01"), size=7.5, align="C")
    return Bill("factuur", paper.done(), vendor, case.number, case.day, "EUR", total)

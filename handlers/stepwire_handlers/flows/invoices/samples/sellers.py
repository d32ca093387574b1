"""Who sends the invoices: twelve invented companies, each with its own paper, language and goods."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from stepwire_handlers.flows.invoices.samples.notation import NBSP, Notation

BUYER = ("Stillwater Instruments Ltd", "14 Quay Street", "Bristol BS1 4RF", "United Kingdom")
APPROVAL_LIMIT = Decimal(10_000)  #: above this total, in the invoice's own currency, a person has to agree


@dataclass(frozen=True, slots=True)
class Ware:
    """Something a seller sells: its text and unit, and the price's range in whole units of the currency."""

    text: str
    unit: str
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """A sender of invoices.

    Attributes:
        name: as it stands on the paper; not always the name in the customers table.
        address: its lines.
        layout: the name of the function in `layouts` that draws its paper.
        number: pattern of its invoice numbers, with `{}` for the serial.
        tax_rate: per cent.
        terms: days to pay.
        lines: fewest and most items on one invoice.
        quantities: fewest and most of one item.
        large: whether its invoices are above the limit for approval.
    """

    name: str
    address: tuple[str, ...]
    layout: str
    number: str
    notation: Notation
    tax_rate: Decimal
    tax_id: str
    bank: str
    terms: int
    wares: tuple[Ware, ...]
    lines: tuple[int, int] = (3, 6)
    quantities: tuple[int, int] = (1, 9)
    large: bool = False


SELLERS: tuple[Seller, ...] = (
    Seller(
        name="Harbor & Pine Supply Co.",
        address=("418 Commercial Street", "Portland, ME 04101", "USA"),
        layout="ledger",
        number="INV-{}",
        notation=Notation(
            language="en", currency="USD", money="${}", group=",", point=".", dates="{month} {d}, {yyyy}",
            words={"number": "Invoice #", "tax": "Sales tax", "total": "Balance due", "tax_id": "EIN"},
        ),
        tax_rate=Decimal("5.5"),
        tax_id="01-0000417",
        bank="First Casco Bank, ABA 000000417, account 7733 0081",
        terms=30,
        wares=(
            Ware("Packing crate, spruce, 60 x 40", "pcs", 18, 42),
            Ware("Stretch film, 500 mm, roll", "pcs", 9, 16),
            Ware("Corner protectors, box of 100", "box", 24, 38),
            Ware("Pallet, heat treated", "pcs", 14, 27),
            Ware("Freight, zone 2", "lot", 65, 140),
            Ware("Desiccant bags, 50 g, case", "case", 31, 55),
        ),
    ),
    Seller(
        name="Kessler Feinmechanik GmbH",
        address=("Am Leinebogen 7", "37073 Göttingen", "Deutschland"),
        layout="letter",
        number="RE-2026-{}",
        notation=Notation(
            language="de", currency="EUR", money="{} €", group=".", point=",", dates="{dd}.{mm}.{yyyy}"
        ),
        tax_rate=Decimal(19),
        tax_id="DE000417417",
        bank="Leinebank Göttingen, IBAN DE00 0000 0000 0417 0417 00",
        terms=14,
        wares=(
            Ware("Präzisionsspindel PS-40, gehärtet", "Stk", 890, 1480),
            Ware("Linearführung LF-12, 600 mm", "Stk", 420, 690),
            Ware("Justage und Abnahme vor Ort", "Std", 110, 145),
            Ware("Messprotokoll nach Werksnorm", "Stk", 180, 260),
            Ware("Kugelgewindetrieb 16 x 5", "Stk", 560, 940),
        ),
        large=True,
    ),
    Seller(
        name="Atelier Brunoy SARL",
        address=("22, rue des Tisserands", "69004 Lyon", "France"),
        layout="grid",
        number="F2026/{}",
        notation=Notation(
            language="fr", currency="EUR", money=f"{{}}{NBSP}€", group=NBSP, point=",",
            dates="{dd}/{mm}/{yyyy}",
        ),
        tax_rate=Decimal(20),
        tax_id="FR00 417 000 417",
        bank="Banque des Canuts, IBAN FR00 0000 0000 0000 0417 0000 417",
        terms=30,
        wares=(
            Ware("Maquette du catalogue, par page", "page", 48, 85),
            Ware("Retouche de photographies", "h", 55, 75),
            Ware("Impression d'essai, format A3", "ex.", 22, 39),
            Ware("Cession de droits, un an", "forfait", 240, 480),
            Ware("Réunion de cadrage", "h", 60, 80),
        ),
    ),
    Seller(
        name="Calder & Wray Engineering Ltd",
        address=("Unit 9, Kelham Works", "Sheffield S3 8RW", "United Kingdom"),
        layout="cards",
        number="CW/{}",
        notation=Notation(
            language="en", currency="GBP", money="£{}", group=",", point=".", dates="{d} {month} {yyyy}",
            words={"number": "Invoice no.", "date": "Tax point", "total": "Total to pay"},
        ),
        tax_rate=Decimal(20),
        tax_id="GB 000 0417 41",
        bank="Don Valley Bank, sort code 00-04-17, account 00004170",
        terms=30,
        wares=(
            Ware("Vacuum chamber, 316L, machined to drawing", "off", 2900, 4600),
            Ware("Helium leak test with certificate", "off", 320, 480),
            Ware("CF flange DN100, blank", "off", 95, 150),
            Ware("Site installation, two fitters", "day", 780, 960),
            Ware("Bake-out heater jacket", "off", 410, 620),
        ),
        quantities=(1, 4),
        large=True,
    ),
    Seller(
        name="Alpenblick Treuhand AG",
        address=("Seefeldgasse 31", "8008 Zürich", "Schweiz"),
        layout="columns",
        number="{}-26",
        notation=Notation(
            language="de", currency="CHF", money="CHF {}", group="'", point=".", dates="{d}. {month} {yyyy}",
            words={"number": "Rechnung Nr.", "total": "Total", "subtotal": "Honorar netto",
                   "due": "Fällig am", "tax_id": "MWST-Nr.", "tax": "MWST"},
        ),
        tax_rate=Decimal("8.1"),
        tax_id="CHE-000.417.417 MWST",
        bank="Limmatbank Zürich, IBAN CH00 0000 0417 0417 0000 0",
        terms=30,
        wares=(
            Ware("Quartalsabschluss, Beratung", "Std", 165, 210),
            Ware("Lohnbuchhaltung, je Person", "Pers", 24, 36),
            Ware("Prüfung der Spesenbelege", "Std", 120, 150),
            Ware("Mehrwertsteuer, Abrechnung", "Std", 150, 190),
            Ware("Auslagen, Porto und Kopien", "psch", 35, 90),
        ),
    ),
    Seller(
        name="Talleres Ibarra S.L.",
        address=("Calle del Astillero 5", "48009 Bilbao", "España"),
        layout="band",
        number="A-{}/26",
        notation=Notation(
            language="es", currency="EUR", money="{} €", group=".", point=",",
            dates="{d} de {month} de {yyyy}",
        ),
        tax_rate=Decimal(21),
        tax_id="B00417417",
        bank="Caja del Nervión, IBAN ES00 0000 0417 0000 0041 7000",
        terms=60,
        wares=(
            Ware("Corte por láser, chapa de 3 mm", "ud", 38, 74),
            Ware("Soldadura TIG, mano de obra", "h", 42, 58),
            Ware("Plegado de piezas según plano", "ud", 12, 28),
            Ware("Pintura al horno, RAL 7016", "m2", 19, 33),
            Ware("Transporte a obra", "ud", 90, 160),
        ),
    ),
    Seller(
        name="Officine Rovati S.r.l.",
        address=("Via delle Ferriere 18", "41122 Modena (MO)", "Italia"),
        layout="register",
        number="{}/2026",
        notation=Notation(
            language="it", currency="EUR", money="€ {}", group=".", point=",", dates="{dd}/{mm}/{yyyy}"
        ),
        tax_rate=Decimal(22),
        tax_id="IT00004170417",
        bank="Banco del Secchia, IBAN IT00 X000 0004 1700 0000 0041 70",
        terms=30,
        wares=(
            Ware("Boccola in bronzo, diam. 40", "pz", 11, 24),
            Ware("Albero rettificato 25 x 300", "pz", 64, 118),
            Ware("Tornitura a controllo numerico", "ore", 46, 62),
            Ware("Trattamento di nitrurazione", "kg", 6, 13),
            Ware("Guarnizione su misura", "pz", 4, 9),
            Ware("Collaudo dimensionale", "ore", 40, 55),
        ),
        lines=(4, 6),
    ),
    Seller(
        name="Van der Meulen Logistiek",
        address=("Waalhavenweg 112", "3087 BM Rotterdam", "Nederland"),
        layout="typed",
        number="VF{}",
        notation=Notation(
            language="nl", currency="EUR", money="€ {}", group=".", point=",", dates="{dd}-{mm}-{yyyy}"
        ),
        tax_rate=Decimal(21),
        tax_id="NL000000417B41",
        bank="Maasbank, IBAN NL00 MAAS 0000 0004 17",
        terms=14,
        wares=(
            Ware("Opslag palletplaats, per week", "week", 7, 12),
            Ware("Inslag en controle", "pallet", 11, 18),
            Ware("Transport Rotterdam-Bristol", "rit", 640, 980),
            Ware("Douaneformaliteiten uitvoer", "dossier", 75, 120),
            Ware("Wachttijd chauffeur", "uur", 45, 60),
        ),
    ),
    Seller(
        name="Minato Paper Goods K.K.",
        address=("3-8-2 Kaigan-dori, Naka-ku", "Yokohama 231-0002", "Japan"),
        layout="receipt",
        number="MPG{}",
        notation=Notation(
            language="en", currency="JPY", money="¥{}", group=",", point=".", places=0,
            dates="{yyyy}/{mm}/{dd}",
            words={"number": "Invoice No.", "date": "Date", "tax": "Consumption tax", "total": "TOTAL",
                   "tax_id": "Reg. no."},
        ),
        tax_rate=Decimal(10),
        tax_id="T0000000000417",
        bank="Bashamichi Bank, branch 417, account 0004170",
        terms=10,
        wares=(
            Ware("Kraft envelope A4, 50", "pk", 380, 620),
            Ware("Label sheet, 24 up", "pk", 290, 460),
            Ware("Carbon-free note pad", "pc", 120, 240),
            Ware("Washi tape, 15 mm", "pc", 110, 180),
            Ware("Index tabs, assorted", "pk", 150, 230),
            Ware("Ink stamp pad, black", "pc", 340, 520),
        ),
        lines=(5, 6),
        quantities=(1, 4),
    ),
    Seller(
        name="Norrsken Data",
        address=("Storgatan 48", "903 26 Umeå", "Sweden"),
        layout="sidebar",
        number="2026{}",
        notation=Notation(
            language="en", currency="SEK", money=f"{{}}{NBSP}SEK", group=NBSP, point=",",
            dates="{yyyy}-{mm}-{dd}",
            words={"number": "Invoice", "date": "Issued", "due": "Due", "to": "Customer",
                   "total": "Amount due"},
        ),
        tax_rate=Decimal(25),
        tax_id="SE000000041701",
        bank="Bankgiro 0417-0417, IBAN SE00 0000 0000 0417 0417 0000",
        terms=20,
        wares=(
            Ware("Sensor gateway, rack unit", "unit", 6200, 8900),
            Ware("Data hosting, per month", "month", 1150, 1900),
            Ware("Integration work", "h", 980, 1250),
            Ware("Calibration service, on site", "visit", 3400, 5200),
        ),
        quantities=(1, 6),
        large=True,
    ),
    Seller(
        name="Brackenfield Catering Ltd",
        address=("The Old Dairy, Blarney Road", "Cork T23 X4R7", "Ireland"),
        layout="prose",
        number="BC{}",
        notation=Notation(
            language="en", currency="EUR", money="€{}", group=",", point=".", dates="{d} {month} {yyyy}",
            words={"number": "our invoice"},
        ),
        tax_rate=Decimal("13.5"),
        tax_id="IE0000417A",
        bank="Lee Valley Credit Union, IBAN IE00 LVCU 0000 0000 0417 00",
        terms=21,
        wares=(
            Ware("working lunch, per guest", "", 14, 26),
            Ware("coffee and pastries, per guest", "", 5, 9),
            Ware("evening buffet, per guest", "", 28, 44),
            Ware("hire of glasses and plates", "", 60, 110),
            Ware("service staff, per hour", "", 22, 29),
        ),
        quantities=(2, 30),
    ),
    Seller(
        name="Nordlicht Energie",
        address=("Kraftwerkstraße 2", "24103 Kiel", "Deutschland"),
        layout="statement",
        number="NE {}",
        notation=Notation(
            language="de", currency="EUR", money="{} EUR", group=".", point=",", dates="{dd}.{mm}.{yyyy}",
            words={"number": "Rechnungs-Nr.", "date": "Datum", "item": "Zählpunkt", "quantity": "kWh",
                   "price": "EUR/kWh", "subtotal": "Summe netto", "tax": "Umsatzsteuer",
                   "total": "Rechnungsbetrag"},
        ),
        tax_rate=Decimal(19),
        tax_id="DE000000417",
        bank="Fördebank Kiel, IBAN DE00 0000 0000 4170 4170 00",
        terms=14,
        wares=(
            Ware("Halle Nord, Tagstrom", "kWh", 0, 1),
            Ware("Halle Süd, Tagstrom", "kWh", 0, 1),
            Ware("Kantine, Tagstrom", "kWh", 0, 1),
            Ware("Außenbeleuchtung, Nachtstrom", "kWh", 0, 1),
            Ware("Ladesäulen Hof, Tagstrom", "kWh", 0, 1),
        ),
        lines=(40, 52),
        quantities=(40, 400),
    ),
)  # fmt: skip

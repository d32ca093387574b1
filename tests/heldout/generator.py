"""A second generator of invoices, by another library and with other templates than the samples'.

In: a seed. Out: PDFs with what stands on them. Its author has not looked at how the offline model reads.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime

from fpdf import FPDF


@dataclass(frozen=True, slots=True)
class Bill:
    """One invoice, and the truth about it."""

    template: str
    pdf: bytes
    number: str
    total: float
    currency: str


def _english(value: float) -> str:
    return f"{value:,.2f}"


def _german(value: float) -> str:
    return f"{value:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")


def _swiss(value: float) -> str:
    return f"{value:,.2f}".replace(",", "'")


def _french(value: float) -> str:
    return f"{value:,.2f}".replace(",", " ").replace(".", ",")


#: name -> (currency, amounts as written, lines of the page; {n} number, {net} {tax} {t} amounts, {o} another number)
TEMPLATES = {
    "saas": (
        "USD",
        _english,
        [
            "Cloudberry Inc.",
            "500 Howard Street, San Francisco",
            "",
            "INVOICE",
            "Invoice number: {n}",
            "Date of issue: March 3, 2026",
            "Customer ID: {o}",
            "",
            "Description            Qty    Amount",
            "Team plan, 12 seats    1    ${net}",
            "",
            "Subtotal    ${net}",
            "Sales tax    ${tax}",
            "Amount due    ${t} USD",
        ],
    ),
    "handwerk": (
        "EUR",
        _german,
        [
            "Tischlerei Brandner GmbH",
            "Lindenweg 4, 83022 Rosenheim",
            "USt-IdNr. DE811111111",
            "",
            "Rechnung",
            "Rechnungs-Nr.: {n}",
            "Kunden-Nr.: {o}",
            "Datum: 03.03.2026",
            "",
            "1 Einbauschrank    {net} EUR",
            "",
            "Zwischensumme    {net} EUR",
            "19 % MwSt.    {tax} EUR",
            "Rechnungsbetrag    {t} EUR",
            "IBAN DE02 1203 0000 0000 2020 51",
        ],
    ),
    "uk": (
        "GBP",
        _english,
        [
            "Fenwick Plumbing Ltd",
            "VAT reg. no. GB 123 4567 89",
            "",
            "VAT INVOICE",
            "Invoice no. {n}",
            "Order ref {o}",
            "Invoice date 3 March 2026",
            "",
            "Boiler service    \u00a3{net}",
            "",
            "Net    \u00a3{net}",
            "VAT @ 20%    \u00a3{tax}",
            "Total    \u00a3{t}",
            "Please pay within 14 days",
        ],
    ),
    "facture": (
        "EUR",
        _french,
        [
            "Menuiserie Duval SARL",
            "12 rue des Lilas, 69003 Lyon",
            "",
            "FACTURE",
            "Facture n\u00b0 : {n}",
            "Date : 03/03/2026",
            "R\u00e9f. client : {o}",
            "",
            "Pose de parquet    {net} EUR",
            "",
            "Total HT    {net} EUR",
            "TVA 20 %    {tax} EUR",
            "Net \u00e0 payer    {t} EUR",
        ],
    ),
    "factura": (
        "EUR",
        _german,
        [
            "Construcciones Olmedo S.A.",
            "CIF A12345678",
            "",
            "FACTURA",
            "N\u00famero de factura: {n}",
            "Fecha: 03/03/2026",
            "Pedido: {o}",
            "",
            "Reforma de cocina    {net} EUR",
            "",
            "Base imponible    {net} EUR",
            "IVA 21 %    {tax} EUR",
            "Total factura    {t} EUR",
        ],
    ),
    "fattura": (
        "EUR",
        _german,
        [
            "Studio Bellini S.r.l.",
            "P. IVA 01234567890",
            "",
            "Fattura n. {n} del 03/03/2026",
            "Codice cliente {o}",
            "",
            "Consulenza    {net} EUR",
            "",
            "Imponibile    {net} EUR",
            "IVA 22%    {tax} EUR",
            "Totale da pagare    {t} EUR",
        ],
    ),
    "factuur": (
        "EUR",
        _german,
        [
            "Van Dijk Schilders B.V.",
            "KvK 12345678",
            "",
            "FACTUUR",
            "Factuurnummer    {n}",
            "Factuurdatum    03-03-2026",
            "Klantnummer    {o}",
            "",
            "Schilderwerk    EUR {net}",
            "",
            "Subtotaal    EUR {net}",
            "BTW 21%    EUR {tax}",
            "Totaal te voldoen    EUR {t}",
        ],
    ),
    "schweiz": (
        "CHF",
        _swiss,
        [
            "Berger Metallbau AG",
            "CHE-123.456.789 MWST",
            "",
            "Rechnung {n}",
            "Ihre Bestellung: {o}",
            "Z\u00fcrich, 3. M\u00e4rz 2026",
            "",
            "Gel\u00e4nder    CHF {net}",
            "",
            "Total exkl. MWST    CHF {net}",
            "MWST 8.1%    CHF {tax}",
            "Total inkl. MWST    CHF {t}",
        ],
    ),
}
NUMBERS = ("INV-2026-{:04}", "2026/{}", "R-88-{}", "F20260{}", "00{}", "AB.77.2026-{}")


def bills(seed: int) -> list[Bill]:
    """One invoice of each template."""
    rnd = random.Random(seed)
    return [_bill(name, rnd) for name in TEMPLATES]


def _bill(name: str, rnd: random.Random) -> Bill:
    currency, written, lines = TEMPLATES[name]
    net = round(rnd.uniform(80, 24_000), 2)
    tax = round(net * 0.2, 2)
    number = rnd.choice(NUMBERS).format(rnd.randrange(1_000, 9_999))
    facts = {"n": number, "o": str(rnd.randrange(10_000, 99_999)), "net": written(net), "tax": written(tax)}
    page = FPDF(format="A4")
    page.set_creation_date(datetime(2026, 3, 3, tzinfo=UTC))
    page.add_page()
    page.set_font("helvetica", size=10)
    for line in lines:
        for column, text in enumerate(line.format(**facts, t=written(net + tax)).split("    ")):
            page.set_x(20 + column * 75)
            page.cell(70, 6, text, new_x="LEFT", new_y="TOP")
        page.ln(7)
    return Bill(name, bytes(page.output()), number, round(net + tax, 2), currency)

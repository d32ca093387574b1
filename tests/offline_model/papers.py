"""Invoices written for these tests, in eleven languages and as many layouts, each with what stands on it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Paper:
    """A document's text, and what a person would read from it."""

    name: str
    number: str
    total: Decimal
    currency: str | None
    text: str


def _paper(name: str, number: str, total: str, currency: str | None, text: str) -> Paper:
    return Paper(name, number, Decimal(total), currency, text.strip("\n"))


PAPERS = (
    _paper(
        "english, labels and values side by side", "WX-2026-0148", "2310.00", "GBP",
        """
Wexford Glassworks Ltd
Unit 4, Dock Lane, Bristol
TAX INVOICE
Invoice No: WX-2026-0148          Date: 3 March 2026
Bill to: Calder & Moss LLP        Due date: 2 April 2026
Description           Qty   Unit price    Amount
Tempered panes         10       150.00   1,500.00
Fitting                 1       425.00     425.00
Subtotal                                 1,925.00
VAT 20%                                    385.00
Total due                               £2,310.00
""",
    ),
    _paper(
        "german, cells of a table one a line", "RG-77/2026", "1204.28", "EUR",
        """
Hofmann Holzbau GmbH
Rechnung
Rechnungsnummer
RG-77/2026
Rechnungsdatum
12.03.2026
Fällig am
26.03.2026
Kunde
Stadtwerke Lindau
Bezeichnung
Menge
Einzelpreis
Betrag
Balken
10
101,20
1.012,00
Zwischensumme
1.012,00 EUR
zzgl. 19% USt.
192,28 EUR
Gesamtbetrag
1.204,28 EUR
""",
    ),
    _paper(
        "french, spaces part thousands", "FA-2026-118", "12440.00", "EUR",
        """
Ateliers du Port SARL
Facture n° FA-2026-118
Date : 3 mars 2026
Échéance : 2 avril 2026
Client : Mairie de Dinan
Total HT
10 366,67 €
TVA 20 %
2 073,33 €
Net à payer
12 440,00 €
""",
    ),
    _paper(
        "spanish, a column of labels and then the values", "2026/0457", "1512.50", "EUR",
        """
Cerámicas Ronda S.L.
FACTURA
Número de factura
Fecha de emisión
Vencimiento
2026/0457
15/03/2026
14/04/2026
Facturar a
Hotel Miramar
Base imponible
IVA (21%)
Importe total
1.250,00
262,50
1.512,50 €
""",
    ),
    _paper(
        "italian, heads of columns in a row", "45/B", "1525.00", "EUR",
        """
Tipografia Bellini S.n.c.
Numero fattura    Data          Scadenza
45/B              31/01/2026    28/02/2026
Spett.le Comune di Lucca
Descrizione       Q.tà   Prezzo      Importo
Manifesti            5   250,00     1.250,00
Totale imponibile                   1.250,00
IVA 22%                               275,00
Totale fattura                   € 1.525,00
""",
    ),
    _paper(
        "dutch, dotted lines", "VF19767", "485.45", "EUR",
        """
De Groene Kas B.V.
FACTUUR
Factuurnummer ................. VF19767
Factuurdatum .................. 09-06-2026
Subtotaal ..................... € 401,20
BTW 21 % ...................... € 84,25
Te betalen .................... € 485,45
""",
    ),
    _paper(
        "swiss, apostrophes part thousands", "77 410", "2324.15", "CHF",
        """
Seilbahn Arvenegg AG
Rechnung-Nr. 77 410
Rechnungsdatum 3.1.2026
Total exkl. MWST CHF 2'150.00
MWST 8.1% CHF 174.15
Total inkl. MWST CHF 2'324.15
""",
    ),
    _paper(
        "american, month first", "20418", "384.56", "USD",
        """
Pine Ridge Plumbing
1200 Pearl Street, Boulder CO 80302
INVOICE #: 20418
DATE: 7/9/2026
TO: Harriet Lowe
DESCRIPTION HOURS RATE AMOUNT
Diagnostics 1.5 95.00 142.50
Parts 1 212.75 212.75
SUBTOTAL $355.25
SALES TAX $29.31
TOTAL $384.56
""",
    ),
    _paper(
        "polish", "FV/12/05/2026", "1230.00", "PLN",
        """
Faktura VAT nr FV/12/05/2026
Data wystawienia: 2026-05-12
Razem netto 1 000,00 zł
VAT 23% 230,00 zł
Do zapłaty: 1 230,00 zł
""",
    ),
    _paper(
        "swedish", "30412", "10000.00", "SEK",
        """
Fakturanr 30412
Fakturadatum 2026-09-01
Belopp före moms 8 000,00
Moms 25% 2 000,00
Att betala 10 000,00 SEK
""",
    ),
    _paper(
        "portuguese", "FT 2026/145", "123.00", "EUR",
        """
Fatura n.º FT 2026/145
Data de emissão: 02-03-2026
Cliente: Padaria Sol
IVA 23% 23,00
Total a pagar 123,00 €
""",
    ),
    _paper(
        "indian, lakhs", "GST/26-27/0451", "141600.00", "INR",
        """
TAX INVOICE
Invoice No : GST/26-27/0451
Taxable value 1,20,000.00
CGST 9% 10,800.00
SGST 9% 10,800.00
Grand Total ₹ 1,41,600.00
""",
    ),
    _paper(
        "a letter in prose", "BC19792", "3063.31", "EUR",
        """
Carrick Catering Ltd
4 September 2026
Re: our invoice BC19792
Dear all,
27 lunches at €24.32 each make €656.64, and the service comes to €2,042.31.
Before tax this is €2,698.95. With VAT of €364.36 the total due is €3,063.31, which we would be glad to
receive by 25 September 2026.
""",
    ),
    _paper(
        "a deposit was paid already", "2026-311", "2380.00", "EUR",
        """
Rechnung Nr. 2026-311
Gesamtbetrag brutto EUR 2.380,00
abzüglich Anzahlung vom 01.02.2026 EUR 1.000,00
Restbetrag EUR 1.380,00
zahlbar bis 15.03.2026
""",
    ),
    _paper(
        "net, tax and gross in one row", "R-5521", "1200.00", None,
        """
Receipt/Invoice R-5521
Item Net VAT Gross
Chairs 400.00 80.00 480.00
Tables 600.00 120.00 720.00
Totals 1000.00 200.00 1200.00
""",
    ),
    _paper(
        "a table in markdown", "INV-0042", "1250.00", "EUR",
        """
# Invoice INV-0042

**Acme GmbH**

| Description | Qty | Unit price | Amount |
|---|---|---|---|
| Bolts | 5 | 250.00 | 1250.00 |
| Total | | | 1250.00 EUR |
""",
    ),
)  # fmt: skip

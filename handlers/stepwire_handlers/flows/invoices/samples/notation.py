"""How a sender writes: the words of its language, its amounts and its dates.

In: amounts, dates, keys of words.  Out: text as it stands on the page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

Language = Literal["de", "en", "es", "fr", "it", "nl"]
NBSP = "\u00a0"  #: keeps the groups of a number on one line, as French and Swedish typesetters do

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "invoice": "Invoice", "number": "Invoice number", "date": "Invoice date", "due": "Due date",
        "to": "Bill to", "item": "Description", "quantity": "Qty", "price": "Unit price", "amount": "Amount",
        "subtotal": "Subtotal", "tax": "VAT", "total": "Total due", "page": "Page", "of": "of",
        "bank": "Bank details", "carried": "Carried forward", "thanks": "Thank you for your business.",
        "please": "Please pay by", "tax_id": "VAT no.",
    },
    "de": {
        "invoice": "Rechnung", "number": "Rechnungsnummer", "date": "Rechnungsdatum", "due": "Zahlbar bis",
        "to": "Rechnung an", "item": "Bezeichnung", "quantity": "Menge", "price": "Einzelpreis",
        "amount": "Betrag", "subtotal": "Zwischensumme", "tax": "MwSt.", "total": "Gesamtbetrag",
        "page": "Seite", "of": "von", "bank": "Bankverbindung", "carried": "Übertrag",
        "thanks": "Wir danken für Ihren Auftrag.", "please": "Bitte überweisen Sie den Betrag bis zum",
        "tax_id": "USt-IdNr.",
    },
    "fr": {
        "invoice": "Facture", "number": "Facture n°", "date": "Date de facture", "due": "Échéance",
        "to": "Facturé à", "item": "Désignation", "quantity": "Qté", "price": "Prix unitaire",
        "amount": "Montant", "subtotal": "Total HT", "tax": "TVA", "total": "Total TTC", "page": "Page",
        "of": "sur", "bank": "Coordonnées bancaires", "carried": "Report",
        "thanks": "Merci de votre confiance.", "please": "À régler avant le", "tax_id": "N° TVA",
    },
    "es": {
        "invoice": "Factura", "number": "Factura n.º", "date": "Fecha", "due": "Vencimiento",
        "to": "Cliente", "item": "Concepto", "quantity": "Cant.", "price": "Precio", "amount": "Importe",
        "subtotal": "Base imponible", "tax": "IVA", "total": "Total a pagar", "page": "Página", "of": "de",
        "bank": "Datos bancarios", "carried": "Suma y sigue", "thanks": "Gracias por su confianza.",
        "please": "Le rogamos el pago antes del", "tax_id": "NIF",
    },
    "it": {
        "invoice": "Fattura", "number": "Numero fattura", "date": "Data", "due": "Scadenza",
        "to": "Spett.le", "item": "Descrizione", "quantity": "Q.tà", "price": "Prezzo", "amount": "Importo",
        "subtotal": "Imponibile", "tax": "IVA", "total": "Totale fattura", "page": "Pagina", "of": "di",
        "bank": "Coordinate bancarie", "carried": "Riporto", "thanks": "Grazie per la fiducia.",
        "please": "Pagamento entro il", "tax_id": "P. IVA",
    },
    "nl": {
        "invoice": "Factuur", "number": "Factuurnummer", "date": "Factuurdatum", "due": "Vervaldatum",
        "to": "Factuur aan", "item": "Omschrijving", "quantity": "Aantal", "price": "Prijs",
        "amount": "Bedrag", "subtotal": "Subtotaal", "tax": "BTW", "total": "Te betalen", "page": "Pagina",
        "of": "van", "bank": "Bankgegevens", "carried": "Transport", "thanks": "Dank voor uw opdracht.",
        "please": "Graag betalen voor", "tax_id": "Btw-nr.",
    },
}  # fmt: skip

MONTHS: dict[Language, tuple[str, ...]] = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December"),
    "de": ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
           "November", "Dezember"),
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre"),
    "es": ("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre",
           "noviembre", "diciembre"),
    "it": ("gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre",
           "ottobre", "novembre", "dicembre"),
    "nl": ("januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober",
           "november", "december"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Notation:
    """One sender's way of writing.

    Attributes:
        money: an amount's pattern, with `{}` for the number.
        group: stands between thousands.
        point: stands before decimals.
        places: decimals of the currency.
        dates: a date's pattern of `{d}`, `{dd}`, `{mm}`, `{month}` and `{yyyy}`.
        words: what this sender calls differently from its language's usual words.
    """

    language: Language
    currency: str
    money: str
    group: str
    point: str
    places: int = 2
    dates: str
    words: dict[str, str] = field(default_factory=dict)

    def word(self, key: str) -> str:
        """A label in the sender's language."""
        return self.words.get(key) or WORDS[self.language][key]

    def amount(self, amount: Decimal) -> str:
        """An amount with its currency."""
        return self.money.format(self.number(amount, self.places))

    def number(self, number: Decimal, places: int | None = None) -> str:
        """A number; without `places`, with as many decimals as it has."""
        plain = f"{number:,f}" if places is None else f"{number:,.{places}f}"
        return plain.translate({ord(","): self.group, ord("."): self.point})

    def date(self, day: date) -> str:
        """A date."""
        return self.dates.format(
            d=day.day,
            dd=f"{day.day:02}",
            mm=f"{day.month:02}",
            month=MONTHS[self.language][day.month - 1],
            yyyy=day.year,
        )

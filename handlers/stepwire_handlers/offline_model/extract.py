"""Extracting: a field's name and a document come in, the value that the document gives for it goes out, or None.

A field is understood by its name, then by its description; what no rule covers is looked for as a label of its own
("Cost centre: 4711" for `cost_centre`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from stepwire_handlers.offline_model import identifiers
from stepwire_handlers.offline_model.document import Document
from stepwire_handlers.offline_model.fields import Field
from stepwire_handlers.offline_model.page import fold, page
from stepwire_handlers.offline_model.parties import customer, person, vendor
from stepwire_handlers.offline_model.words import language

_VENDOR = (
    r"vendor|supplier|seller|issuer|biller|merchant|payee|creditor|provider|lieferant|fournisseur|proveedor|fornitore"
)
_CUSTOMER = r"customer|client|buyer|bill(?:ed)? to|recipient|payer|debtor|purchaser|kunde|account holder"
_NUMBER = (
    r"\b(?:invoice|bill|document|rechnung)\b.*\b(?:id|no|number|nr|ref\w*|code)\b|\bnumber\b.*\binvoice\b"
    r"|^(?:number|no|nr|invoice|invoice id|reference|ref)$"
)


def _mail(document: Document, words: str) -> str | None:
    """A mail address. The vendor's shares its name; the customer's stands with the customer."""
    found = identifiers.emails(document.text)
    sender, receiver = vendor(document.labelled), customer(document.labelled)
    own = [mail for mail in found if _shares(fold(sender or ""), mail)]
    others = [mail for mail in found if mail not in own]
    if re.search(_VENDOR, words):
        return next(iter(own or found), None)
    if receiver and sender:
        behind = document.text.partition(receiver)[2]
        near = [mail for mail in others if mail in "\n".join(behind.splitlines()[:7])]
        return next(iter(near or [mail for mail in others if _shares(fold(receiver), mail)]), None)
    return next(iter(others or found), None)


def _shares(name: str, mail: str) -> bool:
    domain = mail.rpartition("@")[2].lower()
    return any(len(word) > 3 and word in domain for word in re.findall(r"[a-z]+", name))


def _someone(document: Document, words: str) -> str | None:
    if re.search(_VENDOR, words):
        return vendor(document.labelled)
    if re.search(_CUSTOMER, words):
        return customer(document.labelled) or person(document.text)
    return person(document.text) or customer(document.labelled)


def _amount_text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value}"


def _date_text(concept: str) -> Callable[[Document, str], str | None]:
    def read(document: Document, _: str) -> str | None:
        found = document.day(concept)
        return found.isoformat() if found else None

    return read


def _code(concept: str) -> Callable[[Document, str], str | None]:
    return lambda document, _: document.code(concept)


def _total_text(document: Document, words: str) -> str | None:
    return _amount_text(number(document, words))


#: what a text field is about, by the words of its name: the first that matches
TEXTS: tuple[tuple[str, Callable[[Document, str], str | None]], ...] = (
    (r"\biban\b", lambda document, _: identifiers.first(identifiers.IBAN, document.text)),
    (r"\b(?:bic|swift)\b", lambda document, _: identifiers.first(identifiers.BIC, document.text)),
    (r"\b(?:vat|tax|ust|tva|iva|btw)\b.*\b(?:id|no|number|nr)\b|\bvat id\b", lambda document, _: _vat_id(document)),
    (r"\be ?mail|\bmail\b", _mail),
    (r"\bphone|\btel\b|\bmobile\b", lambda document, _: identifiers.phone(document.text)),
    (r"\b(?:url|website|link|homepage)\b", lambda document, _: identifiers.first(identifiers.URL, document.text)),
    (r"\bcurrency\b|\bcurrency code\b", lambda document, _: document.currency),
    (r"\b(?:due|pay by|payable by)\b(?!.*amount)|\bdeadline\b", _date_text("due_date")),
    (r"\b(?:delivery|service|order|ship\w*) date\b", _date_text("other_date")),
    (r"\bdate\b|\bdated\b|\bissued\b", _date_text("invoice_date")),
    (r"\b(?:purchase )?order\b.*\b(?:id|no|number|nr|ref\w*)\b|\bpo\b|\border\b$", _code("order_number")),
    (r"\b(?:customer|client|account)\b.*\b(?:id|no|number|nr)\b", _code("customer_number")),
    (_NUMBER, _code("invoice_number")),
    (rf"\b(?:{_VENDOR}|sender|from|company)\b", lambda document, _: vendor(document.labelled)),
    (rf"\b(?:{_CUSTOMER})\b|\bto\b", _someone),
    (r"\b(?:person|contact|author|signed by|signature|full name|first name|who)\b|^name$", _someone),
    (r"\blanguage\b|\blang\b|\blocale\b", lambda document, _: language(document.text)),
    (r"\b(?:total|amount|net|subtotal|gross|sum|vat|tax|price|balance)\b", _total_text),
)
_RATE = re.compile(r"\b(?:vat|tax)\b.*\b(?:rate|percent\w*)\b|\b(?:rate|percent\w*)\b.*\b(?:vat|tax)\b")
#: the same for sums
SUMS: tuple[tuple[str, str], ...] = (
    (r"\b(?:net|subtotal|sub total|excl\w*|before tax|taxable)\b", "net"),
    (r"\b(?:vat|tax|gst|mwst|tva|iva|btw)\b(?!.*\b(?:incl\w*|total)\b)", "tax"),
    (r"\bdiscount\b", "discount"),
    (r"\b(?:shipping|freight|postage|delivery)\b", "shipping"),
    (r"\b(?:paid|deposit|prepaid)\b", "paid"),
    (r"\b(?:total|amount|gross|sum|due|payable|balance|grand|price|cost|charge|value)\b", "total"),
)


def text(document: Document, field: Field) -> str | None:
    """The text for a field."""
    for words in dict.fromkeys((field.words, field.long_words)):
        read = next((read for pattern, read in TEXTS if re.search(pattern, words)), None)
        found = read(document, field.long_words) if read else None
        if found is not None:
            return found
    told = labelled(document.text, field.words) or labelled(document.text, field.long_words)
    if told:
        return told
    about = fold(field.description)
    read = next((read for pattern, read in TEXTS if re.search(pattern, about)), None)
    return read(document, about) if read else None


def number(document: Document, words: str) -> Decimal | None:
    """The number for a field whose name has these words; a description serves as well."""
    if _RATE.search(words):
        return document.tax_rate()
    concept = next((concept for pattern, concept in SUMS if re.search(pattern, words)), None)
    if concept == "total":
        return document.total.value if document.total else None
    if concept is not None:
        found = document.money(concept)
        return found.value if found else None
    told = labelled(document.text, words)
    values = document.amounts_of(told) if told else []
    return values[0].value if values else None


def labelled(text_: str, words: str) -> str | None:
    """The rest of a line, or the next line, behind a label that has exactly these words."""
    label = re.compile(r"[\s_-]*".join(map(re.escape, words.split())) + r"\s*(?P<mark>[:=#]|$|\s{2})")
    lines = page(text_)
    for at, line in enumerate(lines):
        match = label.search(line.folded)
        if words and match and (match.start() == 0 or line.text[: match.start()].endswith("  ")):
            rest = line.text[match.end() :].strip(" :=#")
            if rest:
                return rest.split("  ")[0].strip()
            if at + 1 < len(lines) and not lines[at + 1].text.endswith(":"):
                return lines[at + 1].text
    return None


def _vat_id(document: Document) -> str | None:
    return document.code("vat_id") or identifiers.first(identifiers.VAT_ID, document.text)

"""Parties: who sends a document and who receives it.

Labels come first ("Bill to", "Fournisseur"); without them the sender is the first name at the top that looks like a
company's, and the receiver the next one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stepwire_handlers.offline_model.dates import dates
from stepwire_handlers.offline_model.find import Labelled
from stepwire_handlers.offline_model.labels import Label, labels_in
from stepwire_handlers.offline_model.page import fold

LEGAL = re.compile(
    r"\b(?:ltd|limited|llc|llp|inc|incorporated|corp|corporation|plc|gmbh|mbh|ag|kg|kgaa|ohg|ug|gbr|e\.?\s?k|"
    r"sarl|s\.?a\.?r\.?l|sas|s\.a\.s|sasu|eurl|s\.?\s?a|sl|s\.?\s?l\.?u?|slu|s\.?r\.?l\.?s?|s\.?p\.?a|snc|b\.?\s?v|"
    r"n\.?\s?v|vof|oy|oyj|ab|a/s|aps|asa|as|sp\.\s?z\s?o\.o|s\.r\.o|kft|zrt|pty|pte|se|lda|ltda|coop|eg|"
    r"& co|and co|& sons|and sons|& fils|et fils|& sohne|und sohne|& partners?|group|company)\b\.?",
)
STREET = re.compile(
    r"\b(?:street|st\.|road|rd\.?|avenue|ave\.?|lane|drive|blvd|boulevard|suite|floor|strasse|str\.|weg|platz|allee|"
    r"gasse|rue|place|chemin|cedex|calle|plaza|avenida|via|viale|piazza|corso|straat|laan|plein|gracht|p\.?o\.? box)\b"
    r"|strasse\b|str\.|straat\b|gracht\b|\b\d{4,5}\b"
)
ABBREVIATION = re.compile(r"(?:\.\w+|\b\w{1,4})\.$")
HOUSE = re.compile(r"\s\d{1,4}\s?[a-zA-Z]?$")
MONEY = re.compile(r"\d[.,]\d{2}(?!\d)")
TOP = 5  # lines in which a letterhead is expected
HEADING = re.compile(
    r"^(?:herrn?|frau|mr|mrs|ms|monsieur|madame|mme|thanks|cheers|page|seite|pagina|copy|original|duplicate|thank|"
    r"vielen dank|merci|gracias|grazie|dank|dear|hello|hi\b|sehr|bonjour|chers?|estimad|gentile|geachte|beste|www\.|"
    r"http|subject|betreff|objet|asunto|oggetto|onderwerp|re:|payment|statement|confidential|logo|draft|entwurf|below|"
    r"above|attached|please|the following|with|note|tax)\b"
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name, and where it stands in its line."""

    value: str
    start: int
    end: int


def names(text: str) -> list[Name]:
    """The name that a piece of a line is, if it is one: letters, no address, no number, no sentence."""
    if dates(text, month_first=False) or _is_label(text) or MONEY.search(text):
        return []
    inner = text.lstrip(" \t:.,;|-–—").rstrip(" \t:,;|-–—")
    inner = inner if ABBREVIATION.search(inner) else inner.rstrip(".")
    start = text.find(inner) if inner else 0
    inner = re.split(r"\s{2,}|\s*[|·•;]\s*|,(?=\s*\d)|\s+\(", inner)[0].strip(" ,")
    head, comma, tail = inner.partition(",")
    if comma and not LEGAL.match(fold(tail).strip()):
        inner = head.strip()
    folded = fold(inner)
    if (
        not re.search(r"[a-z]{2}", folded)
        or len(inner) > 70
        or "@" in inner
        or re.search(r"\d{3}|https?:|www\.", inner)
    ):
        return []
    if (
        (STREET.search(folded) and re.search(r"\d", folded))
        or HEADING.match(folded)
        or len(inner.split()) > 7
        or inner.endswith("?")
    ):
        return []
    if HOUSE.search(inner) and not LEGAL.search(folded):
        return []
    if not (inner[0].isupper() or inner[0].isdigit() or LEGAL.search(folded)):
        return []
    return [Name(inner, start, start + len(inner))]


def party(labelled: Labelled, concept: str) -> str | None:
    """The name behind a label of `vendor` or `customer`; a label counts at the start of a line or a column."""
    for found in labelled.find(concept, names):
        line = labelled.lines[found.line].text
        if not labelled.labels[found.line] or found.beside == () or _opens(line, found.label.start, found.label.end):
            return found.value.value
    return None


def vendor(labelled: Labelled) -> str | None:
    """Who sends it."""
    spoken = party(labelled, "vendor")
    if spoken:
        return spoken
    receiver = party(labelled, "customer")
    free = [(name, at) for name, at in _free_names(labelled) if name != receiver]
    top = [name for name, at in free if at < TOP]
    companies = [name for name in top if LEGAL.search(fold(name))]
    return next(iter([*companies, *top, *(name for name, _ in free)]), None)


def customer(labelled: Labelled) -> str | None:
    """Who receives it."""
    spoken = party(labelled, "customer") or party(labelled, "ship_to")
    if spoken:
        return spoken
    sender = vendor(labelled)
    companies = [name for name, _ in _free_names(labelled) if LEGAL.search(fold(name)) and name != sender]
    return companies[0] if companies else None


def person(text: str) -> str | None:
    """Who signed a letter, or says who they are."""
    said = re.search(
        r"\b(?:my name is|i am|i'm|mein name ist|ich hei(?:ß|ss)e|je m'appelle|me llamo|mi chiamo|mijn naam is)\s+"
        r"((?:[A-ZÀ-Ý][\w'’-]+)(?:\s+[A-ZÀ-Ý][\w'’-]+){0,2})",
        text,
        re.IGNORECASE,
    )
    if said and said[1][0].isupper():
        return said[1]
    closing = re.search(
        r"(?:regards|sincerely|cheers|thanks|thank you|best|gr(?:ü|u)(?:ß|ss)en?|cordialement|saludos|saluti|groeten?|"
        r"greetings|yours)[^\n\w]*\n+\s*([A-ZÀ-Ý][\w'’.-]+(?:\s+[A-ZÀ-Ý][\w'’.-]+){0,3})\s*(?:\n|$)",
        text,
        re.IGNORECASE,
    )
    return closing[1] if closing and closing[1][0].isupper() else None


def _free_names(labelled: Labelled) -> list[tuple[str, int]]:
    """Lines that are a name of their own, without a label, before the items begin; and where they stand."""
    found = []
    for number, line in enumerate(labelled.lines):
        if labelled.heads_table(number):
            break
        if len(MONEY.findall(line.text)) > 1:
            break  # a row of items
        for cell in line.cells:
            labels = labels_in(fold(cell))
            of_other = bool(labels) and labels[0].start == 0 and labels[0].concept in ("customer", "ship_to")
            for name in [] if of_other else names(cell):
                if LEGAL.search(fold(name.value)) or (number < TOP and not _is_labelled(labels)):
                    found.append((name.value, number))
    return found


def _is_labelled(labels: Sequence[Label]) -> bool:
    """Does a label open the cell, or is a document named in it? "Norrsken Data" is a name for all its "data"."""
    return any(label.start == 0 or label.concept == "invoice_number" for label in labels)


def _is_label(text: str) -> bool:
    """Is this nothing but labels, as the head of a table is?"""
    folded = fold(text)
    for label in reversed(labels_in(folded)):
        folded = folded[: label.start] + folded[label.end :]
    return not re.search(r"[a-z]", folded)


def _opens(line: str, start: int, end: int) -> bool:
    before, after = line[:start], line[end:]
    return (not before.strip() or before.endswith("  ")) and (not after.strip() or not after[0].isalnum())

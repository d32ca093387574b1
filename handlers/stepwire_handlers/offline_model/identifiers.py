"""Identifiers: text comes in, document numbers, addresses and account numbers go out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stepwire_handlers.offline_model.page import fold

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}", re.ASCII)
URL = re.compile(r"(?:https?://|www\.)[^\s<>\"')]+")
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){2,7}(?:\s?[A-Z0-9]{1,3})?\b")
BIC = re.compile(r"\b[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?\b")
VAT_ID = re.compile(
    r"\b(?:[A-Z]{2}\s?\d{2}\s?\d{3}\s?\d{3,6}|[A-Z]{2}\s?[A-Z]?\d{7,12}[A-Z]?(?:\d{2})?|CHE-?[\d.]{9,11})\b"
)
PHONE = re.compile(r"(?<![\w/])\+?\(?\d[\d\s()/-]{6,17}\d(?!\w)")
CODE = re.compile(
    r"(?<![\w@])(?P<code>(?:[A-Za-z]{1,8}[\s]?)?#?(?=[A-Za-z./–-]*\d)[A-Za-z0-9]+(?:(?:[-/._–]|\s?[/–-]\s?(?=\d))[A-Za-z0-9]+)*)(?![\w@])"
)
_TAIL = re.compile(r"^ (?=\d{2,8}(?:\s*$|\s{2}))(\d{2,8})")
_GROUPS = re.compile(r"(?: \d{2,5})+(?=\s*$|\s{2})")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})")
_MONEY = re.compile(r"(?:\d{1,3}(?:[.,'’]\d{3})*|\d+)[.,]\d{2}")
_DOTTED = re.compile(r"(?<![\w.,'$€£])\d{3,6}\.\d{2}(?![\w.,'%]|\s?[$€£])")
_PREFIX = re.compile(
    r"(?<![\w-])(?P<code>(?:inv|invoice|bill|re|rg|rn|rech|fa|fac|fact|fc|ft|fv|fn|f|cn|gs|vf|sf)"
    r"[-_/ ]?\d[\w/-]*)(?!\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Code:
    """An identifier, and where it stands in its line."""

    value: str
    start: int
    end: int


def codes(line: str) -> list[Code]:
    """Everything that can be a document's number: it has a digit, and is neither date nor money."""
    found = []
    for match in CODE.finditer(line):
        start, end = match.span("code")
        head = re.match(r"([A-Za-z]+)\s", match["code"])
        if head and not head[1].isupper():  # a word of the sentence, not the number's prefix
            start += head.end()
        elif head:
            tail = _TAIL.match(line[end:])  # RE 2026 0042
            end += tail.end() if tail else 0
        groups = _GROUPS.match(line[end:]) if line[start:end].isdigit() else None
        end += groups.end() if groups else 0  # 78 4410 2231
        value = line[start:end].lstrip("#").rstrip(".,;:-/")
        if _is_code(value) and not re.match(r"\s?[%€$£]", line[end:]):
            found.append(Code(re.sub(r"\s?([-/._–])\s?", r"\1", value), start, end))
    return found


def dotted(line: str) -> list[Code]:
    """Numbers with two digits behind a point, such as the 1847th of 2026: they can be a document's as well as a sum."""
    return [Code(match[0], match.start(), match.end()) for match in _DOTTED.finditer(line)]


def invoice_like(line: str) -> list[Code]:
    """Numbers that look like an invoice's by their prefix alone."""
    return [
        Code(match["code"], match.start(), match.end())
        for match in _PREFIX.finditer(line)
        if _is_code(match["code"]) and len(re.sub(r"\D", "", match["code"])) >= 3
    ]


def emails(text: str) -> list[str]:
    """The mail addresses of a text, each once."""
    return list(dict.fromkeys(match.rstrip(".") for match in EMAIL.findall(text)))


def first(pattern: re.Pattern[str], text: str) -> str | None:
    """The first match, without the spaces that make it readable."""
    match = pattern.search(text)
    return re.sub(r"\s+", "", match[0]) if match else None


def phone(text: str) -> str | None:
    """A telephone number, one that is called so before any other."""
    for line in text.splitlines():
        label = re.search(r"\b(?:tel\w*|phone|fon|mobile?|call)\b[.:\s]*", fold(line))
        number = PHONE.search(line, label.end()) if label else None
        if number:
            return number[0].strip()
    return next((match[0].strip() for match in PHONE.finditer(text) if match[0].startswith(("+", "00"))), None)


def _is_code(value: str) -> bool:
    if not re.search(r"\d", value) or not 1 < len(value) <= 32:
        return value.isdigit()
    return not (_DATE.fullmatch(value) or _MONEY.fullmatch(value) or "@" in value)

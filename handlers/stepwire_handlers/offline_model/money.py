"""Amounts of money: text comes in, exact decimals with their currency go out.

Reads 1,234.56, 1.234,56, 1 234,56, 1'234.50, 1,23,456.00 and 250,- with the currency before or behind. Which of
point and comma is the decimal mark is decided by the whole document, where a single number cannot tell.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

SYMBOLS = {
    "€": "EUR", "£": "GBP", "US$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "NZ$": "NZD",
    "S$": "SGD", "HK$": "HKD", "R$": "BRL", "$": "USD", "¥": "JPY", "₹": "INR", "Rs.": "INR", "₽": "RUB",
    "₺": "TRY", "zł": "PLN", "Kč": "CZK", "Ft": "HUF", "SFr.": "CHF", "Fr.": "CHF", "kr.": "SEK", "kr": "SEK",
    "R": "ZAR", "₩": "KRW", "₪": "ILS", "lei": "RON",
}  # fmt: skip
CODES = (
    "EUR USD GBP CHF SEK NOK DKK PLN CZK HUF JPY CNY INR BRL AUD CAD NZD SGD HKD ZAR TRY RUB RON BGN ISK ILS KRW "
    "MXN AED SAR THB MYR"
).split()
NORDIC = ("SEK", "NOK", "DKK", "ISK")  # all of them write kr
DOLLARS = ("USD", "AUD", "CAD", "NZD", "SGD", "HKD")
_UNIT = "|".join(re.escape(unit) for unit in sorted((*SYMBOLS, *CODES), key=len, reverse=True))
_DIGITS = (
    r"\d{1,3}(?:[.,'’]\d{3})+(?:[.,]\d{1,2})?(?!\d)"
    r"|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d{1,2})?(?!\d)"
    r"|\d{1,3}(?: \d{3})+[.,]\d{2}(?!\d)|\d{1,3}(?: \d{3})+(?![\d.,])"
    r"|\d+(?:[.,]\d{1,4})?"
)
AMOUNT = re.compile(
    rf"(?:(?<![A-Za-z])(?P<before>{_UNIT})\s?)?(?P<open>\()?(?P<minus>[-−–]\s?)?(?:(?P<inner>{_UNIT})\s?)?"
    rf"(?<![\w.,/:'’#-])(?P<number>{_DIGITS})(?P<dash>[.,][-–—]{{1,2}})?(?P<after_minus>-(?!\w))?\)?"
    rf"(?:\s?(?P<after>{_UNIT})(?![A-Za-z]))?"
)
GLUED = re.compile(rf"(?<![A-Za-z])({_UNIT})(?=\d)")  # EUR12.00: the number would follow a letter
_DATE_LIKE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}")
_COMMA_STYLE = re.compile(r"(?<![\d.,/])\d{1,3}(?:[.'’ ]?\d{3})*,\d{2}(?![\d,])")
_POINT_STYLE = re.compile(r"(?<![\d.,/])\d{1,3}(?:[,'’ ]?\d{3})*\.\d{2}(?![\d.])")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number that may be money, and where it stands in its line."""

    value: Decimal
    currency: str | None
    decimals: bool  #: it was written with cents
    start: int
    end: int

    @property
    def money(self) -> bool:
        """Is it written as money is, not like a bare count?"""
        return self.decimals or self.currency is not None


def decimal_mark(text: str) -> str:
    """The mark before the cents in this document: a comma or a point."""
    return "," if len(_COMMA_STYLE.findall(text)) > len(_POINT_STYLE.findall(text)) else "."


def amounts(line: str, mark: str) -> list[Amount]:
    """Every number of a line that can be an amount: no dates, percentages, or parts of identifiers."""
    spaced = GLUED.sub(lambda match: match[1] + " ", line)
    blanked = _DATE_LIKE.sub(lambda match: "#" * len(match[0]), spaced)
    found = []
    for match in AMOUNT.finditer(blanked):
        after = blanked[match.end() :]
        if re.match(r"\s?%|\s?(?:percent|prozent|pct)\b", after, re.IGNORECASE):
            continue
        if not match["after"] and re.match(r"[\w#]|[-/.,:]\d", after):
            continue
        unit = match["before"] or match["inner"] or match["after"]
        value = _decimal(match["number"], mark)
        negative = match["minus"] or match["after_minus"] or (match["open"] and match[0].endswith(")"))
        decimals = bool(match["dash"]) or re.search(r"[.,]\d{2}$", match["number"]) is not None
        found.append(
            Amount(
                -value if negative else value,
                SYMBOLS.get(unit, unit) if unit else None,
                decimals,
                match.start(),
                match.end(),
            )
        )
    return found


def currency(text: str) -> str | None:
    """The currency that a text mostly speaks of, as an ISO code."""
    codes = Counter(re.findall(rf"(?<![A-Za-z])({'|'.join(CODES)})(?![A-Za-z])", text))
    units = Counter(
        SYMBOLS[unit]
        for unit in re.findall(rf"(?<![A-Za-z])({_UNIT})(?=\s?[-\d(])|(?<=\d)\s?({_UNIT})(?![A-Za-z])", text)
        for unit in unit
        if unit in SYMBOLS
    )
    for family in (NORDIC, DOLLARS):  # the code tells which krona, which dollar
        named = [code for code in family if code in codes]
        if named and any(code in units for code in family):
            return max(named, key=lambda code: codes[code])
    both = codes + units
    if not both:
        words = {"euro": "EUR", "dollar": "USD", "pound": "GBP", "franken": "CHF", "francs suisses": "CHF"}
        return next((code for word, code in words.items() if re.search(rf"\b{word}", text, re.IGNORECASE)), None)
    return both.most_common(1)[0][0]


def _decimal(digits: str, mark: str) -> Decimal:
    """The number that was meant."""
    plain = re.sub(r"['’ ]", "", digits)
    points, commas = plain.count("."), plain.count(",")
    if points and commas:
        decimal = max(".", ",", key=plain.rfind)
    elif points + commas == 1:
        used = "." if points else ","
        tail = len(plain) - plain.index(used) - 1
        decimal = used if tail != 3 or (used == mark and len(digits) != len(plain)) else ""
        if tail == 3 and plain.startswith("0"):
            decimal = used
    else:
        decimal = ""  # none, or several of one kind: they part thousands
    whole, _, cents = plain.rpartition(decimal) if decimal else (plain, "", "")
    whole = re.sub(r"[.,]", "", whole)
    return Decimal(f"{whole or 0}.{cents}") if cents else Decimal(whole or 0)

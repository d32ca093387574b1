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
    "₩": "KRW", "₪": "ILS", "lei": "RON",
}  # fmt: skip
CODES = [
    "EUR",
    "USD",
    "GBP",
    "CHF",
    "SEK",
    "NOK",
    "DKK",
    "PLN",
    "CZK",
    "HUF",
    "JPY",
    "CNY",
    "INR",
    "BRL",
    "AUD",
    "CAD",
    "NZD",
    "SGD",
    "HKD",
    "ZAR",
    "TRY",
    "RUB",
    "RON",
    "BGN",
    "ISK",
    "ILS",
    "KRW",
    "MXN",
    "AED",
    "SAR",
    "THB",
    "MYR",
]
NORDIC = ("SEK", "NOK", "DKK", "ISK")  # all of them write kr
DOLLARS = ("USD", "AUD", "CAD", "NZD", "SGD", "HKD")
_UNIT = "|".join(re.escape(unit) for unit in sorted((*SYMBOLS, *CODES), key=len, reverse=True))
_DIGITS = (
    r"\d{1,3}(?:[.,'’]\d{3})+(?:[.,]\d{1,2})?(?!\d)"
    r"|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d{1,2})?(?!\d)"
    r"|\d{1,3}(?: \d{3})+[.,]\d{2}(?!\d)|\d{1,3}(?: \d{3})+(?![\d.,])"
    r"|\d+(?:[.,]\d{1,4})?"
)
_SIGN = r"\(?[-−–]?\s?"
AMOUNT = re.compile(
    rf"(?P<head>(?<![A-Za-z])(?P<before>{_UNIT})\s?{_SIGN}|(?<![\w.,/:'’#-]){_SIGN}(?:(?P<inner>{_UNIT})\s?)?)"
    rf"(?P<number>{_DIGITS})(?P<dash>[.,][-–—]{{1,2}})?(?P<minus>-(?!\w))?\)?"
    rf"(?:\s?(?P<after>{_UNIT})(?![A-Za-z]))?"
)
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


@dataclass(frozen=True, slots=True)
class Style:
    """How a document writes numbers."""

    mark: str  #: before the cents: a comma or a point
    spaces: bool  #: a space may part thousands


def style(text: str) -> Style:
    """How this document writes numbers; a space parts thousands only where nothing else does."""
    mark = "," if len(_COMMA_STYLE.findall(text)) > len(_POINT_STYLE.findall(text)) else "."
    return Style(mark, not re.search(r"\d[.,'’]\d{3}[.,]\d{2}(?!\d)|\d['’]\d{3}(?!\d)", text))


def amounts(line: str, how: Style) -> list[Amount]:
    """Every number of a line that can be an amount: no dates, percentages, or parts of identifiers."""
    blanked = _DATE_LIKE.sub(lambda match: "#" * len(match[0]), line)
    if not how.spaces:
        blanked = re.sub(r"(?<=\d) (?=\d)", "\x1f", blanked)  # a separator that no number has inside
    found = []
    for match in AMOUNT.finditer(blanked):
        after = blanked[match.end() :]
        if re.match(r"\s?%|\s?(?:percent|prozent|pct)\b", after, re.IGNORECASE):
            continue
        if not match["after"] and re.match(r"[\w#]|[-/.,:]\d", after):
            continue
        found.append(_amount(match, how.mark))
    return found


def _amount(match: re.Match[str], mark: str) -> Amount:
    unit = match["before"] or match["inner"] or match["after"]
    value = _decimal(match["number"], mark)
    negative = match["minus"] or re.search(r"[-−–]", match["head"]) or ("(" in match["head"] and ")" in match[0])
    decimals = bool(match["dash"]) or re.search(r"[.,]\d{2}$", match["number"]) is not None
    return Amount(
        value=-value if negative else value,
        currency=SYMBOLS.get(unit, unit) if unit else None,
        decimals=decimals,
        start=match.start(),
        end=match.end(),
    )


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

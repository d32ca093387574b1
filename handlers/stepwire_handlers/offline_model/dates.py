"""Dates: text comes in, calendar dates go out.

Reads 2026-03-15, 15.03.2026, 15/03/26, 03/15/2026, 15 March 2026, March 15th, 2026, 15. März 2026, 1er mars 2026
and 15 de marzo de 2026. Whether 03/04 is in March or April is decided by the whole document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from stepwire_handlers.offline_model.page import fold

MONTHS = (
    "january jan januar janvier janv enero ene gennaio gen januari",
    "february feb februar fevrier fev febrero febbraio februari",
    "march mar marz maerz mars marzo maart mrt",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag mei",
    "june jun juni juin junio giugno giu",
    "july jul juli juillet juil julio luglio lug",
    "august aug aout agosto ago augustus",
    "september sep sept septembre septiembre settembre set sett",
    "october oct oktober okt octobre octubre ottobre ott",
    "november nov novembre noviembre",
    "december dec dezember dez decembre diciembre dic dicembre",
)
BY_NAME = {name: number for number, names in enumerate(MONTHS, start=1) for name in names.split()}
_MONTH = "|".join(sorted(BY_NAME, key=len, reverse=True))
ISO = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
NUMERIC = re.compile(r"(?<![\d./-])(\d{1,2})\s?([./-])\s?(\d{1,2})\s?\2\s?(\d{4}|\d{2})(?![\d])")
DAY_FIRST = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|\.|º)?[\s\-]*(?:de\s+|of\s+)?({_MONTH})\b\.?,?[\s\-]*(?:(?:de\s+|del\s+)?(\d{{4}})|(?<=[-.'])(\d{{2}})\b)"
)
MONTH_FIRST = re.compile(rf"\b({_MONTH})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?\s*,?\s+(\d{{4}})(?!\d)")


@dataclass(frozen=True, slots=True)
class Dated:
    """A date, and where it stands in its line."""

    value: date
    start: int
    end: int


def american(text: str) -> bool:
    """Does this document write the month first?"""
    parts = [(int(m[1]), int(m[3])) for m in NUMERIC.finditer(text) if m[2] == "/"]
    if any(first > 12 for first, _ in parts):
        return False
    if any(second > 12 for _, second in parts):
        return True
    return bool(re.search(r"(?<![A-Z])\$|\bUSD\b", text)) and not re.search(r"AU?D?\$|\b(AUD|NZD)\b", text)


def dates(line: str, *, month_first: bool) -> list[Dated]:
    """Every date of a line, in order."""
    folded = fold(line)
    found: list[Dated] = []
    for pattern, read in (
        (ISO, lambda m: (m[1], m[2], m[3])),
        (DAY_FIRST, lambda m: (m[3] or m[4], str(BY_NAME[m[2]]), m[1])),
        (MONTH_FIRST, lambda m: (m[3], str(BY_NAME[m[1]]), m[2])),
        (NUMERIC, lambda m: (m[4], m[1], m[3]) if month_first and m[2] == "/" else (m[4], m[3], m[1])),
    ):
        for match in pattern.finditer(folded):
            if any(one.start < match.end() and match.start() < one.end for one in found):
                continue
            day = _date(*read(match))
            if day is not None:
                found.append(Dated(day, match.start(), match.end()))
    return sorted(found, key=lambda one: one.start)


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year) + (2000 if len(year) == 2 else 0), int(month), int(day))
    except ValueError:
        return None

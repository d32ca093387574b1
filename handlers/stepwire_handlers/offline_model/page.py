"""A page: raw text comes in, lines that can be searched go out.

Text out of PDFs and mails has hard spaces, tabs, table bars and accents. A line keeps what was written and, beside
it, the same text folded (lower case, no accents) with every character at the same place, so that what is found in
the one can be cut out of the other.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

WIDTH, LINES, LONGEST = 400, 1200, 20_000  # characters of a line, lines of a text, characters of a line at all
HARD_GROUP = re.compile(r"(?<=\d)[\u00a0\u202f\u2009](?=\d{3}(?!\d))")
HARD_SPACE = re.compile(r"[\u00a0\u202f\u2007\u2009\u200a]")
INVISIBLE = re.compile(r"[\u200b\u200c\u200d\ufeff\u00ad]")
GLUED_CODE = re.compile(r"(?<![A-Za-z])(EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|CZK|AUD|CAD)(?=\d)")
RAND = re.compile(r"(?<![A-Za-z])R\s?(?=\d{1,3}(?:[ ,]?\d{3})*[.,]\d{2}(?!\d))")
GLUED_LABEL = re.compile(r"(?<=[a-z])(?=[A-Z]{1,5}[-/]?\d|(?:EUR|USD|GBP|CHF)\b)")
MARKUP = re.compile(r"\*\*|`+|^#+\s+|^>\s+|^[-*•]\s+")
LEADERS = re.compile(r"\s*(?:\.{4,}|_{4,}|…{2,}|(?:\. ){4,})\s*")  # Total ......... 12.00
COLUMN_GAP = re.compile(r"\s*\t\s*|\s{2,}|\s+\|\s*|\s*\|\s+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    text: str
    folded: str
    columns: tuple[int, ...] = (0,)  #: where on the page each cell begins, in characters

    @property
    def cells(self) -> list[str]:
        """Its columns, if it has any: two spaces part them."""
        return self.text.split("  ")


def page(text: str) -> list[Line]:
    """The lines of a text; a gap between columns becomes two spaces. Of a very long text, its beginning and end."""
    raws = [piece for line in INVISIBLE.sub("", text).splitlines() for piece in _pieces(line)]
    if len(raws) > LINES:
        raws = [*raws[: LINES // 2], *raws[-LINES // 2 :]]
    lines = []
    for raw in raws:
        soft = LEADERS.sub("   ", HARD_SPACE.sub(" ", HARD_GROUP.sub("'", raw.expandtabs())))
        indent = len(soft) - len(soft.lstrip())
        soft = GLUED_LABEL.sub(" ", MARKUP.sub("", soft.strip()))
        spaced = RAND.sub("ZAR ", GLUED_CODE.sub(r"\1 ", soft)).strip().strip("|").strip()
        clean = COLUMN_GAP.sub("  ", spaced)
        if clean and not re.fullmatch(r"[-=_*\s|+:.]+", clean):
            columns = (indent, *(indent + gap.end() for gap in COLUMN_GAP.finditer(spaced)))
            lines.append(Line(clean, fold(clean), columns))
    return lines


def _pieces(line: str) -> list[str]:
    """A line, cut where it is longer than any document's: what is searched stays small."""
    if len(line) <= WIDTH:
        return [line]
    return textwrap.wrap(line[:LONGEST], WIDTH, break_on_hyphens=False)


def fold(text: str) -> str:
    """Lower case without accents; as long as `text`."""
    return "".join(map(_folded, text))


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    special = {"ß": "s", "œ": "o", "Œ": "o", "æ": "a", "Æ": "a", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "’": "'"}
    plain = special.get(character) or unicodedata.normalize("NFKD", character)[0].lower()
    return plain if len(plain) == 1 else character

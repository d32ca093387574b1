"""A business document: its text comes in; its number, dates, sums and parties can be asked for.

Nothing is invented: what has no evidence in the text is None.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import cached_property, partial
from itertools import combinations

from stepwire_handlers.offline_model.dates import american, dates
from stepwire_handlers.offline_model.find import BESIDE, Found, Labelled
from stepwire_handlers.offline_model.identifiers import Code, codes, dotted, invoice_like
from stepwire_handlers.offline_model.money import Amount, amounts, currency, style
from stepwire_handlers.offline_model.page import page

LONGEST = 120_000  # characters; of a longer text the beginning and the end are read, where such things stand
TOLERANCE = Decimal("0.02")  # cents that rounding may cost
SURE = 10  # weight of a label that can only mean the grand total


class Document:
    """A text, read as an invoice or anything like it."""

    def __init__(self, text: str) -> None:
        self.text = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"
        self.lines = page(self.text)
        self.labelled = Labelled(self.lines)
        self._amounts = partial(amounts, how=style(self.text))
        self._dates = partial(dates, month_first=american(self.text))

    def code(self, concept: str) -> str | None:
        """An identifier by its label, such as `invoice_number`, `order_number`, `customer_number`, `vat_id`."""
        told = self.labelled_code(concept)
        if told is None and concept == "invoice_number":
            told = self.labelled_code("reference")
        if told is not None:
            return told
        if concept == "invoice_number":
            return next((code.value for line in self.lines for code in invoice_like(line.text)), None) or self._alone()
        return None

    def labelled_code(self, concept: str) -> str | None:
        """An identifier that a label vouches for, and nothing less."""
        found = [one for one in self.labelled.find(concept, self._codes) if self._plausible(one)]
        # 1847.26 is a sum everywhere but right beside a label that can only mean a number.
        found += [one for one in self.labelled.find(concept, dotted) if one.score >= SURE * 2 + BESIDE]
        return max(found, key=lambda one: (one.score, -one.line)).value.value if found else None

    def day(self, concept: str) -> date | None:
        """A date by its label: `invoice_date`, `due_date`, `other_date`."""
        found = self.labelled.find(concept, self._dates)
        if concept == "invoice_date" and not found:
            taken = {
                one.value.value
                for other in ("due_date", "other_date")
                for one in self.labelled.find(other, self._dates)
            }
            free = [line for line in self.lines if not any(one.money for one in self._amounts(line.text))]
            return next((one.value for line in free for one in self._dates(line.text) if one.value not in taken), None)
        return found[0].value.value if found else None

    @cached_property
    def dates(self) -> list[date]:
        """Every date of the text."""
        return [one.value for line in self.lines for one in self._dates(line.text)]

    def money(self, concept: str) -> Amount | None:
        """A sum by its label: `net`, `tax`, `discount`, `shipping`, `paid`."""
        found = self.labelled.find(concept, self._amounts)
        best = max(found, key=lambda one: (one.score, one.value.money, one.line), default=None)
        return self._pick(best) if best else None

    @cached_property
    def total(self) -> Amount | None:
        """The grand total: what its label, its place and the arithmetic say together."""
        found = [one for one in self.labelled.find("total", self._amounts) if self._is_sum(one)]
        if found:
            return self._pick(max(found, key=self._total_rank))
        priced = [one for one in self.amounts if one.currency and one.value > 0]
        return max(priced, key=lambda one: one.value, default=None)

    @cached_property
    def amounts(self) -> list[Amount]:
        """Every sum of money of the text."""
        return [one for line in self.lines for one in self._amounts(line.text) if one.money]

    def amounts_of(self, line: str) -> list[Amount]:
        """Every number of one line that can be an amount."""
        return self._amounts(line)

    @cached_property
    def currency(self) -> str | None:
        """What it is reckoned in, as an ISO code."""
        beside = self.total.currency if self.total else None
        spoken = currency(self.text)
        if beside and spoken and {beside, spoken} & {"USD", "SEK"}:
            return spoken  # a bare $ or kr; the text may say whose
        return beside or spoken

    def tax_rate(self) -> Decimal | None:
        """The rate of the tax in percent; the highest if there are several."""
        rates = []
        for line, labels in zip(self.lines, self.labelled.labels, strict=True):
            if any(label.concept in ("tax", "total", "net") for label in labels):
                rates += re.findall(r"(\d{1,2}(?:[.,]\d{1,2})?)\s?%", line.text)
        return max((Decimal(rate.replace(",", ".")) for rate in rates), default=None)

    def _codes(self, line: str) -> list[Code]:
        spans = [(one.start, one.end) for one in self._dates(line)]
        return [code for code in codes(line) if not any(a < code.end and code.start < b for a, b in spans)]

    def _alone(self) -> str | None:
        """A number that stands alone among the first lines, as a title's second half does."""
        for line, labels in zip(self.lines[:20], self.labelled.labels, strict=False):
            for cell in [] if labels else line.cells:
                found = self._codes(cell)
                if len(found) == 1 and found[0].value == cell.strip(" #:.") and len(re.findall(r"\d", cell)) > 3:
                    return found[0].value
        return None

    def _plausible(self, found: Found[Code]) -> bool:
        """A bare "Invoice" speaks only for a code that follows at once; a street number is no code."""
        if found.label.weight <= 5 and found.beside:
            gap = self.lines[found.line].text[found.label.end : found.value.start]
            return not re.search(r"\w", gap)
        if found.label.weight <= 5:
            return len(found.value.value) > 3
        return True

    def _is_sum(self, found: Found[Amount]) -> bool:
        """A bare small number beside a weak label is a count."""
        return (
            found.value.money
            or found.label.weight == SURE
            or found.value.value >= 100
            or any(one.money for one in found.beside)
        )

    def _total_rank(self, found: Found[Amount]) -> tuple[float, bool, Decimal, int]:
        chosen = self._pick(found)
        return (
            found.score + (4 if self._adds_up(chosen.value) else 0) + (3 if chosen.money else 0),
            chosen.decimals,
            chosen.value,
            found.line,
        )

    def _pick(self, found: Found[Amount]) -> Amount:
        """Of several amounts behind one label: net, tax and gross in a row, or a count before the money."""
        money = [one for one in found.beside if one.money] or list(found.beside) or [found.value]
        if len(money) >= 3 and abs(money[-3].value + money[-2].value - money[-1].value) <= TOLERANCE:
            return money[-1]
        with_unit = [one for one in money if one.currency]
        return with_unit[0] if with_unit else money[-1] if found.beside else found.value

    def _adds_up(self, value: Decimal) -> bool:
        """Is it the sum of two or three other sums of the text, as net and tax make gross?"""
        others = sorted({one.value for one in self.amounts if 0 < one.value < value}, reverse=True)[:24]
        return any(
            abs(sum(some, Decimal(0)) - value) <= TOLERANCE for size in (2, 3) for some in combinations(others, size)
        )

"""Rows: the items of a document's table, each as its own small text with its numbers.

The head of the table says how many columns there are; rows stand on a line each, or with a cell on every line, as
text out of a PDF has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from stepwire_handlers.offline_model.document import Document
from stepwire_handlers.offline_model.labels import Kind
from stepwire_handlers.offline_model.money import Amount


@dataclass(frozen=True, slots=True)
class Row:
    """One item."""

    text: str
    quantity: Decimal | None
    unit: Decimal | None
    total: Decimal | None


def rows(document: Document) -> list[Row]:
    """The items of the document; none if it has no table."""
    lines, labelled = document.lines, document.labelled
    head = next((at for at in range(len(lines)) if labelled.heads_table(at)), None)
    if head is None:
        return []
    columns = 0
    while head < len(lines) and labelled.heads_table(head):
        columns += len(labelled.labels[head])
        head += 1
    body: list[str] = []
    for at in range(head, len(lines)):
        if any(label.kind is Kind.MONEY and label.start == 0 for label in labelled.labels[at]):
            break  # the sums begin
        body.append(lines[at].text)
    on_lines = [row for row in (_row(document, line) for line in body) if row is not None]
    if on_lines and len(on_lines) * 2 >= len(body):
        return on_lines
    groups = [body[at : at + columns] for at in range(0, len(body) - columns + 1, columns)] if columns > 1 else []
    return [row for row in (_row(document, "  ".join(group)) for group in groups) if row is not None]


def _row(document: Document, line: str) -> Row | None:
    numbers = document.amounts_of(line)
    words = line[: numbers[0].start] if numbers else line
    if not re.search(r"[^\W\d_]{2}", words) and numbers:  # the number of the position comes first
        first = re.search(r"[^\W\d_]", line)
        numbers = [one for one in numbers if first and one.start > first.start()]
        words = line[first.start() : numbers[0].start] if first and numbers else ""
    priced = [one for one in numbers if one.money]
    if not words.strip() or not priced:
        return None
    return _reckoned(words.strip(" -x\t"), numbers, priced)


def _reckoned(text: str, numbers: list[Amount], priced: list[Amount]) -> Row:
    """Which number is which: a count times a price is a sum."""
    total = priced[-1].value
    for count in numbers:
        for unit in priced[:-1]:
            if count is not unit and count.value * unit.value == total:
                return Row(text, count.value, unit.value, total)
    bare = [one.value for one in numbers if not one.money]
    unit_price = priced[-2].value if len(priced) > 1 else None
    return Row(text, bare[0] if bare else None, unit_price, total)

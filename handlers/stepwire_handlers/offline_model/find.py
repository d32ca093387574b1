"""Finding: a label's value, wherever the document has put it.

    Invoice No: INV-7          beside it
    Invoice No                 below it; text out of a PDF has a table's cells one a line
    INV-7
    Invoice No  Date           labels in a row or a column, then the values in the same order
    INV-7  2026-03-15

A page, a concept and a scanner (which reads values of one kind from a line) come in; candidates go out, best first.
Each has a score, because a document says "total" in many places and means it in one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from stepwire_handlers.offline_model.labels import Kind, Label, labels_in
from stepwire_handlers.offline_model.page import Line, fold

BESIDE, ALIGNED, BELOW, ABOVE = 8, 6, 5, 1  # how much the place of a value says that it belongs to the label
HEADING = 5  # weight of the bare word for the document
MOST_LABELS = 12  # of one line
MOST = 120  # places of one label that are looked at, the last ones: sums stand at the end
UNDER = 3  # lines under a label in a column
REACH = 14  # lines below a label that are looked at
NOTHING = re.compile(
    r"\([^)]*\)|\d+(?:[.,]\d+)?\s?%|[€$£%]|"
    r"\b(?:eur|usd|gbp|chf|sek|in|of|the|de|und|and|et|y|e|en|ht|no|zzgl|plus|inkl|incl|excl|exkl|inc|dont|sales)\b"
)
TABLE = {"item", "quantity", "unit_price"}  # two of these head a table of items


class Placed(Protocol):
    """Anything that a scanner finds."""

    @property
    def start(self) -> int:
        """Where it begins in its line."""

    @property
    def end(self) -> int:
        """Where it ends."""


V = TypeVar("V", bound=Placed)
Scan = Callable[[str], Sequence[V]]


@dataclass(frozen=True, slots=True)
class Found(Generic[V]):
    """A candidate: a value, the label that speaks for it, and how much."""

    value: V
    label: Label
    score: float
    line: int  #: of the value
    beside: tuple[V, ...] = ()  #: all values to the right of the label


@dataclass(frozen=True, slots=True)
class _Block:
    """Labels that stand together without values, and the lines of values after them."""

    labels: tuple[Label, ...]
    after: int  #: the first line behind them


class Labelled:
    """A page with its labels."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.labels = [labels_in(line.folded)[:MOST_LABELS] for line in lines]
        self.bare = [_is_bare(line, labels) for line, labels in zip(lines, self.labels, strict=True)]

    def find(self, concept: str, scan: Scan[V]) -> list[Found[V]]:
        """The candidates for a concept, best first; among equals the first of the document."""
        places = [(at, one) for at, labels in enumerate(self.labels) for one in labels if one.concept == concept]
        found = [value for number, label in places[-MOST:] for value in self._values(number, label, scan)]
        return sorted(found, key=lambda one: -one.score)

    def heads_table(self, number: int) -> bool:
        """Is this line part of the head of a table of items?"""
        labels = self._block(number).labels if self.bare[number] else self.labels[number]
        return len({label.concept for label in labels} & TABLE) >= 2

    def _values(self, number: int, label: Label, scan: Scan[V]) -> list[Found[V]]:
        line = self.lines[number]
        beside = scan(_segment(line.text, label, self.labels[number]))
        found = self._under(number, label, scan)
        if beside:
            place = BESIDE if _next_to(line.text, label, beside[0]) else ABOVE
            found.append(Found(beside[0], label, label.weight * 2 + place, number, tuple(beside)))
        if found:
            return found
        if label.weight == HEADING and len(line.text) == label.end and number + 1 < len(self.lines):
            value = _whole(self.lines[number + 1].cells[0], scan)
            return [] if value is None else [Found(value, label, label.weight * 2 + BELOW, number + 1)]
        if not self.bare[number] or self.heads_table(number):
            return []
        block = self._block(number)
        found += [
            Found(value, label, label.weight * 2 + place, at) for value, place, at in self._below(block, label, scan)
        ]
        if not found and number and len(block.labels) == 1:
            above = self.lines[number - 1].text
            value = _whole(above, scan)
            if value is not None and not self.bare[number - 1]:
                found.append(Found(value, label, label.weight * 2 + ABOVE, number - 1))
        return found

    def _under(self, number: int, label: Label, scan: Scan[V]) -> list[Found[V]]:
        """Where a page has columns: the cell that stands under the label's, within the next lines."""
        line = self.lines[number]
        cell = line.text[: label.start].count("  ")
        near = self.lines[number + 1 : number + 1 + UNDER]
        if not any(len(one.cells) > 1 for one in (line, *near[:1])) or self.heads_table(number):
            return []
        if not _is_label(line.cells[cell]):
            return []
        begin = line.columns[cell]
        span = range(begin, begin + len(line.cells[cell]))
        for at, below in enumerate(near, start=number + 1):
            for text, start in zip(below.cells, below.columns, strict=False):
                if start in span or begin in range(start, start + len(text)):
                    value = _whole(text, scan)
                    if value is not None:
                        return [Found(value, label, label.weight * 2 + ALIGNED, at)]
                    if labels_in(fold(text)):
                        return []
        return []

    def _below(self, block: _Block, label: Label, scan: Scan[V]) -> list[tuple[V, float, int]]:
        """Values under a block of labels: at the label's place in it, else the n-th of the label's kind."""
        region = range(block.after, min(block.after + REACH, len(self.lines)))
        cells = [(cell, at) for at in region for cell in self.lines[at].cells][: len(block.labels) + REACH]
        place = next(at for at, other in enumerate(block.labels) if other is label)
        if place < len(cells):
            value = _whole(cells[place][0], scan)
            if value is not None:
                near = ALIGNED if len(block.labels) > 1 or place == 0 else BELOW
                return [(value, near, cells[place][1])]
        nth = sum(other.kind is label.kind for other in block.labels[:place])
        seen = 0
        for at in region:
            if self.labels[at] and not self.bare[at] and label.kind is not Kind.NAME and at > block.after:
                break  # another label beside its own value: the block's values are over
            for value in scan(self.lines[at].text):
                if seen == nth:
                    return [(value, BELOW - (at - block.after) / 2, at)]
                seen += 1
        return []

    def _block(self, number: int) -> _Block:
        first = last = number
        while first > number - REACH and first and self.bare[first - 1]:
            first -= 1
        while last < number + REACH and last + 1 < len(self.lines) and self.bare[last + 1]:
            last += 1
        labels = tuple(label for at in range(first, last + 1) for label in self.labels[at])
        return _Block(labels, last + 1)


def _is_bare(line: Line, labels: Sequence[Label]) -> bool:
    """Does the line hold labels and nothing else? Then their values are elsewhere."""
    if len(labels) == 1 and labels[0].concept == "invoice_number" and labels[0].weight <= HEADING:
        return False  # the word "Invoice" at the top is a heading, not the first of a column of labels
    return bool(labels) and _only_labels(line.folded, labels)


def _is_label(cell: str) -> bool:
    """Is a cell nothing but a label?"""
    folded = fold(cell)
    labels = labels_in(folded)
    return bool(labels) and _only_labels(folded, labels)


def _only_labels(folded: str, labels: Sequence[Label]) -> bool:
    """Nothing but labels; a currency, a rate or a remark in brackets is nothing."""
    rest = folded
    for label in reversed(labels):
        rest = rest[: label.start] + " " + rest[label.end :]
    return not re.search(r"[a-z0-9]", NOTHING.sub(" ", rest))


def _next_to(text: str, label: Label, value: Placed) -> bool:
    """Is the value in the label's own cell, or the first thing in the next one?"""
    between = text[label.end : value.start]
    return "  " not in between or not re.search(r"\w", between)


def _segment(text: str, label: Label, labels: Sequence[Label]) -> str:
    """What stands to the right of a label, up to the next label, with the places of its line kept."""
    end = min((other.start for other in labels if other.start >= label.end), default=len(text))
    return " " * label.end + text[label.end : end]


def _whole(text: str, scan: Scan[V]) -> V | None:
    """The value that is all of this text, but for punctuation."""
    values = scan(text)
    if len(values) != 1:
        return None
    rest = text[: values[0].start] + text[values[0].end :]
    return None if re.search(r"\w", rest) else values[0]

"""A place in a list that is read page by page: after a mark comes what is younger, whatever was answered meanwhile.

In: when something began, and who it is. Out: a `Mark`, and the text that a caller sends back to go on from there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

TEXT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?):(\S{1,400})")


class Mark(NamedTuple):
    """Where an item stands; two items never stand at one place."""

    time: float = 0.0  #: epoch seconds
    id: str = ""  #: app/handler/id: one event may wait in two handlers

    def text(self) -> str:
        """As a caller gets it."""
        return f"{self.time!r}:{self.id}"


def mark_of(text: str) -> Mark:
    """Read it again. Raises ValueError for what no list gave out."""
    found = TEXT.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return Mark(float(found[1]), found[2])

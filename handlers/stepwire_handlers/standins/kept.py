"""Kept: what a stand-in was given, as numbered files in a folder.

In: a label and the bytes.  Out: files such as `0001-#invoices.md`, in the order of arrival.

Promises: a file is there whole or not at all; names depend only on the order and the labels; the numbers go
on after a restart. One process writes to a folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_UNFIT = re.compile(r"[^\w#@.+-]+")
_LONGEST_LABEL = 60  # characters


class Kept:
    """A folder of numbered files.

    Args:
        folder: made if it is missing.
        suffix: of the files, with its dot.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._suffix = folder, suffix
        self._last = max((number for number, _ in self.files()), default=0)

    def add(self, label: str, content: Callable[[int], bytes]) -> tuple[int, Path]:
        """Keep one more.

        Args:
            label: the readable part of its name.
            content: gives the bytes, knowing the number.
        """
        number = self._last + 1
        name = f"{number:04d}-{_UNFIT.sub('_', label)[:_LONGEST_LABEL]}{self._suffix}"
        unfinished = self._folder / f".{name}.tmp"
        unfinished.write_bytes(content(number))
        path = unfinished.rename(self._folder / name)
        self._last = number
        return number, path

    def files(self) -> list[tuple[int, Path]]:
        """The numbers and the files, in order."""
        found = (path for path in self._folder.glob(f"*{self._suffix}") if path.name[:4].isdigit())
        return sorted((int(path.name.partition("-")[0]), path) for path in found)

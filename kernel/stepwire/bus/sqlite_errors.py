"""What SQLite's errors mean for whoever asked: in our words, with what, where, and the cure.

In: an error of SQLite and what was being done. Out: BusUnavailable (it surely did not happen), BusCorrupt, or
OutcomeUnknown (a commit of which nobody knows).
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from stepwire.errors import BusCorrupt, BusError, BusUnavailable, OutcomeUnknown


class Named(Protocol):
    """Something that stands for a file."""

    path: str


S = TypeVar("S", bound=Named)
P = ParamSpec("P")
T = TypeVar("T")


def meaning(error: sqlite3.Error, doing: str, path: str) -> BusError:
    """What an error of SQLite means for whoever asked: with what, where, and the cure."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return BusCorrupt(
            f"{path} is damaged ({error}); nothing more is read or written. Stop the worker, keep a copy, "
            f"and recover what is readable with: sqlite3 {path} .recover"
        )
    if code == sqlite3.SQLITE_FULL:
        return BusUnavailable(f"the disk of {path} is full; free some space, the worker goes on by itself")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusUnavailable(f"{path} is locked by another process; the worker tries again until it is free")
    if code == sqlite3.SQLITE_IOERR and doing == "commit":
        return OutcomeUnknown(f"{path}: {error} during a commit")
    return BusUnavailable(f"{path}: {error}; check that the folder exists, is writable and has space")


def told(doing: str) -> Callable[[Callable[Concatenate[S, P], T]], Callable[Concatenate[S, P], T]]:
    """A method of a store whose SQLite errors are raised as ours; what was being done tells an unknown outcome."""

    def wrap(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
        @functools.wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return method(self, *args, **kwargs)
            except sqlite3.Error as error:
                raise meaning(error, doing, self.path) from error

        return call

    return wrap

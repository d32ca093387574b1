"""The runs that were open at the last look, and those that are now: sets in SQLite's temporary tables.

In: runs, as ranges of the file's positions or by name, each with a number that says why it is open. Out: how many
began, completed and failed between two looks. A million runs cost room on the disk for temporary files, no memory.

Temporary tables are a database of their own, beside the file and seen by this connection alone: to fill them takes no
lock on the file, moves no `data_version`, and goes on while a snapshot of the file is read. Their names are this
object's own, for tellers may share a connection.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from stepwire.bus.sqlite import run_hash

CHUNK = 500  #: runs that are held at a time
TABLES = {
    "was": "(run INTEGER PRIMARY KEY, why INTEGER NOT NULL)",  # open at the last look
    "now": "(run INTEGER PRIMARY KEY, why INTEGER NOT NULL)",  # open at this one
    "touched": "(run INTEGER PRIMARY KEY)",  # have new records
    # closed at the last look, whose number stands here; counted if they still are, for a copy may be torn
    "closing": "(run INTEGER PRIMARY KEY, look INTEGER NOT NULL)",
    "again": "(run INTEGER PRIMARY KEY)",  # taken up again after they had completed
    "outside": "(run INTEGER PRIMARY KEY)",  # wait for a service of somebody else, which no state shows
    # deliveries of one handler that keep an order: their line, and their place in it
    "queued": "(line TEXT, seq INTEGER, number INTEGER, run INTEGER, why INTEGER NOT NULL, "
    "PRIMARY KEY (line, seq, number)) WITHOUT ROWID",
    "letters": "(pos INTEGER PRIMARY KEY, topic INTEGER, id TEXT, UNIQUE (topic, id))",  # the last of each delivery
}
PHRASES = {
    "largest": "ON CONFLICT (run) DO UPDATE SET why = excluded.why WHERE excluded.why > why",
    "gone": "run NOT IN (SELECT run FROM $now)",
    "fresh": "run NOT IN (SELECT run FROM $was) AND run NOT IN (SELECT run FROM $closing)",
}


class RunSets:
    """Sets of runs over one connection. Methods raise sqlite3.Error; call them in a snapshot of the file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database, self._number = database, 0
        mine = uuid4().hex
        self._words = {name: f"tally_{mine}_{name}" for name in TABLES} | PHRASES
        self._named: dict[str, int] = {}

    @contextmanager
    def look(self) -> Iterator[None]:
        """One look; after an error everything is as it was before."""
        for name, columns in TABLES.items():
            self.execute(f"CREATE TEMP TABLE IF NOT EXISTS ${name} {columns}")
        self.execute("SAVEPOINT look")
        try:
            self.execute("DELETE FROM $now")
            self.execute("DELETE FROM $touched")
            yield
        except BaseException:
            self._named.clear()
            with contextlib.suppress(sqlite3.Error):  # SQLite may have undone the whole transaction by itself
                self.execute("ROLLBACK TO look")
                self.execute("RELEASE look")
            raise
        self.execute("RELEASE look")
        self._words["was"], self._words["now"] = self._words["now"], self._words["was"]
        self._number += 1

    def drop(self) -> None:
        """Forget everything."""
        for name in TABLES:
            self.execute(f"DROP TABLE IF EXISTS temp.${name}")

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        """One statement; `$was` stands for the table of that name, `$gone` for that phrase."""
        return self._database.execute(self._plain(sql), values)

    def many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        """One statement for each row; they are not held."""
        self._database.executemany(self._plain(sql), rows)

    def count(self, sql: str, *values: object) -> int:
        """What a statement with one number comes to."""
        (number,) = self.execute(sql, *values).fetchone()
        return int(number)

    def _plain(self, sql: str) -> str:
        while "$" in sql:
            sql = re.sub(r"\$(\w+)", lambda found: self._words[found[1]], sql)
        return sql

    # -- what there is

    def touch(self, begin: int, end: int) -> None:
        """Runs with records at these positions have new ones."""
        # No DISTINCT, here and below: for its sake SQLite would go through the index of all runs that ever were.
        self.execute(
            "INSERT OR IGNORE INTO $touched "
            "SELECT run FROM events NOT INDEXED WHERE pos >= ? AND pos < ? AND run IS NOT NULL",
            begin, end,
        )  # fmt: skip

    def add(self, begin: int, end: int, why: int) -> None:
        """Runs with records at these positions are open. Here and below, of several reasons the largest counts."""
        self.execute(
            "INSERT INTO $now SELECT run, ? FROM events NOT INDEXED "
            "WHERE pos >= ? AND pos < ? AND run IS NOT NULL $largest",
            why, begin, end,
        )  # fmt: skip

    def add_each(self, runs: Iterable[int], why: int) -> None:
        """These are open."""
        self.many("INSERT INTO $now VALUES (?, ?) $largest", ((run, why) for run in runs))

    def name(self, run: str, why: int) -> None:
        """The run of this name is open. `flush` when all are named."""
        if run:
            self._named[run] = max(self._named.get(run, why), why)
        if len(self._named) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write what was named."""
        self.many(
            "INSERT INTO $now SELECT id, ? FROM runs WHERE number = ? AND name = ? $largest",
            ((why, run_hash(name), name) for name, why in self._named.items()),
        )
        self._named.clear()

    # -- what follows from it

    def finished(self) -> Iterator[int]:
        """Runs that were open, or have new records, and that are not open now; one may add them meanwhile."""
        for some in (
            "SELECT run FROM $was WHERE run > ? AND $gone ORDER BY run LIMIT ?",
            "SELECT run FROM $closing WHERE run > ? AND $gone ORDER BY run LIMIT ?",
            "SELECT run FROM $touched WHERE run > ? AND $gone AND $fresh ORDER BY run LIMIT ?",
        ):
            after: int | None = -1
            while after is not None:
                page = self.execute(some, after, CHUNK).fetchall()
                yield from (run for (run,) in page)
                after = page[-1][0] if page else None

    def began(self, last: int, is_new: Callable[[int], bool]) -> int:
        """How many of the touched began: beyond the run `last`, or new here. The others are taken up again."""
        before = self.execute("SELECT run FROM $touched WHERE run <= ? AND $fresh", last)
        self.many("INSERT OR IGNORE INTO $again VALUES (?)", (row for row in before if not is_new(row[0])))
        self.execute(
            "INSERT OR IGNORE INTO $again SELECT run FROM $now "
            "WHERE run NOT IN (SELECT run FROM $touched) AND $fresh"
        )  # fmt: skip
        return self.count("SELECT count(*) FROM $touched WHERE run NOT IN (SELECT run FROM $again) AND $fresh")

    def close(self, took: Callable[[float], None], *, whole: bool) -> int:
        """How many of the runs that were open are so no more, for the second time; if not all was seen, none.

        `took` is told the seconds from the first record to the last of each that still has any.
        """
        if not whole:  # what waits unread may belong to any of them
            self.execute("DELETE FROM $closing WHERE NOT $gone")
            self._begin_closing()
            return 0
        once = "SELECT count(*) FROM $closing WHERE $gone AND run NOT IN (SELECT run FROM $again)"
        completed = self.count(once)
        for (seconds,) in self.execute(
            "SELECT max(time) - min(time) FROM $closing c CROSS JOIN events e ON e.run = c.run "
            "WHERE c.run NOT IN (SELECT run FROM $now) AND c.run NOT IN (SELECT run FROM $again) GROUP BY c.run"
        ):
            took(seconds)
        self.execute("DELETE FROM $again WHERE run IN (SELECT run FROM $closing) AND $gone")
        self._begin_closing()
        self.execute("DELETE FROM $closing WHERE look < ?", self._number)
        return completed

    def _begin_closing(self) -> None:
        self.execute("INSERT OR IGNORE INTO $closing SELECT run, ? FROM $was WHERE $gone", self._number)
        self.execute("INSERT OR IGNORE INTO $closing SELECT run, ? FROM $touched WHERE $gone", self._number)

    def counts(self, reasons: Iterable[int]) -> list[int]:
        """How many are open for each reason."""
        return [self.count("SELECT count(*) FROM $now WHERE why = ?", why) for why in reasons]

    def became(self, why: int) -> int:
        """How many are open for this reason, and were not at the last look."""
        return self.count(
            "SELECT count(*) FROM $now n WHERE why = ?1 "
            "AND NOT EXISTS (SELECT 1 FROM $was w WHERE w.run = n.run AND w.why = ?1)",
            why,
        )

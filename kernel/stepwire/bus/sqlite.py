"""The local bus's file: schema, rows, and what SQLite's errors mean. Knows nothing of groups in memory or of waiting.

A record's rowid is its position: topic number, partition and offset packed into one integer, so that a topic's
partition is one contiguous range of a plain B-tree and appending is cheap at the 1,000,000th event. Runs are numbered
as they begin, so that the index of a run's records grows at its end too; an index of hashes would be written all over.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from stepwire.bus.protocol import Change, Out, Progress, Record
from stepwire.bus.sqlite_errors import meaning, told
from stepwire.errors import BusUnavailable
from stepwire.event import digest
from stepwire.jsontext import dump, load

VERSION = 1
PARTITION_BITS, OFFSET_BITS = 8, 36  # 256 partitions; 68 billion offsets each
RUNS = 10_000  #: numbers of runs that are remembered
MAX_PARTITIONS = 1 << PARTITION_BITS
SCHEMA = """
CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, partitions INTEGER NOT NULL);
CREATE TABLE events (pos INTEGER PRIMARY KEY, time REAL, run INTEGER, key TEXT, headers TEXT, value BLOB);
CREATE INDEX events_run ON events (run) WHERE run IS NOT NULL;
CREATE TABLE runs (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, name TEXT NOT NULL, time REAL NOT NULL);
CREATE INDEX runs_number ON runs (number);
CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, generation INTEGER NOT NULL);
CREATE TABLE progress (grp INTEGER, topic INTEGER, part INTEGER, watermark INTEGER NOT NULL, map TEXT NOT NULL,
    PRIMARY KEY (grp, topic, part)) WITHOUT ROWID;
CREATE TABLE state (id INTEGER PRIMARY KEY, grp INTEGER, part INTEGER, key TEXT, value BLOB);
CREATE UNIQUE INDEX state_key ON state (grp, part, key);
CREATE TABLE wirings (app TEXT PRIMARY KEY, owed TEXT NOT NULL);
"""
NEW_RUN = (
    "INSERT INTO runs (number, name, time) SELECT ?1, ?2, ?3 "
    "WHERE NOT EXISTS (SELECT 1 FROM runs WHERE number = ?1 AND name = ?2)"
)


def run_hash(run: str) -> int:
    """What a run is found by: the first 60 bits of its name."""
    try:
        return int(run[:15], 16)
    except ValueError:
        return int(digest(run)[:15], 16)


class Store:
    """One open database file, or `:memory:`. Methods raise BusUnavailable, BusCorrupt, OutcomeUnknown.

    Args:
        path: the file; its folder is created. Raises BusUnavailable, BusCorrupt.
        power: survive a power cut too (fsync at every commit), not only kill -9.
    """

    def __init__(self, path: str, *, power: bool = False) -> None:
        self.path = path
        self._runs: dict[str, int] = {}
        try:
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.05)
            self._prepare(power)
        except sqlite3.Error as error:
            raise meaning(error, "open", path) from error
        except OSError as error:
            raise BusUnavailable(f"cannot open {path}: {error.strerror}; give another path") from error

    def _prepare(self, power: bool) -> None:
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute(f"PRAGMA synchronous={'FULL' if power else 'NORMAL'}")
        self.db.execute("PRAGMA wal_autocheckpoint=0")  # the bus checkpoints in a thread of its own
        self.db.execute("PRAGMA cache_size=-65536")
        (version,) = self.db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._create()
        elif version != VERSION:
            raise BusUnavailable(
                f"{self.path} was written in format {version}, this release reads {VERSION}; use the matching release"
            )

    def _create(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        if self.db.execute("PRAGMA user_version").fetchone() == (0,):  # nobody else was faster
            for statement in SCHEMA.split(";"):
                self.db.execute(statement)
            self.db.execute(f"PRAGMA user_version={VERSION}")
        self.db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @told("begin")
    def begin(self) -> None:
        """Begin a transaction that writes."""
        self.db.execute("BEGIN IMMEDIATE")

    @told("commit")
    def commit(self) -> None:
        """Commit it."""
        self.db.execute("COMMIT")

    def rollback(self) -> None:
        """Undo it; SQLite has often done so by itself."""
        if self.db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")

    @told("read")
    def data_version(self) -> int:
        """Changes when another process committed."""
        (version,) = self.db.execute("PRAGMA data_version").fetchone()
        return int(version)

    # -- topics and groups

    @told("read")
    def topics(self) -> dict[str, tuple[int, int]]:
        """Name -> (number, partitions)."""
        return {name: (id_, n) for id_, name, n in self.db.execute("SELECT id, name, partitions FROM topics")}

    @told("write")
    def add_topics(self, topics: Mapping[str, int]) -> None:
        """Create topics with so many partitions, or let them grow."""
        self.db.executemany(
            "INSERT INTO topics (name, partitions) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET partitions = max(partitions, excluded.partitions)",
            list(topics.items()),
        )

    @told("write")
    def group(self, name: str) -> tuple[int, int]:
        """Number and generation of a group, which is created if it is new."""
        self.db.execute("INSERT OR IGNORE INTO groups (name, generation) VALUES (?, 0)", (name,))
        row: tuple[int, int] = self.db.execute("SELECT id, generation FROM groups WHERE name = ?", (name,)).fetchone()
        return row

    @told("read")
    def groups(self) -> dict[str, tuple[int, int]]:
        """Name -> (number, generation)."""
        return {name: (id_, gen) for id_, name, gen in self.db.execute("SELECT id, name, generation FROM groups")}

    @told("write")
    def new_generation(self, group: int) -> int:
        """Take the next generation of a group; whoever had the last one is fenced from now on."""
        self.db.execute("UPDATE groups SET generation = generation + 1 WHERE id = ?", (group,))
        return self.generation(group)

    @told("read")
    def generation(self, group: int) -> int:
        """The present generation of a group."""
        (generation,) = self.db.execute("SELECT generation FROM groups WHERE id = ?", (group,)).fetchone()
        return int(generation)

    # -- records

    @told("read")
    def end(self, topic: int, partition: int) -> int:
        """The next offset."""
        first = position(topic, partition, 0)
        (last,) = self.db.execute(
            "SELECT max(pos) FROM events WHERE pos >= ? AND pos < ?", (first, first + (1 << OFFSET_BITS))
        ).fetchone()
        base: int = self.db.execute(
            "SELECT coalesce(max(watermark), 0) FROM progress WHERE topic = ? AND part = ?", (topic, partition)
        ).fetchone()[0]  # a purged partition has no row left to count from
        return max(0 if last is None else last - first + 1, base)

    @told("write")
    def append(self, rows: Iterable[tuple[int, float, Out]]) -> None:
        """Write records at their positions."""
        self.db.executemany(
            "INSERT INTO events (pos, time, run, key, headers, value) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (pos, time, self._run(run, time) if (run := out.headers.get("ce_swrun")) else None, out.key,
                 dump(out.headers).decode(), out.value)
                for pos, time, out in rows
            ],
        )  # fmt: skip

    def _run(self, name: str, time: float) -> int:
        """The number of a run, which begins if it is new."""
        number = self._runs.get(name)
        if number is None:
            if len(self._runs) > RUNS:
                self._runs.clear()
            number = self._begin_run(name, time) or self.find_run(name) or 0
            self._runs[name] = number
        return number

    def _begin_run(self, name: str, time: float) -> int | None:
        """The number of a run that is new; in one statement, since every published event brings one."""
        cursor = self.db.execute(NEW_RUN, (run_hash(name), name, time))
        return cursor.lastrowid if cursor.rowcount else None

    @told("read")
    def find_run(self, name: str) -> int | None:
        """The number of a run, if it ever began."""
        row = self.db.execute("SELECT id FROM runs WHERE number = ? AND name = ?", (run_hash(name), name)).fetchone()
        return None if row is None else int(row[0])

    def forget_runs(self) -> None:
        """A transaction was undone: numbers that it gave out may not exist."""
        self._runs.clear()

    @told("read")
    def read(self, name: str, topic: int, partition: int, offset: int, limit: int) -> list[Record]:
        """Records of one partition from `offset` on."""
        first = position(topic, partition, 0)
        return [
            Record(name, partition, pos - first, time, key, load(headers), value)
            for pos, time, key, headers, value in self.db.execute(
                "SELECT pos, time, key, headers, value FROM events WHERE pos >= ? AND pos < ? ORDER BY pos LIMIT ?",
                (first + offset, first + (1 << OFFSET_BITS), limit),
            )
        ]

    @told("write")
    def delete_before(self, topic: int, partition: int, offset: int) -> None:
        """Forget records below `offset`."""
        first = position(topic, partition, 0)
        self.db.execute("DELETE FROM events WHERE pos >= ? AND pos < ?", (first, first + offset))

    # -- progress and state

    @told("write")
    def save_progress(self, rows: Sequence[tuple[int, int, int, int, str]]) -> None:
        """Write progress: group, topic, partition, watermark and map."""
        self.db.executemany(
            "INSERT INTO progress VALUES (?, ?, ?, ?, ?) ON CONFLICT (grp, topic, part) "
            "DO UPDATE SET watermark = excluded.watermark, map = excluded.map",
            rows,
        )

    @told("read")
    def progress(self, group: int) -> dict[tuple[int, int], Progress]:
        """(topic, partition) -> watermark and map."""
        return {
            (topic, part): Progress(watermark, map_)
            for topic, part, watermark, map_ in self.db.execute(
                "SELECT topic, part, watermark, map FROM progress WHERE grp = ?", (group,)
            )
        }

    @told("write")
    def save_state(self, group: int, changes: Sequence[Change]) -> None:
        """Apply changes of keyed state, in order."""
        for removed, some in groupby(changes, key=lambda change: change.value is None):
            if removed:
                self.db.executemany(
                    "DELETE FROM state WHERE grp = ? AND part = ? AND key = ?",
                    [(group, change.partition, change.key) for change in some],
                )
            else:
                self._upsert(group, list(some))

    def _upsert(self, group: int, changes: Sequence[Change]) -> None:
        self.db.executemany(
            "INSERT INTO state (grp, part, key, value) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (grp, part, key) DO UPDATE SET value = excluded.value",
            [(group, change.partition, change.key, change.value) for change in changes],
        )

    @told("read")
    def entries(self, group: int, prefix: str) -> int:
        """How many stored keys begin so, but those of joins that fired: these wait for nothing any more."""
        stub = (
            "SELECT 1 FROM state t WHERE t.grp = s.grp AND t.part = s.part AND t.key = substr(s.key, 1, 35) || '#stub'"
        )
        (count,) = self.db.execute(
            f"SELECT count(*) FROM state s WHERE grp = ? AND key >= ? AND key < ? AND NOT EXISTS ({stub})",  # noqa: S608
            (group, prefix, prefix + "\uffff"),
        ).fetchone()
        return int(count)

    @told("read")
    def wiring(self, app: str) -> dict[str, list[str]]:
        """The table of owed slots that was stored with an app's last release."""
        row = self.db.execute("SELECT owed FROM wirings WHERE app = ?", (app,)).fetchone()
        return load(row[0]) if row is not None else {}

    @told("write")
    def save_wiring(self, app: str, table: Mapping[str, Sequence[str]]) -> None:
        """Store the table of owed slots."""
        self.db.execute("INSERT OR REPLACE INTO wirings VALUES (?, ?)", (app, dump(table).decode()))

    @told("read")
    def state(self, group: int, partition: int, after: str, limit: int) -> list[tuple[str, bytes]]:
        """Stored keys and values, in the order of the keys, those above `after`."""
        return self.db.execute(
            "SELECT key, value FROM state WHERE grp = ? AND part = ? AND key > ? ORDER BY key LIMIT ?",
            (group, partition, after, limit),
        ).fetchall()


def position(topic: int, partition: int, offset: int) -> int:
    """A record's rowid."""
    return (topic << (PARTITION_BITS + OFFSET_BITS)) | (partition << OFFSET_BITS) | offset


def place(pos: int) -> tuple[int, int, int]:
    """Topic number, partition and offset of a rowid."""
    return (
        pos >> (PARTITION_BITS + OFFSET_BITS),
        (pos >> OFFSET_BITS) & (MAX_PARTITIONS - 1),
        pos & ((1 << OFFSET_BITS) - 1),
    )

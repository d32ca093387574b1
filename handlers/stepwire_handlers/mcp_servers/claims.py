"""Claims: what was begun under which key, and what came of it; one SQLite file.

A call is claimed before it is made, and its answer is stored after it:

    no row            nobody has begun                 -> claim it, and call
    claimed           begun, and no answer is known    -> nobody may call; a person looks
    answered          done                             -> the stored answer, no call
    released          confirmed that nothing happened  -> as if there had never been a row

Promises: a claim is on the disk before `claim` returns, also if the power fails then (synchronous=FULL); of
several processes on one file exactly one gets a key. Answers are kept for 90 days, three times as long as a
dead letter can be replayed; claims without an answer for ever.

A person looks with `python -m stepwire_handlers.mcp_servers.claims`, which lists the claims without an
answer, and after checking the back end says `--release TOOL KEY`: it did not happen, it may be done.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_KEPT = 90 * 86_400.0  # seconds that an answer is kept
_BUSY = 10.0  # seconds to wait for another process that writes
_SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (
    tool TEXT NOT NULL, key TEXT NOT NULL, claimed_at REAL NOT NULL, answer TEXT, answered_at REAL,
    PRIMARY KEY (tool, key)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands after `claim`: ours now, or answered, or claimed by a call that left no answer."""

    ours: bool
    answer: str | None
    since: float  #: when it was claimed, seconds since the epoch


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """A claim without an answer."""

    tool: str
    key: str
    since: float  #: seconds since the epoch


class Claims:
    """The claims in one file; made if it is missing.

    Args:
        path: the file; on a disk of this machine, and one that outlives the process.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()  # the connection is used from worker threads, one at a time
        self._db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        _write_ahead(self._db)
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(_SCHEMA)
        self._db.execute("DELETE FROM claims WHERE answered_at < ?", (time.time() - _KEPT,))

    def claim(self, tool: str, key: str) -> Standing:
        """Claim a key, unless somebody has."""
        with self._lock:
            while True:  # a second time only if the claim was released between the two statements
                now = time.time()
                made = self._db.execute(
                    "INSERT INTO claims (tool, key, claimed_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (tool, key, now),
                )
                if made.rowcount == 1:
                    return Standing(ours=True, answer=None, since=now)
                row = self._db.execute(
                    "SELECT answer, claimed_at FROM claims WHERE tool = ? AND key = ?", (tool, key)
                ).fetchone()
                if row:
                    return Standing(ours=False, answer=row[0], since=row[1])

    def answer(self, tool: str, key: str, answer: str) -> None:
        """Store what came of it."""
        with self._lock:
            self._db.execute(
                "UPDATE claims SET answer = ?, answered_at = ? WHERE tool = ? AND key = ?",
                (answer, time.time(), tool, key),
            )

    def release(self, tool: str, key: str) -> bool:
        """Take a claim without an answer back: nothing happened. False if there is none."""
        with self._lock:
            gone = self._db.execute("DELETE FROM claims WHERE tool = ? AND key = ? AND answer IS NULL", (tool, key))
            return gone.rowcount == 1

    def open_claims(self) -> list[OpenClaim]:
        """The claims without an answer, oldest first; among them those whose call is running now."""
        with self._lock:
            rows = self._db.execute(
                "SELECT tool, key, claimed_at FROM claims WHERE answer IS NULL ORDER BY claimed_at"
            ).fetchall()
        return [OpenClaim(*row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _write_ahead(database: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log, once for all its processes.

    The race: two servers start on a new file. Both read that it is not switched yet, both go for the exclusive
    lock, and SQLite answers "database is locked" at once, whatever the timeout, since waiting for each other would
    be a deadlock. The one that lost tries again: by then the file is switched, and nothing is left to lock.
    """
    until = time.monotonic() + _BUSY
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def claims_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the claims are: STEPWIRE_CLAIMS, by default `.stepwire/claims.db` in the working directory."""
    return Path(environ.get("STEPWIRE_CLAIMS") or ".stepwire/claims.db")


def main(arguments: list[str] | None = None) -> int:
    """List the claims without an answer, or release one."""
    parser = argparse.ArgumentParser(prog="claims", description=main.__doc__)
    parser.add_argument("--release", nargs=2, metavar=("TOOL", "KEY"), help="it did not happen; it may be done")
    options = parser.parse_args(arguments)
    claims = Claims(claims_path())
    try:
        if options.release:
            released = claims.release(*options.release)
            sys.stdout.write("released\n" if released else "there is no such claim without an answer\n")
            return 0 if released else 1
        for claim in claims.open_claims():
            since = datetime.fromtimestamp(claim.since, UTC).isoformat(timespec="seconds")
            sys.stdout.write(f"{since}  {claim.tool}  {claim.key}\n")
        return 0
    finally:
        claims.close()


if __name__ == "__main__":
    sys.exit(main())

"""What the first version of each stored form looks like, kept as text. `python -m tests.stored.golden` wrote it, once.

Out: `v1.json`, what lies on the topics, in state and in progress; `v1.sql`, the whole file as SQL; `retried.json`, the
end of a delivery that was tried again, which came later and only adds fields. A change of a stored
form needs a new version byte and a golden pair of its own beside these; these stay, and must still be read.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from pathlib import Path

from tests.stored.office import closed_for_today, lying
from tests.stored.shop import retried

HERE = Path(__file__).parent
RECORDS, FILE, RETRIED = HERE / "v1.json", HERE / "v1.sql", HERE / "retried.json"


def dumped(path: Path) -> str:
    """The whole file as SQL; the version that it is of too."""
    connection = sqlite3.connect(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        text = "\n".join([*connection.iterdump(), f"PRAGMA user_version = {version};", ""])
        return text.replace(str(HERE.parents[1]), "/srv")  # in a traceback: where this was written is nobody's business
    finally:
        connection.close()


def restored(path: Path) -> None:
    """The file again."""
    connection = sqlite3.connect(path)
    connection.executescript(FILE.read_text("utf-8"))
    connection.close()


def write() -> None:
    """Write both."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "office.db"
        asyncio.run(closed_for_today(path))
        RECORDS.write_text(json.dumps(asyncio.run(lying(path)), indent=1) + "\n", "utf-8")
        FILE.write_text(dumped(path), "utf-8")
    end = asyncio.run(retried())
    RETRIED.write_text(json.dumps([end.key, dict(end.headers), end.value.decode()], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    write()

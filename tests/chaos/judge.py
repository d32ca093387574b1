"""The verdict. It imports nothing of Stepwire: it reads the published list, the SQLite file and the effects.

lost: published runs without an end, a dead letter or an unknown outcome. duplicated: outputs or results that are
there twice. effects_twice: effects that began, or ended, more than once for one key. unexplained: outcomes that wait
for a person although their output is there.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from hashlib import blake2b
from pathlib import Path


def rows(path: Path) -> list[tuple[str, dict[str, str], str]]:
    """(topic, headers, value) of every record."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = database.execute(
        "SELECT t.name, e.headers, e.value FROM events e JOIN topics t ON (e.pos >> 44) = t.id"
    ).fetchall()
    database.close()
    return [(name, json.loads(headers), value) for name, headers, value in found]


def unknown(path: Path) -> set[str]:
    """Identities of deliveries that wait for a person because nobody knows whether they happened."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = database.execute("SELECT key, value FROM state WHERE key LIKE 'i/%'").fetchall()
    database.close()
    return {key[2:] for key, value in found if b'"unknown"' in bytes(value).split(b"\n", 1)[0]}


def judge(folder: Path) -> dict[str, int]:
    """The counts."""
    records = rows(folder / "bus.db")
    published = [json.loads(line)["run"] for line in (folder / "published.jsonl").read_text().splitlines()]
    ended = Counter(h["ce_swrun"] for name, h, _ in records if name in ("sent", "shelved"))
    dead = {h["ce_swrun"] for name, h, _ in records if name.endswith(".dlt")}
    waiting = unknown(folder / "bus.db")
    approved = {_identity(h): h["ce_swrun"] for name, h, _ in records if name == "approved"}
    parked = {approved[id_] for id_ in waiting if id_ in approved}
    outputs = Counter(
        (name, h["ce_source"], h["ce_id"]) for name, h, _ in records if "ce_id" in h and not name.endswith(".dlt")
    )
    log = folder / "once.log"
    effects = Counter(log.read_text().splitlines() if log.exists() else [])
    return {
        "published": len(published),
        "completed": sum(run in ended for run in published),
        "lost": sum(run not in ended and run not in dead and run not in parked for run in published),
        "duplicated": sum(n - 1 for n in outputs.values()) + sum(n - 1 for n in ended.values()),
        "effects_twice": sum(n - 1 for n in effects.values()),
        "unknown": len(parked),
        "unexplained": len(parked & ended.keys()),
        "dead_letters": len(dead),
    }


def _identity(headers: dict[str, str]) -> str:
    """BLAKE2b-128 over the length-prefixed source and id, as the format's description says."""
    parts = [headers["ce_source"].encode(), headers["ce_id"].encode()]
    return blake2b(b"".join(len(p).to_bytes(4, "big") + p for p in parts), digest_size=16).hexdigest()


if __name__ == "__main__":
    counts = judge(Path(sys.argv[1]))
    sys.stdout.write(" ".join(f"{name}={count}" for name, count in counts.items()) + "\n")

"""The verdict. It imports nothing of Stepwire: it reads the published list, the SQLite file and the stand-ins' files.

Every published run is completed (it has a result), dropped (a person gave its dead letter up), dead (a dead letter that
nobody answered), unknown (an effect of which nobody knows whether it happened), or lost. Beside that: outputs and
results that are there twice, effects that happened twice, and unknown outcomes that no kill explains.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

RESULTS = frozenset({
    "articles.finished", "support.answers", "review.published", "review.shelved", "polish.finished", "polish.given-up",
    "invoices.done", "invoices.set-aside", "sent", "shelved",
})  # fmt: skip
BAD = ("lost", "outputs_twice", "results_twice", "effects_twice", "effects_missing", "unexplained")


class Row(NamedTuple):
    """A record, as it lies in the file."""

    topic: str
    headers: dict[str, str]
    value: bytes


def read(path: Path, query: str) -> list[tuple]:  # type: ignore[type-arg]
    """Rows of a SQLite file that others write to."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def records(path: Path) -> Iterator[Row]:
    """Every record."""
    for name, headers, value in read(
        path, "SELECT t.name, e.headers, e.value FROM events e JOIN topics t ON (e.pos >> 44) = t.id"
    ):
        yield Row(name, json.loads(headers), value if isinstance(value, bytes) else value.encode())


def identity(headers: dict[str, str]) -> str:
    """BLAKE2b-128 over the length-prefixed source and id, as the format's description says."""
    parts = [headers["ce_source"].encode(), headers["ce_id"].encode()]
    return blake2b(b"".join(len(p).to_bytes(4, "big") + p for p in parts), digest_size=16).hexdigest()


class Facts:
    """What the files say."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        rows = list(records(folder / "bus.db"))
        lines = (folder / "published.jsonl").read_text().splitlines()
        self.published = {json.loads(line)["run"]: json.loads(line)["app"] for line in lines}
        emitted = [row for row in rows if "ce_swhandler" in row.headers and "ce_id" in row.headers]
        emitted = [row for row in emitted if not row.topic.endswith(".dlt")]
        self.outputs = Counter((row.topic, row.headers["ce_source"], row.headers["ce_id"]) for row in emitted)
        self.results = Counter(row.headers["ce_swrun"] for row in emitted if row.topic in RESULTS)
        self.done = {row.headers["ce_swrun"]: json.loads(row.value) for row in emitted if row.topic == "invoices.done"}
        runs = [json.loads(row.value) for row in rows if row.topic.endswith(".runs")]
        self.dropped = {body["run"] for body in runs if body["why"] == "dropped"}
        self.dead = [row.headers for row in rows if row.topic.endswith(".dlt")]
        by_id = {identity(row.headers): row.headers["ce_swrun"] for row in emitted}
        stored = read(folder / "bus.db", "SELECT key, value FROM state WHERE key LIKE 'i/%'")
        parked = {key[2:] for key, value in stored if b'"unknown"' in bytes(value).split(b"\n", 1)[0]}
        self.parked = {by_id[id_] for id_ in parked if id_ in by_id}

    def claims(self) -> set[tuple[str, str]]:
        """(tool, key) of effects that were begun and of which no answer is known."""
        path = self._folder / "claims.db"
        return set(read(path, "SELECT tool, key FROM claims WHERE answer IS NULL")) if path.exists() else set()

    def unknown(self) -> dict[str, str]:
        """Run -> delivery of tool calls whose outcome nobody knows: the server itself says so."""
        wrong = [headers for headers in self.dead if headers["kafka_dlt-exception-fqcn"].endswith("OutcomeUnknown")]
        return {headers["ce_swrun"]: headers["sw_delivery"] for headers in wrong}

    def effects(self) -> Counter[str]:
        """Everything that happened outside, by what makes it one intention."""
        found: Counter[str] = Counter()
        for path in (self._folder / "slack").glob("[0-9]*.md"):
            found["message " + path.read_text().partition("\n\n")[2].strip()] += 1
        for path in (self._folder / "drafts").glob("[0-9]*.eml"):
            mail = message_from_bytes(path.read_bytes())
            found[f"draft {mail['To']} {mail['Subject']}"] += 1
        log = self._folder / "once.log"
        found.update(f"once {line}" for line in (log.read_text().splitlines() if log.exists() else []))
        return found


def _told(told: str, number: str) -> bool:
    """Do a message and a draft lie outside?"""
    return f"invoice {number} of " in told and f" Your invoice {number}\n" in told + "\n"


def judge(folder: Path) -> dict[str, int]:
    """The counts."""
    facts = Facts(folder)
    ended = facts.results.keys() | facts.dropped
    unknown = facts.unknown()
    waiting = {run: key for run, key in unknown.items() if run not in ended}
    dead = {headers["ce_swrun"] for headers in facts.dead} - ended - waiting.keys()
    resolved = ended | waiting.keys() | dead | facts.parked
    effects, claims = facts.effects(), facts.claims()
    keys = {re.sub(r"#\d+$", "", key) for _, key in claims}
    told = "\n".join(effects)
    return {
        "published": len(facts.published),
        "completed": sum(run in facts.results for run in facts.published),
        "dropped": len(facts.dropped - facts.results.keys()),
        "dead_letters": len(dead),
        "unknown": len(waiting) + len(facts.parked),
        "lost": sum(run not in resolved for run in facts.published),
        "outputs": facts.outputs.total(),
        "outputs_twice": facts.outputs.total() - len(facts.outputs),
        "results_twice": facts.results.total() - len(facts.results),
        "effects": effects.total(),
        "effects_twice": effects.total() - len(effects),
        "effects_missing": sum(not _told(told, value["invoice"]["number"]) for value in facts.done.values()),
        "unexplained": len(facts.parked & ended)
        + sum(not any(key.startswith(delivery) for key in keys) for delivery in waiting.values()),
    }


if __name__ == "__main__":
    counts = judge(Path(sys.argv[1]))
    sys.stdout.write(" ".join(f"{name}={count}" for name, count in counts.items()) + "\n")
    sys.exit(1 if any(counts[name] for name in BAD) else 0)

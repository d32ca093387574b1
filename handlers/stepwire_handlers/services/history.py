"""The records of runs in the local bus's file, for those who follow runs.

In: an open store and a run's name, or how it begins. Out: its records, or its whole name. Reading changes nothing.
Raises BusUnavailable, BusCorrupt.
"""

from __future__ import annotations

from stepwire.bus.protocol import Record
from stepwire.bus.sqlite import Store, place, position, run_hash
from stepwire.bus.sqlite_errors import told
from stepwire.jsontext import load


class History:
    """Reads the runs of one file."""

    def __init__(self, store: Store) -> None:
        self._store, self.path = store, store.path

    @told("read")
    def of_run(self, run: str) -> list[Record]:
        """Every record of a run, on whatever topic, oldest first."""
        return self._records("run = ?", self._store.find_run(run))

    @told("read")
    def of_no_run(self, topic: str, text: str) -> list[Record]:
        """The records of a topic that are of no run and have this text in their value, oldest first."""
        number, _ = self._store.topics().get(topic, (-1, 0))
        bounds = position(number, 0, 0), position(number + 1, 0, 0)
        return self._records("pos >= ? AND pos < ? AND run IS NULL AND instr(value, ?)", *bounds, text.encode())

    def _records(self, which: str, *values: object) -> list[Record]:
        names = {id_: name for name, (id_, _) in self._store.topics().items()}
        rows = self._store.db.execute(
            f"SELECT pos, time, key, headers, value FROM events WHERE {which} ORDER BY time, pos",  # noqa: S608 - ours
            values,
        ).fetchall()
        return [
            Record(names[topic], partition, offset, time, key, load(headers), value)
            for pos, time, key, headers, value in rows
            for topic, partition, offset in (place(pos),)
        ]

    @told("read")
    def mark(self, run: str) -> tuple[int, int]:
        """What changes when a run gets another record, for those who wait for one: cheaper than reading it."""
        number = self._store.find_run(run)
        row = self._store.db.execute("SELECT count(*), coalesce(max(pos), 0) FROM events WHERE run = ?", (number,))
        count, last = row.fetchone()
        return int(count), int(last)

    def run_named(self, prefix: str) -> str | None:
        """The one run whose name begins so; None if there is none, or more than one."""
        found = self.runs_named(prefix)
        return found[0] if len(found) == 1 else None

    @told("read")
    def runs_named(self, prefix: str) -> list[str]:
        """The runs whose names begin so."""
        try:
            low, high = int(prefix[:15].ljust(15, "0"), 16), int(prefix[:15].ljust(15, "f"), 16)
        except ValueError:  # a name that is no hash, given from outside
            low = high = run_hash(prefix)
        rows = self._store.db.execute("SELECT name FROM runs WHERE number BETWEEN ? AND ?", (low, high)).fetchall()
        return [name for (name,) in rows if name.startswith(prefix)]

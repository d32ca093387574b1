"""So many runs that are open at once, and what it costs to count them.

    python -m tests.telemetry.crowd FILE

Looks four times at a file that `fill` made, and prints a line of JSON: how many runs are open, by how many MB this
process grew since it had looked at an empty file, and the seconds of CPU that the slowest look took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.door.load import memory
from tests.door.shop import APP, Big, Order

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Change, Out, Record
from stepwire.bus.sqlite import Store, place, position
from stepwire.dispatch.step import control_topic, dead_letter_topic, group_name
from stepwire.state import keep
from stepwire.worker import topics_of
from stepwire_handlers.services.dead_letter import NUMBERS, TEXTS
from stepwire_handlers.services.tally import Teller, reader

PAGE = 10_000
Row = tuple[int, float, Out]


def fill(path: Path, behind: int, gates: int = 0, letters: int = 0) -> None:
    """A file with so many orders that nobody took, gates that nobody decided, and dead letters that nobody answered."""
    store = Store(str(path))
    store.begin()
    store.add_topics(topics_of(APP, APP.settings))
    group, _ = store.group(group_name(APP.name, "approve"))
    store.commit()
    orders(store, 0, behind)
    asked = [*_rows(store, Big.spec.topic, range(behind, behind + gates))]
    _write(store, asked)
    _, partitions = store.topics()[control_topic(APP.name, "approve")]
    store.begin()
    store.save_state(group, [_gate(n, n % partitions, row) for n, row in enumerate(asked)])
    number, partitions = store.topics()[Big.spec.topic]
    store.save_progress([(group, number, part, store.end(number, part), "") for part in range(partitions)])
    store.commit()
    _write(store, [*_letters(store, range(behind + gates, behind + gates + letters))])
    store.close()


def orders(store: Store, begin: int, end: int) -> None:
    """Orders of so many runs."""
    for first in range(begin, end, PAGE):
        _write(store, [*_rows(store, Order.spec.topic, range(first, min(first + PAGE, end)))])


def _write(store: Store, rows: list[Row]) -> None:
    store.begin()
    store.append(rows)
    store.commit()


def _rows(store: Store, topic: str, numbers: range) -> Iterator[Row]:
    out, _ = APP.record(Order(n=1), now=1.0)
    id_, partitions = store.topics()[topic]
    for number in numbers:
        headers = {**out.headers, "ce_id": f"{number:032x}", "ce_swrun": _name(number)}
        where = position(id_, number % partitions, number // partitions)
        yield where, 1e9 + number, Out(topic, f"{number:032x}", headers, out.value)


def _name(number: int) -> str:
    """A run's name, which begins as random as they do."""
    return f"{number * 2_654_435_761 % 2**60:015x}{number:017x}"


def _gate(number: int, partition: int, row: Row) -> Change:
    where, time_, out = row
    _, part, offset = place(where)
    record = Record(out.topic, part, offset, time_, out.key, out.headers, out.value)
    entry = keep(record, kind="part", run=out.headers["ce_swrun"], scope="")
    return Change(partition, f"j/{number:032x}/asked", entry.encode())


def _letters(store: Store, numbers: range) -> Iterator[Row]:
    topic, _ = store.topics()[dead_letter_topic(APP.name, "check")]
    for offset, number in enumerate(numbers):
        headers = {
            **dict.fromkeys(TEXTS, ""), **dict.fromkeys(NUMBERS, "0"), "ce_swrun": _name(number), "sw_kind": "event",
            "sw_delivery": f"shop/check/{number:032x}", "kafka_dlt-exception-stacktrace": "x" * 4_096,
        }  # fmt: skip
        yield position(topic, 0, offset), 2e9, Out(dead_letter_topic(APP.name, "check"), None, headers, b"{}")


def looked(path: Path, looks: int) -> tuple[int, float]:
    """How many runs are open, and the seconds of CPU that the slowest of so many looks took."""
    other = reader(LocalBus(str(path)))
    teller, slowest, found = Teller(APP, other), 0.0, 0
    for _ in range(looks):
        begun = time.thread_time()
        found = sum(teller.look().open)
        slowest = max(slowest, time.thread_time() - begun)
    other.store.close()
    return found, slowest


def main() -> None:
    """Look, and say what it cost."""
    path = Path(sys.argv[1])
    fill(path.with_name("empty.db"), 10)
    looked(path.with_name("empty.db"), 2)
    before = memory("self")
    found, slowest = looked(path, 4)
    print(json.dumps({"open": found, "grew_mb": memory("self") - before, "seconds": slowest}))  # noqa: T201


if __name__ == "__main__":
    main()

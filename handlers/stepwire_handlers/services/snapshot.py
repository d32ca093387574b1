"""One consistent look at the local bus's file, and what lies in mailboxes that no worker has read yet.

In: an open bus. Out: a context in which every read sees the same moment, and `Unread`: which deliveries and joins have
messages on their control topic that nobody has applied. Without the first, a run could be seen between a part that is
not read yet and its entry that is not stored yet, and look closed; without the second, a decision that is under way
would still be asked for. Errors of SQLite leave as errors of the bus.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition, Progress
from stepwire.bus.sqlite_errors import meaning
from stepwire.dispatch.mail import message
from stepwire.dispatch.step import control_topic, group_name
from stepwire.errors import DecodeError
from stepwire.ledger import Ledger

PAGE = 1_000
COPY = "#mirror"  #: the group under which a copy of Kafka's topics says how far it follows; a local bus has none
MOST = 20_000  #: unread messages of one partition that are looked at; more is a worker that has much to do anyway


@contextmanager
def snapshot(bus: LocalBus) -> Iterator[None]:
    """Everything read inside is of one moment. Do not await inside. Raises BusUnavailable, BusCorrupt."""
    database = bus.store.db
    if database.in_transaction:  # inside another snapshot
        yield
        return
    try:
        database.execute("BEGIN")
        bus.catch_up()
        yield
    except sqlite3.Error as error:
        raise meaning(error, "read", bus.path) from error
    finally:
        if database.in_transaction:
            database.execute("COMMIT")


class Unread:
    """The messages of an app's control topics that no worker has applied."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self._app, self._bus = app, bus
        self._groups = bus.store.groups()
        self._known: dict[str, Mapping[str, frozenset[str]]] = {}
        self._whole: dict[str, bool] = {}  #: handler -> were all its unread messages looked at?
        self._progress: dict[str, Mapping[tuple[int, int], Progress]] = {}

    def kinds(self, handler: str, id_: str) -> frozenset[str]:
        """Which kinds of messages wait for a delivery or join: part, absent, blocked, decision, replay, resolve."""
        known = self._known.get(handler)
        if known is None:
            known = self._known[handler] = self._read(handler)
        return known.get(id_, frozenset())

    def passed(self, handler: str, id_: str, places: Sequence[tuple[Partition, int]]) -> bool:
        """Is a handler done with these records, and no message for the delivery or join on its way?

        If nothing of it is stored either, it never took them: it began at a later point of its topics.
        """
        done = bool(places) and all(self._done(handler, place, offset) for place, offset in places)
        return done and not self.kinds(handler, id_) and self._whole.get(handler, True)

    def _done(self, handler: str, place: Partition, offset: int) -> bool:
        if handler not in self._progress:
            group, _ = self._groups.get(group_name(self._app.name, handler), (-1, 0))
            self._progress[handler] = self._bus.store.progress(group)
        number, _ = self._bus.log.topics[place.topic]
        progress = self._progress[handler].get((number, place.number), Progress(0))
        return offset < progress.watermark or not Ledger(progress).begin(offset)

    def _read(self, handler: str) -> Mapping[str, frozenset[str]]:
        topic = control_topic(self._app.name, handler)
        group = self._groups.get(group_name(self._app.name, handler))
        if group is None or topic not in self._bus.log.topics:
            return {}
        number, partitions = self._bus.log.topics[topic]
        progress = self._bus.store.progress(group[0])
        found: dict[str, frozenset[str]] = {}
        for part in range(partitions):
            ledger = Ledger(progress.get((number, part), Progress(0)))
            for id_, kind in self._messages(Partition(topic, part), ledger):
                found[id_] = found.get(id_, frozenset()) | {kind}
            whole = ledger.next >= self._bus.log.end(Partition(topic, part))
            self._whole[handler] = self._whole.get(handler, True) and whole
        return found

    def _messages(self, partition: Partition, ledger: Ledger) -> Iterator[tuple[str, str]]:
        looked = 0
        while looked < MOST and (records := self._bus.log.take(partition, ledger.next, PAGE)):
            looked += len(records)
            for record in records:
                if not ledger.begin(record.offset):
                    continue  # finished, though the watermark has not passed it
                try:
                    meta = message(record.value).meta
                except DecodeError:
                    continue  # the worker skips it too
                yield str(meta.get("id", "")), str(meta.get("kind", ""))

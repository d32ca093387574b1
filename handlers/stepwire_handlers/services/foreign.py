"""Events that programs which know nothing of us published, and the runs that they begin or join.

In: an app, a record. Out: the run that handlers will say it belongs to, so that a run shows what it began with, and is
there before its first step is over.

An event that lay on its topic before anybody took it belongs to no run, and no record says which ones those are. So
only of what a group still has before it, or where the run is known by what came of it, the run is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from stepwire import App
from stepwire.bus.protocol import Out, Partition, Record
from stepwire.bus.sqlite import Store, position
from stepwire.codec import Decoded, derived_run
from stepwire.dispatch.step import group_name
from stepwire.errors import DecodeError
from stepwire.jsontext import dump
from stepwire_handlers.services.closing import Reader

RUN = "ce_swrun"
LATELY = 200_000  #: records in all, the youngest of each partition, looked up when a copy is made: some seconds
SOME = 500  #: of them in one transaction


class Foreign:
    """What foreign events mean to one app."""

    def __init__(self, app: App) -> None:
        self._app, self._codecs, self._answers = app, Reader(app).codecs, app.wiring.answers
        self._groups: dict[str, list[str]] = {}
        for handler in app.runnable:
            for topic in {event.spec.topic for event in handler.signature.taken} & self._codecs.keys():
                self._groups.setdefault(topic, []).append(group_name(app.name, handler.name))

    def run(self, record: Record) -> str:
        """The run that it begins or joins. Empty: it says so itself, nobody takes it, or nobody can say."""
        if record.headers.get(RUN) or record.topic not in self._groups:
            return ""
        try:
            found = self._codecs[record.topic].decode(record)
        except DecodeError:
            return ""
        if not isinstance(found, Decoded) or type(found.event) in self._answers:
            return ""
        return derived_run(found.envelope, found.event, self._app.name)

    def out(self, record: Record, watermarks: Callable[[str], Mapping[Partition, int]]) -> Out:
        """The record as a copy keeps it: with its run, if a group has it still before it."""
        place, headers = Partition(record.topic, record.partition), record.headers
        if RUN not in headers and any(
            record.offset >= watermarks(group).get(place, 0) for group in self._groups.get(record.topic, ())
        ):
            run = self.run(record)
            headers = {**headers, RUN: run} if run else headers
        return Out(record.topic, record.key, headers, record.value)

    def known(self, store: Store, topics: Mapping[str, tuple[int, int]]) -> Iterator[Callable[[], None]]:
        """Of the youngest records of a store, those whose run is there already: what writes it down, some at a time."""
        known = self._groups.keys() & topics.keys()
        lately = LATELY // max(sum(topics[topic][1] for topic in known), 1)
        for topic in known:
            number, count = topics[topic]
            for part in range(count):
                end = store.end(number, part)
                for begin in range(max(end - lately, 0), end, SOME):
                    yield lambda t=topic, n=number, p=part, b=begin: self._tell(store, t, n, p, b)  # type: ignore[misc]

    def _tell(self, store: Store, topic: str, number: int, part: int, begin: int) -> None:
        for record in store.read(topic, number, part, begin, SOME):
            if record.offset < begin + SOME and (run := self.run(record)) and (row := store.find_run(run)) is not None:
                store.db.execute(
                    "UPDATE events SET run = ?, headers = ? WHERE pos = ?",
                    (row, dump({**record.headers, RUN: run}).decode(), position(number, part, record.offset)),
                )

"""Two people who decide one thing at once: whose decision counts.

In: a control topic as it was while the thing was seen to wait, and where a decision was written since. Out: the one
that lies before it, if there is one: workers take the first (`dispatch/mail.py`). None needs to run for that.

On one file people take turns (`known.Turns.alone`), so the second finds nothing that waits. Of two machines on Kafka
both may write, and only here the second is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition, Record
from stepwire.dispatch.mail import message
from stepwire.errors import DecodeError, StepwireError
from stepwire.gate import is_genuine
from stepwire.state import Entry
from stepwire_handlers.services.snapshot import COPY, snapshot

PAGE = 1_000
Ends = Mapping[Partition, int]
PAST = {"done": "it was done", "redo": "do it again", "drop": "give it up"}


class DecidedAlready(StepwireError):
    """Somebody was faster: what was written does not count."""


def ends(bus: LocalBus, topic: str) -> Ends:
    """Where a control topic ends now."""
    return {place: bus.log.end(place) for place in bus.log.partitions(topic)} if topic in bus.log.topics else {}


def won(bus: LocalBus, before: Ends, at: tuple[Partition, int], mine: Entry, key: str) -> bool:
    """Does the decision that was written there count? False: nobody knows, for it is gone from here already.

    Raises DecidedAlready.
    """
    place, offset = at
    if place not in before:
        return True  # nobody looked at what lies there
    with snapshot(bus):
        for record in _between(bus, place, before[place], offset):
            if record.offset == offset:
                return True
            if (other := _rival(record, mine, key)) is not None:
                raise DecidedAlready(_said(other))
        return COPY not in bus.store.groups()  # on one file it was this one's turn


def _between(bus: LocalBus, place: Partition, begin: int, last: int) -> Iterator[Record]:
    while records := bus.log.take(place, begin, PAGE):
        yield from (record for record in records if record.offset <= last)
        if (begin := records[-1].offset + 1) > last:
            return


def _rival(record: Record, mine: Entry, key: str) -> Entry | None:
    """A word about the same thing that a worker takes."""
    try:
        entry = message(record.value)
        same = all(entry.meta.get(name) == mine.meta.get(name) for name in ("kind", "id", "of"))
        whole = entry.meta.keys() >= mine.meta.keys() - {"sig", "type"}  # an edit has a type
        return entry if same and whole and is_genuine(entry, key) else None
    except DecodeError:
        return None  # the worker skips it too


def _said(other: Entry) -> str:
    meta = other.meta
    if meta["kind"] == "resolve":
        what = PAST.get(meta["verdict"], meta["verdict"])
    else:
        what = "approved" if meta["approved"] else "declined"
    return f"{meta['by'] or 'somebody'} decided {meta['id'][:12]} a moment before: {what}. Yours does not count"

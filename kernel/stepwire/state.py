"""Keyed state of one control partition: the handler's mailbox.

One entry type serves part, open, decision, parked, claim, order, dedupe, replay and stub. An entry is also what travels
on a control topic. In: entries, by key. Out: what is in memory is always exactly the fold of what was put, so that a
fresh scan gives the same; only `calling` (what runs just now) is not stored.

Raw form: a version byte, the meta as JSON, a line feed, the headers of the kept record as JSON, a line feed, its value.
Only the meta is read on restore; records are decoded at the call.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple

from stepwire.bus.protocol import Record
from stepwire.errors import DecodeError
from stepwire.join import JoinState, Rules, judge
from stepwire.jsontext import dump, load

VERSION = b"1"
JOIN, ITEM, SEEN, VERDICT = "j/", "i/", "d/", "v/"
AHEAD = 16  #: so many events of one order value may be called before the first of them is committed (R12 counts on it)


class Entry(NamedTuple):
    """What is kept, or travels on a control topic; `meta["kind"]` says what it is."""

    meta: Mapping[str, Any]
    headers: Mapping[str, str] = {}
    value: bytes = b""

    @property
    def from_outside(self) -> bool:
        """Was this event published, and not emitted by a handler?"""
        return not self.headers.get("ce_swhandler")

    def encode(self) -> bytes:
        """The raw form."""
        headers = dump(self.headers) if self.headers else b""
        return b"".join((VERSION, dump(self.meta), b"\n", headers, b"\n", self.value))


def decode_meta(raw: bytes) -> dict[str, Any]:
    """Only the meta. Raises DecodeError for another version."""
    if raw[:1] != VERSION:
        raise DecodeError("a state entry", f"it has format {raw[:1]!r}, this release reads {VERSION!r}")
    meta: dict[str, Any] = load(raw[1 : raw.index(b"\n")])
    return meta


def decode_entry(raw: bytes) -> Entry:
    """The whole entry."""
    head, headers, value = raw.split(b"\n", 2)
    if head[:1] != VERSION:
        raise DecodeError("a state entry", f"it has format {head[:1]!r}, this release reads {VERSION!r}")
    return Entry(load(head[1:]), load(headers) if headers else {}, value)


def keep(record: Record, **meta: Any) -> Entry:
    """An entry that keeps a whole record."""
    place = {"t": record.topic, "p": record.partition, "o": record.offset, "at": record.time, "k": record.key}
    return Entry({**meta, **place}, record.headers, record.value)


def kept(entry: Entry) -> Record:
    """The record that an entry keeps."""
    meta = entry.meta
    return Record(meta["t"], meta["p"], meta["o"], meta["at"], meta.get("k"), entry.headers, entry.value)


def settled_late(stub: Mapping[str, Any], left: Sequence[str], *, outside: bool) -> Entry | None:
    """The stub once late parts have come; it stays for `keep` where a publisher may send a part again (R9)."""
    outside = outside or stub.get("outside", False)
    return Entry({**stub, "outside": outside, "outstanding": left or None}) if left or outside else None


class Mailbox:
    """The state of one control partition, in memory.

    What may be called next is in `ready` (items) and `touched` (joins); the dispatcher asks again before it calls.
    """

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.items: dict[str, bytes] = {}
        self.joins: dict[str, JoinState] = {}
        self.seen: dict[str, float] = {}
        self.verdicts: dict[str, dict[str, Any]] = {}
        self.queues: dict[str, dict[str, None]] = {}  #: order value -> ids, first in first out
        self.passed: set[str] = set()  #: ids in `queues` that returned for good and wait for their commit
        self.calling: set[str] = set()
        self.fresh: dict[str, set[str]] = {}  #: id of what is being called -> keys that messages wrote meanwhile
        self.ready: deque[str] = deque()
        self.touched: OrderedDict[str, None] = OrderedDict()
        self.sequence = 0
        self.heard = 0.0  #: what was said before this time is read: so far deadlines count
        self.overdue: set[str] = set()  #: joins past their deadline as far as the clock goes
        self.asked: tuple[int, float] | None = None  #: where its messages ended, and when that was
        self._timers: list[tuple[float, str]] = []

    def hear(self, upto: int, end: int | None = None, at: float = 0.0) -> None:
        """Messages are read up to there; `end` is where they ended at a time: once they are read, deadlines count."""
        if self.asked is None and end is not None:
            self.asked = (end, at)
        if self.asked is not None and upto >= self.asked[0]:
            self.heard, self.asked = self.asked[1], None
            self.touched.update(dict.fromkeys(self.overdue))
            self.overdue.clear()

    def write(self, key: str, raw: bytes | None, meta: Mapping[str, Any] | None = None) -> None:
        """Apply what a message changes, at once; a call's changes that are committed earlier must not undo it."""
        id_ = key[2:].partition("/")[0]
        if id_ in self.calling:
            self.fresh.setdefault(id_, set()).add(key)
        self.put(key, raw, meta)

    def put(self, key: str, raw: bytes | None, meta: Mapping[str, Any] | None = None) -> None:
        """Apply one change; None removes. `meta` is what `raw` says, for those who know it already."""
        kind, rest = key[:2], key[2:]
        if kind == JOIN:
            id_, _, slot = rest.partition("/")
            self._put_slot(id_, slot, raw, meta)
        elif kind == ITEM:
            self._put_item(rest, raw)
        elif kind == SEEN:
            self._put_until(self.seen, key, rest, raw)
        else:
            self._put_verdict(key, rest, raw)

    def _put_slot(self, id_: str, slot: str, raw: bytes | None, meta: Mapping[str, Any] | None) -> None:
        join = self.joins.get(id_)
        if join is None:
            if raw is None:
                return
            join = self.joins[id_] = JoinState(id_)
        join.put(slot, raw, meta or decode_meta(raw) if raw is not None else None)
        if join.empty:
            del self.joins[id_]
        else:
            self.touched[id_] = None

    def _put_item(self, id_: str, raw: bytes | None) -> None:
        old = self.items.pop(id_, None)
        latest = old if raw is None else raw
        meta = decode_meta(latest) if latest is not None else {}
        order = meta.get("order")
        if raw is None:
            if order is not None:
                self._leave_queue(order, id_)
            return
        self.items[id_] = raw
        self.sequence = max(self.sequence, meta.get("seq", 0))
        if order is not None:
            self.queues.setdefault(order, {})[id_] = None
        if self.is_head(id_, meta):  # else it is looked at when it is
            self._schedule(id_, meta)

    def _leave_queue(self, order: str, id_: str) -> None:
        self.passed.discard(id_)
        queue = self.queues.get(order, {})
        queue.pop(id_, None)
        if not queue:
            self.queues.pop(order, None)
        self._call_on(order)

    def pass_on(self, id_: str, order: str) -> None:
        """It returned for good. Commits go in its queue's order, so the next one need not wait for this one's."""
        self.passed.add(id_)
        self._call_on(order)

    def _call_on(self, order: str) -> None:
        if (head := self._head(order)) is not None:
            self._schedule(head, decode_meta(self.items[head]))

    def _head(self, order: str) -> str | None:
        """Whose turn it is; None: nobody's before a commit."""
        first = islice(self.queues.get(order, ()), AHEAD)
        return next((id_ for id_ in first if id_ not in self.passed), None)

    def _schedule(self, id_: str, meta: Mapping[str, Any]) -> None:
        if meta.get("unknown"):
            return
        due = meta.get("due")
        if due is None:
            self.ready.append(id_)
        else:
            self.remind(due, ITEM + id_)

    def _put_until(self, table: dict[str, float], key: str, id_: str, raw: bytes | None) -> None:
        if raw is None:
            table.pop(id_, None)
            return
        table[id_] = decode_meta(raw)["until"]
        self.remind(table[id_], key)

    def _put_verdict(self, key: str, id_: str, raw: bytes | None) -> None:
        if raw is None:
            self.verdicts.pop(id_, None)
            return
        self.verdicts[id_] = decode_meta(raw)
        self.remind(self.verdicts[id_]["until"], key)

    @property
    def waiting(self) -> int:
        """How many items could be called but for room or order."""
        return len(self.ready) + sum(len(queue) for queue in self.queues.values())

    def callable(self, rules: Rules, now: float) -> set[str]:
        """What a worker may have been calling: complete joins, due items with nothing before them that waits."""
        found = {id_ for id_, join in self.joins.items() if judge(join, rules, now) == "call"}
        metas = ((id_, decode_meta(raw)) for id_, raw in self.items.items())
        found |= {id_ for id_, meta in metas if not meta.get("unknown") and (meta.get("due") or 0.0) <= now}
        turns = (takewhile(found.__contains__, islice(queue, AHEAD)) for queue in self.queues.values())
        return found.difference(*self.queues.values()).union(*turns)

    def restore_order(self) -> None:
        """After a scan, which is in key order: put the queues into the order of their sequence numbers."""
        for order, queue in self.queues.items():
            ids = sorted(queue, key=lambda id_: decode_meta(self.items[id_]).get("seq", 0))
            self.queues[order] = dict.fromkeys(ids)
            self._schedule(ids[0], decode_meta(self.items[ids[0]]))

    def is_head(self, id_: str, meta: Mapping[str, Any]) -> bool:
        """May this item be called as far as order goes?"""
        order = meta.get("order")
        return order is None or self._head(order) == id_

    # -- timers

    def remind(self, when: float, key: str) -> None:
        """Look at this key at that time; a key that changed meanwhile is just looked at in vain."""
        heapq.heappush(self._timers, (when, key))

    @property
    def next_due(self) -> float | None:
        """When the next timer is due."""
        return self._timers[0][0] if self._timers else None

    def expire(self, now: float) -> list[str]:
        """Bring what is due to `ready` or `touched`; returns the keys of entries whose time of keeping is over."""
        over: list[str] = []
        while self._timers and self._timers[0][0] <= now:
            when, key = heapq.heappop(self._timers)
            kind, id_ = key[:2], key[2:]
            if kind == ITEM:
                if id_ in self.items and decode_meta(self.items[id_]).get("due") == when:
                    self.ready.append(id_)
            elif kind == JOIN:
                if id_ in self.joins:
                    self.touched[id_] = None
            elif kind == SEEN:
                over += [key] if self.seen.get(id_) == when else []
            elif self.verdicts.get(id_, {}).get("until") == when:
                over.append(key)
        return over

"""What an app has stored on the local bus: joins and items of its handlers, read by another process.

In: an app and an open bus. Out: joins as the kernel sees them, and items with their meta. Reading changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.dispatch.step import control_topic, group_name
from stepwire.join import JoinState
from stepwire.state import ITEM, JOIN, VERDICT, Entry, Mailbox, decode_entry, decode_meta

PAGE = 2_000
FEW = 20  #: rows at once for one join or item, which has hardly more; its neighbours are nobody's question


@dataclass(frozen=True, slots=True)
class Item:
    """One delivery that waits in a mailbox."""

    handler: str
    id: str
    entry: Entry

    @property
    def unknown(self) -> str:
        """Why nobody knows whether its effect happened; empty if it just waits."""
        return str(self.entry.meta.get("unknown") or "")


class Stored:
    """Reads the state of one app."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self._app, self._bus = app, bus
        self._groups = bus.store.groups()

    def _partitions(self, handler: str) -> range:
        return range(self._bus.log.topics.get(control_topic(self._app.name, handler), (0, 0))[1])

    def mailbox(self, handler: str, prefix: str = "") -> Mailbox:
        """Everything that a handler has stored, or what begins so."""
        mailbox = Mailbox(0)
        known = self._groups.get(group_name(self._app.name, handler))
        if known is None:
            return mailbox
        for number in self._partitions(handler):
            after = _just_before(prefix)
            while rows := self._bus.store.state(known[0], number, after, PAGE if len(prefix) <= len(JOIN) else FEW):
                for key, raw in rows:
                    if not key.startswith(prefix):
                        break
                    mailbox.put(key, raw)
                else:
                    after = rows[-1][0]
                    continue
                break
        return mailbox

    def metas(self, handler: str, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Keys that begin so, with their metas; one at a time, and nothing of what is kept with them."""
        group, _ = self._groups.get(group_name(self._app.name, handler), (-1, 0))
        for number in self._partitions(handler):
            rows = self._bus.store.db.execute(
                "SELECT key, coalesce(substr(value, 1, instr(value, x'0a')), x'') FROM state "
                "WHERE grp = ? AND part = ? AND key >= ? ORDER BY key",
                (group, number, prefix),
            )
            yield from ((key, decode_meta(raw)) for key, raw in takewhile(lambda row: row[0].startswith(prefix), rows))

    def outlines(self, handler: str, prefix: str = "") -> Iterator[JoinState]:
        """Stored joins of a handler whose id begins so, one at a time; their slots are there, what they keep is not."""
        join = JoinState("")
        for key, meta in self.metas(handler, JOIN + prefix):  # entries of one join follow each other
            id_, _, slot = key.removeprefix(JOIN).partition("/")
            if id_ != join.id:
                yield from () if join.empty else (join,)
                join = JoinState(id_)
            join.put(slot, b"kept", meta)
        yield from () if join.empty else (join,)

    def join(self, handler: str, id_: str) -> JoinState | None:
        """One join of a handler."""
        return self.mailbox(handler, f"{JOIN}{id_}/").joins.get(id_)

    def item(self, handler: str, id_: str) -> Item | None:
        """One item of a handler."""
        raw = self.mailbox(handler, ITEM + id_).items.get(id_)
        return Item(handler, id_, decode_entry(raw)) if raw is not None else None

    def verdict(self, handler: str, id_: str) -> dict[str, Any]:
        """What became of the replays of a delivery."""
        return self.mailbox(handler, VERDICT + id_).verdicts.get(id_, {"n": 0, "verdict": ""})

    def joins(self) -> Iterator[tuple[str, JoinState]]:
        """(handler, join) of every join that is not closed."""
        for handler in self._app.runnable:
            for join in self.mailbox(handler.name, JOIN).joins.values():
                if join.stub is None:
                    yield handler.name, join

    def items(self) -> Iterator[Item]:
        """Every item that waits."""
        for handler in self._app.runnable:
            for id_, raw in self.mailbox(handler.name, ITEM).items.items():
                yield Item(handler.name, id_, decode_entry(raw))


def _just_before(prefix: str) -> str:
    """A text that sorts right before everything that begins with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) - 1) + "\uffff" if prefix else ""

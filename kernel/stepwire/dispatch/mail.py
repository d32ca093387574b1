"""Step 4, meet: what a message on a control topic does to the mailbox that it is addressed to.

In: a mailbox and an entry. Out: the changes to store, already applied in memory, and why it came to nothing, if it
did. A part is stored unless a *committed* close exists (R6); the first in control order wins, others are duplicates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stepwire.bus.protocol import Change
from stepwire.dispatch.step import Step
from stepwire.errors import DecodeError
from stepwire.gate import is_genuine, occurrence
from stepwire.join import LIST, OPEN, SPECIAL, STUB, lacks
from stepwire.state import ITEM, JOIN, SEEN, Entry, Mailbox, decode_entry, settled_late

#: What a message of a kind cannot be without, besides its id
NEEDS = {
    "part": "slot t p o at", "absent": "slot run scope at", "blocked": "slot run scope at by",
    "open": "slot run scope at size", "decision": "approved by why sent", "item": "t p o at",
    "replay": "replay drop origin run t p o at", "resolve": "verdict by type",
}  # fmt: skip
#: and of which type it is
TEXTS = ("kind", "id", "slot", "run", "scope", "fork", "by", "why", "verdict", "type", "origin", "t", "order")
TYPES = {
    **dict.fromkeys(TEXTS, str), **dict.fromkeys(("p", "o", "seq", "size", "replay", "attempt"), int), "k": str | None,
    **dict.fromkeys(("approved", "drop"), bool), **dict.fromkeys(("at", "sent", "due", "newer_until"), int | float),
}  # fmt: skip


def message(raw: bytes) -> Entry:
    """A message of a control topic. Raises DecodeError for a foreign one.

    Whoever may write to the topic may write anything, and nothing of it may stop the worker whenever it starts.
    """
    try:
        entry = decode_entry(raw)
        if b"\\u" in raw:  # half of a surrogate pair could be written nowhere
            json.dumps([entry.meta, entry.headers], ensure_ascii=False).encode(errors="surrogateescape")
        wrong = _wrong(entry)
    except (ValueError, AttributeError, RecursionError) as error:
        raise DecodeError("a message", f"it is none of ours ({type(error).__name__})") from None
    if wrong:
        raise DecodeError("a message", f"{wrong} is missing or odd")
    return entry


def _wrong(entry: Entry) -> str:
    """What is missing or odd in it."""
    meta, needs = entry.meta, NEEDS.get(str(entry.meta.get("kind")), "").split()
    missing = {"id", *needs} - meta.keys()
    odd = {name for name, kind in TYPES.items() if name in meta and not isinstance(meta[name], kind)}
    odd |= {name for name, value in entry.headers.items() if not isinstance(value, str)}
    slot, most = str(meta.get("slot")), {"size": 1_000_000}  # a list is as long as it says; no timer rings at infinity
    odd |= {k for k in TYPES if isinstance(n := meta.get(k), int | float) and not -1 <= n <= most.get(k, 2**53)}
    misplaced = (slot == OPEN) != (meta.get("kind") == "open") or slot in SPECIAL - {OPEN} or "/" in str(meta.get("id"))
    if missing or odd:
        return ", ".join(sorted(missing | odd))
    return "its slot" if "slot" in needs and misplaced else ""  # id and slot make a key


class Applied(NamedTuple):
    """What a message changed; `skipped` says why nothing."""

    changes: list[Change]
    skipped: str = ""


class Mail:
    """Applies messages for one step."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._actions: Mapping[str, Callable[[Mailbox, Entry], Applied]] = {
            "part": self._slot, "absent": self._slot, "blocked": self._slot, "open": self._slot,
            "decision": self._decision, "item": self._item, "replay": self._replay, "resolve": self._resolve,
        }  # fmt: skip

    def apply(self, mailbox: Mailbox, entry: Entry) -> Applied:
        """Apply one message; a kind that this release does not know is skipped and counted."""
        kind = entry.meta.get("kind", "")
        action = self._actions.get(kind)
        if kind in ("decision", "resolve") and not is_genuine(entry, self._step.decision_key):
            return Applied([], "unsigned")
        return Applied([], "unknown_message") if action is None else action(mailbox, entry)

    def put(self, mailbox: Mailbox, key: str, entry: Entry | None) -> Change:
        """One change, applied in memory at once."""
        raw = None if entry is None else entry.encode()
        mailbox.write(key, raw, None if entry is None else entry.meta)
        return Change(mailbox.partition, key, raw)

    # -- joins

    def _slot(self, mailbox: Mailbox, entry: Entry) -> Applied:
        id_, slot, kind = entry.meta["id"], entry.meta["slot"], entry.meta["kind"]
        join = mailbox.joins.get(id_)
        if join is not None and join.stub is not None:
            return self._late(mailbox, entry)
        if join is not None:
            taken = join.open is not None if slot in (OPEN, LIST) else join.settled(slot)
            if taken or (kind == "blocked" and join.called and not (join.call or {}).get("dead")):
                return Applied([], "" if kind == "blocked" else "duplicate")
        changes = [self.put(mailbox, f"{JOIN}{id_}/{slot}", entry)]
        if slot == OPEN and LIST in mailbox.joins[id_].blocked:  # the scatter was replayed
            changes.append(self.put(mailbox, f"{JOIN}{id_}/{LIST}", None))
        return Applied(changes)

    def _late(self, mailbox: Mailbox, entry: Entry) -> Applied:
        """A join that fired: what comes for an outstanding slot settles the stub, anything else is a duplicate."""
        join = mailbox.joins[entry.meta["id"]]
        assert join.stub is not None
        outstanding, slot = join.stub["outstanding"], entry.meta["slot"]
        if entry.meta["kind"] == "blocked":
            return Applied([])
        if outstanding is None or slot not in outstanding:
            return Applied([], "late" if outstanding is None else "duplicate")
        outside = entry.meta["kind"] == "part" and entry.from_outside
        stub = settled_late(join.stub, [other for other in outstanding if other != slot], outside=outside)
        return Applied([self.put(mailbox, f"{JOIN}{join.id}/{STUB}", stub)], "late")

    def _decision(self, mailbox: Mailbox, entry: Entry) -> Applied:
        join = mailbox.joins.get(id_ := entry.meta["id"])
        late = join is not None and (join.decision is not None or join.stub is not None or join.called)
        of = str((join.call or {}).get("replay", "")) if join is not None else ""
        if late or entry.meta.get("of", "" if self._step.decision_key else of) != of:
            return Applied([], "already_decided")
        return Applied([self.put(mailbox, f"{JOIN}{id_}/#decision", entry)])

    # -- items

    def _item(self, mailbox: Mailbox, entry: Entry) -> Applied:
        meta = dict(entry.meta)
        id_, changes = meta["id"], []
        window = self._step.handler.options.dedupe
        if window is not None and "attempt" not in meta:
            if id_ in mailbox.seen:
                return Applied([], "duplicate")
            seen = Entry({"kind": "seen", "until": self._step.clock.now() + window})
            changes.append(self.put(mailbox, SEEN + id_, seen))
        key = id_ if id_ not in mailbox.items else f"{id_}~{meta['t']}/{meta['p']}/{meta['o']}"
        mailbox.sequence += 1
        meta["seq"] = mailbox.sequence
        changes.append(self.put(mailbox, ITEM + key, Entry(meta, entry.headers, entry.value)))
        return Applied(changes)

    @staticmethod
    def refuses(mailbox: Mailbox, id_: str, n: int) -> bool:
        """R14: is this replay not above the stored number, or was the delivery dropped?"""
        verdict = mailbox.verdicts.get(id_, {"n": 0, "verdict": ""})
        return bool(n <= verdict["n"] or verdict["verdict"] == "dropped")

    def _replay(self, mailbox: Mailbox, entry: Entry) -> Applied:
        """R14: accepted if its number exceeds the stored one, unless the delivery was dropped or runs already."""
        meta = entry.meta
        id_, n = meta["id"], meta["replay"]
        if self.refuses(mailbox, id_, n):
            return Applied([], "refused")
        if meta["origin"] == "join":
            join = mailbox.joins.get(id_)
            if join is None or join.call is None or not join.call.get("dead"):
                return Applied([], "refused")
            call = {"kind": "call", "replay": n, "drop": meta["drop"], "attempt": 1}
            if not meta["drop"] and lacks(join, self._step.rules):  # it expired: it waits once more, a gate asks anew
                call["since"] = self._step.clock.now()
            return Applied([self.put(mailbox, f"{JOIN}{id_}/#call", Entry(call))])
        if id_ in mailbox.items:
            return Applied([], "refused")
        mailbox.sequence += 1  # in an order, its turn comes after those that wait already
        item = Entry({**meta, "kind": "item", "seq": mailbox.sequence}, entry.headers, entry.value)
        return Applied([self.put(mailbox, ITEM + id_, item)])

    def _resolve(self, mailbox: Mailbox, entry: Entry) -> Applied:
        """R13: a person says what became of an unknown outcome: done, redo or drop."""
        id_ = entry.meta["id"]
        said: dict[str, Any] = {"resolved": entry.meta["verdict"], "by": entry.meta["by"]}
        if entry.meta["verdict"] == "done":
            said |= {"done_type": entry.meta["type"], "done": entry.value.decode(errors="replace")}
        raw, join = mailbox.items.get(id_), mailbox.joins.get(id_)
        found = [] if raw is None else [(ITEM + id_, decode_entry(raw))]
        found += [] if join is None else [(f"{JOIN}{id_}/#call", Entry(join.call or {}))]
        for key, kept in found:
            of = occurrence(kept.meta)
            if kept.meta.get("unknown") and entry.meta.get("of", "" if self._step.decision_key else of) == of:
                meta = {name: value for name, value in kept.meta.items() if name not in ("unknown", "claim")} | said
                meta["redone"] = kept.meta.get("redone", 0) + 1
                return Applied([self.put(mailbox, key, kept._replace(meta=meta))])
        return Applied([], "refused")

"""A person's decision: what it says, and the signature that proves who made it.

In: join id, verdict, edited event, who. Out: an entry for the gate's control topic. With a key (DESIGN §5) a decision
carries an HMAC over all of that, and a worker with the key rejects those without.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any

from stepwire.event import digest
from stepwire.state import Entry


def signature(key: str, join: str, approved: bool, by: str, why: str, edited: bytes) -> str:
    """HMAC-SHA256, hex, over join id, verdict, the hash of the edited event, who and why."""
    text = digest(join, "approved" if approved else "declined", digest(edited.decode()), by, why)
    return hmac.new(key.encode(), text.encode(), sha256).hexdigest()


def decision(
    join: str, *, approved: bool, by: str, why: str = "", edited: bytes = b"", key: str = "", sent: float
) -> Entry:
    """The entry that decides the gate `join`; `edited` is the event's JSON as the person wants it."""
    meta: dict[str, Any] = {
        "kind": "decision", "id": join, "slot": "#decision", "approved": approved, "by": by, "why": why, "sent": sent
    }  # fmt: skip
    if key:
        meta["sig"] = signature(key, join, approved, by, why, edited)
    return Entry(meta, {}, edited)


def is_genuine(entry: Entry, key: str) -> bool:
    """Is the decision signed with our key? Without a key every decision counts."""
    meta = entry.meta
    if not key:
        return True
    good = signature(key, meta["id"], meta["approved"], meta["by"], meta["why"], entry.value)
    return hmac.compare_digest(good, meta.get("sig", ""))

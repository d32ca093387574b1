"""What a person says: a decision of a gate, what became of an unknown outcome; and the signature that proves who did.

In: join or delivery id, verdict, event, who. Out: an entry for the control topic. With a key (DESIGN §5) it carries an
HMAC over all of that, and a worker with the key rejects those without. A key is a text; of several, one a line, the
first signs and each is taken, so that one can take another's place while both are in use.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from stepwire.event import digest
from stepwire.state import Entry


def occurrence(meta: Mapping[str, Any]) -> str:
    """Which time it is that nobody knows what became of this delivery: a word about one is none about the next."""
    return f"{meta.get('replay', 0)}.{meta.get('redone', 0)}"


def signature(key: str, meta: Mapping[str, Any], value: bytes) -> str:
    """HMAC-SHA256, hex, over id, verdict, the hash of the event, who, and why; of a gate that asked anew which time.

    Of what is resolved instead of why: of which type the event is, and which occurrence it is about.
    """
    if meta["kind"] == "resolve":  # by its kind, so that no decision's signature fits it
        verdict, more = "resolved " + meta["verdict"], f"{meta['type']} {meta.get('of', '')}"
    else:
        verdict, more = ("approved" if meta["approved"] else "declined") + meta.get("of", ""), meta["why"]
    text = digest(meta["id"], verdict, digest(value.decode(errors="replace")), meta["by"], more)
    return hmac.new(key.encode(), text.encode(), sha256).hexdigest()


def keys(text: str) -> list[str]:
    """The keys in a setting, one a line; a blank line is none, for with an empty key anybody could sign."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def signed(meta: dict[str, Any], value: bytes, key: str) -> Entry:
    """The entry, with its signature by the first key if there is one."""
    ours = keys(key)
    return Entry({**meta, "sig": signature(ours[0], meta, value)} if ours else meta, {}, value)


def decision(
    join: str, *, approved: bool, by: str, why: str = "", edited: bytes = b"", type: str = "",  # noqa: A002 - its name
    key: str = "", sent: float, of: str = "",
) -> Entry:  # fmt: skip
    """The entry that decides the gate `join`; `edited` is the event as the person wants it, `type` its ce_type.

    `of`: of a gate that expired and was replayed the number of that replay, so that no answer to an earlier question is
    sent again for one to this.
    """
    meta = {"kind": "decision", "id": join, "slot": "#decision", "approved": approved, "by": by, "why": why}
    return signed({**meta, "sent": sent, **{k: v for k, v in (("type", type), ("of", of)) if v}}, edited, key)


def is_genuine(entry: Entry, key: str) -> bool:
    """Is it signed with a key of ours? Without any everything counts."""
    said = str(entry.meta.get("sig", "")).encode()
    return not key or any(hmac.compare_digest(signature(k, entry.meta, entry.value).encode(), said) for k in keys(key))

"""Idempotency keys: a caller who repeats a request gets the run that the first one began.

In: the header `Idempotency-Key` and who sent it. Out: the id under which the event is published. The id is derived from
key and caller, so the event itself is the record of the key: two doors agree without talking, and a door that was
killed after the event was written finds it again. The window is therefore as long as the bus keeps the event.

The digest of what was sent travels with the event, so that another body under the same key is noticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from starlette.requests import Request

from stepwire.bus.protocol import Record
from stepwire.event import digest
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.problems import Problem

HEADER = "ce_requestdigest"  #: a CloudEvents extension of ours
WRONG = "Idempotency-Key must be one string of 1 to 255 visible ASCII characters; a quote it begins with must end it"
KEY = re.compile(r"[\x21-\x7e]{1,255}")


def key_of(request: Request, caller: str) -> str | None:
    """The id of the event, if the caller sent a key. Raises Problem 400."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    text = given[0].strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':  # a structured field's string
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    elif text.startswith('"'):
        text = ""  # such a string that does not end
    if len(given) > 1 or not KEY.fullmatch(text):
        raise Problem(400, "bad-request", WRONG)
    return digest("idempotency", caller, text)


def within(key: str, run: str) -> str:
    """The id of an event whose run is named by a field: in each run what follows of it is something else."""
    return digest(key, run)


def digest_of(kind: str, fields: Any) -> str:
    """What was sent, in short: the same for the same fields in another order or spacing."""
    return digest(kind, json.dumps(fields, sort_keys=True, ensure_ascii=True))


def check_event(earlier: Record, sent: str) -> None:
    """Was the same sent under this source and id before? Raises Problem 422.

    Of an event that came another way, or through an older door, nobody knows what was sent: it is followed.
    """
    if earlier.headers.get(HEADER, sent) != sent:
        raise Problem(
            422, "key-reused", "an event of this source and id is there with other data; give a new event a new id"
        )


def check(earlier: Record, sent: Collection[str]) -> None:
    """Was one of these sent under this key before? Raises Problem 422."""
    if earlier.headers.get(HEADER) not in sent:  # none: whoever wrote it did not come by a key
        raise Problem(
            422, "key-reused", "this Idempotency-Key was used for another body; take a new key for a new request"
        )


def window(values: Configuration) -> str:
    """How long a key holds, in words for the API's description."""
    if values.bus.startswith("kafka://"):
        return "as long as the topic keeps the first event (its retention on Kafka)"
    if values.retention is None:
        return "for ever: this bus deletes no events"
    return f"as long as the bus keeps the first event, at least {values.retention:g} s"

"""CloudEvents over HTTP: structured, binary and batch mode, as the official clients send them.

In: headers and a body. Out: what each event says: attributes as the Kafka binding's `ce_` headers, and JSON data.
Raises Problem: 400 for what is no CloudEvent, 415 for another format or data that is no JSON, 422 for a batch that is
too long. Attributes that only the kernel may write (`sw…`) are left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from pydantic_core import from_json, to_json
from starlette.requests import Request

from stepwire.codec import JSON
from stepwire_handlers.services.door.bodies import is_json, media_type, parsed
from stepwire_handlers.services.door.idempotency import digest_of
from stepwire_handlers.services.door.problems import Problem

STRUCTURED = "application/cloudevents"
BATCH = "application/cloudevents-batch"
MOST = 1_000  #: events of one batch; they are written in one transaction
NAME = re.compile(r"[a-z0-9]{1,64}")
KERNEL = "sw"  #: how the names of our own attributes begin
LONGEST = 2_048  #: characters of an attribute
TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T((?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-5][0-9]|60)(?:\.[0-9]+)?(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.IGNORECASE,
)


class CloudEvent(NamedTuple):
    """One event as it was sent."""

    attributes: Mapping[str, str]
    data: bytes  #: JSON

    @property
    def digest(self) -> str:
        """What was sent, in short: of whatever type, the same for the same JSON in another order or spacing."""
        try:
            sent = from_json(self.data)
        except ValueError:  # what only an upcast can read
            sent = self.data.decode("utf-8", "replace")
        return digest_of(self.attributes["type"], sent)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a record that says the same; `traceparent` goes plain."""
        kept = {name: text for name, text in self.attributes.items() if not name.startswith(KERNEL)}
        plain = {name: kept.pop(name) for name in ("traceparent", "tracestate") if name in kept}
        kept.pop("datacontenttype", None)
        return {f"ce_{name}": text for name, text in kept.items()} | plain | {"content-type": JSON}


def read(request: Request, body: bytes) -> list[CloudEvent]:
    """The events of a request."""
    media = media_type(request)
    if media.startswith(BATCH):
        _must_be_json(media, BATCH)
        found = parsed(body)
        if not isinstance(found, list):
            raise _bad("a batch is a JSON array of events")
        if len(found) > MOST:
            raise Problem(422, "invalid", f"a batch has at most {MOST} events; send several")
        return [_structured(each, f"event {number} of {len(found)}: ") for number, each in enumerate(found, 1)]
    if media.startswith(STRUCTURED):
        _must_be_json(media, STRUCTURED)
        return [_structured(parsed(body), "")]
    if "ce-specversion" in request.headers or "ce-type" in request.headers:
        return [_binary(request, media, body)]
    if is_json(media) or not media:
        raise _bad(
            "no CloudEvent: there is neither a ce-specversion header nor content-type application/cloudevents+json"
        )
    raise Problem(
        415, "unsupported-media-type", "events are CloudEvents in JSON",
        headers={"accept-post": f"{STRUCTURED}+json, {BATCH}+json, {JSON}"},
    )  # fmt: skip


def _must_be_json(media: str, kind: str) -> None:
    if media not in (f"{kind}+json", kind):
        raise Problem(
            415, "unsupported-media-type", f"of the formats of {kind} only {kind}+json is read",
            headers={"accept-post": f"{STRUCTURED}+json, {BATCH}+json, {JSON}"},
        )  # fmt: skip


def _bad(why: str) -> Problem:
    return Problem(400, "bad-event", why)


def _binary(request: Request, media: str, body: bytes) -> CloudEvent:
    attributes = {}
    for name, text in request.headers.items():
        if name.startswith("ce-"):
            attributes[name[3:]] = _header(name, text)
    for name in ("traceparent", "tracestate"):
        if name in request.headers:
            attributes.setdefault(name, request.headers[name])
    if media and not is_json(media):
        raise Problem(415, "unsupported-media-type", "the data of an event must be JSON", headers={"accept-post": JSON})
    return _checked(attributes, body or b"null", "")


def _header(name: str, text: str) -> str:
    """A header's value: percent-decoded once, quoted or not (HTTP binding, 3.1.3.2)."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise _bad(f"{name} is no UTF-8 in percent encoding") from None


def _structured(found: Any, where: str) -> CloudEvent:
    if not isinstance(found, dict):
        raise _bad(f"{where}an event is a JSON object")
    attributes = {}
    for name, value in found.items():
        if name in ("data", "data_base64") or value is None:
            continue
        if not isinstance(value, str | int | bool):
            raise _bad(f"{where}an attribute is a text, a whole number, or true or false")
        attributes[name] = str(value).lower() if isinstance(value, bool) else str(value)
    media = attributes.get("datacontenttype", JSON).partition(";")[0].strip().lower()
    if not is_json(media):
        raise Problem(415, "unsupported-media-type", f"{where}the data of an event must be JSON")
    return _checked(attributes, _data(found, where), where)


def _data(found: Mapping[str, Any], where: str) -> bytes:
    if "data_base64" not in found:
        return to_json(found.get("data"))
    try:
        return base64.b64decode(found["data_base64"], validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise _bad(f"{where}data_base64 is no Base64") from None


def _checked(attributes: Mapping[str, str], data: bytes, where: str) -> CloudEvent:
    if attributes.get("specversion") != "1.0":
        raise _bad(f'{where}specversion must be "1.0"')
    for name in ("id", "source", "type"):
        if not attributes.get(name):
            raise _bad(f"{where}the attribute {name} is missing or empty")
    for name, text in attributes.items():
        if not NAME.fullmatch(name):
            raise _bad(f"{where}names of attributes are a to z and 0 to 9, at most 64 of them")
        if len(text) > LONGEST or not text.isprintable():
            raise _bad(f"{where}the attribute {name} is above {LONGEST} characters, or has control characters")
    if "time" in attributes and not _is_time(attributes["time"]):
        raise _bad(f"{where}the attribute time is no time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z")
    return CloudEvent(attributes, data)


def _is_time(text: str) -> bool:
    """Is it a time by RFC 3339? Its leap second, 60, no calendar of ours knows."""
    found = TIME.fullmatch(text)
    try:
        return found is not None and bool(
            datetime.fromisoformat(f"{found[1]}T{found[2]}:{found[3].replace('60', '59')}")
        )
    except ValueError:
        return False

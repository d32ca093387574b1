"""Records and events: the only place where a business record's bytes are parsed or made.

CloudEvents 1.0, Kafka binding. Written in binary mode; read in binary and structured mode, and, on a topic with one
event type, without any `ce_` header (then source = the topic, id = `<partition>/<offset>`).

In: a record. Out: `Decoded`, or DecodeError (final), or the two values that are no error: another type, a newer one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from stepwire.bus.protocol import UNREADABLE, Record
from stepwire.envelope import Envelope
from stepwire.errors import DecodeError, reasons
from stepwire.event import Event, digest

STANDARD = frozenset(
    {"id", "source", "type", "time", "specversion", "correlationid", "swrun", "swcause", "swscope", "swhandler"}
)
JSON = "application/json"
MAX_SCOPE = 8_192  #: characters; a deeper scope is nobody's honest work


@lru_cache(maxsize=8)
def _whole_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def rfc3339(seconds: float) -> str:
    """A time as CloudEvents writes it, in UTC with microseconds."""
    second = int(seconds)
    return f"{_whole_second(second)}.{int((seconds - second) * 1_000_000):06d}Z"


def encode(event: Event, envelope: Envelope) -> tuple[dict[str, str], bytes]:
    """Headers and value of a record, binary mode."""
    headers = {
        "ce_specversion": "1.0", "ce_id": envelope.id, "ce_source": envelope.source, "ce_type": envelope.type,
        "ce_time": rfc3339(envelope.time), "content-type": JSON, "ce_swrun": envelope.run,
        "ce_swcause": envelope.cause, "ce_swscope": envelope.scope, "ce_swhandler": envelope.handler,
    }  # fmt: skip
    if envelope.traceparent:
        headers["traceparent"] = envelope.traceparent
        if envelope.tracestate:
            headers["tracestate"] = envelope.tracestate
    if envelope.correlation:
        headers["ce_correlationid"] = envelope.correlation
    for name, value in envelope.extensions:
        headers[f"ce_{name}"] = value
    return headers, event.__pydantic_serializer__.to_json(event)


class Decoded(NamedTuple):
    """A record that is an event of a known type."""

    envelope: Envelope
    event: Event


Other = Literal["other", "newer"]


class Codec:
    """Reads the records of one topic.

    Args:
        topic: its name as events know it (without an environment's prefix).
        types: the event types that may lie there.
    """

    def __init__(self, topic: str, types: Sequence[type[Event]]) -> None:
        self.topic = topic
        self._types = {event.spec.type: event for event in types}
        self._old = {
            f"{event.spec.base}.v{version}": (event, version) for event in types for version in event.spec.upcasts
        }
        self._bases = [(re.compile(re.escape(e.spec.base) + r"\.v(\d+)"), e.spec.version) for e in types]
        self._only = types[0] if len(types) == 1 else None

    def decode(self, record: Record) -> Decoded | Other:
        """Read one record. Raises DecodeError; "other": nobody here takes it; "newer": wait for a newer worker."""
        headers, value = self._attributes(record)
        event = self._event(record, headers["ce_type"], value)
        return event if isinstance(event, str) else Decoded(_envelope(record, headers), event)

    def kind(self, record: Record) -> str:
        """The ce_type of a record whose envelope was read before."""
        return self._attributes(record)[0]["ce_type"]

    def event(self, record: Record) -> Event | Other:
        """Only the event of a record whose envelope was read before. Raises DecodeError."""
        headers, value = self._attributes(record)
        return self._event(record, headers["ce_type"], value)

    def _attributes(self, record: Record) -> tuple[Mapping[str, str], bytes]:
        headers, value = record.headers, record.value
        if value[:1] != b"{" and (reason := _foreign(record)):
            raise DecodeError(_where(record), reason)
        kind = headers.get("content-type", JSON)
        if kind != JSON and kind[:23].lower() == "application/cloudevents":
            headers, value = self._structured(record)
        if "ce_type" not in headers:
            headers = self._bare(record, headers)
        return headers, value

    def _event(self, record: Record, kind: str, value: bytes) -> Event | Other:
        event = self._types.get(kind)
        if event is None:
            old = self._old.get(kind)
            if old is None:
                for base, version in self._bases:
                    if found := base.fullmatch(kind):
                        if int(found[1]) > version:
                            return "newer"
                        raise DecodeError(
                            _where(record), f"{kind}: no upcast({found[1]}) is registered; add it, replay"
                        )
                return "other"
            return _upcast(record, *old, value)
        try:
            return event.__pydantic_validator__.validate_json(value)  # type: ignore[no-any-return]
        except ValidationError as error:
            raise DecodeError(_where(record), reasons(error)) from None

    def _bare(self, record: Record, headers: Mapping[str, str]) -> dict[str, str]:
        if self._only is None:
            raise DecodeError(
                _where(record), "no ce_type header, and the topic carries several event types; send CloudEvents headers"
            )
        return {
            **headers, "ce_type": self._only.spec.type, "ce_source": record.topic,
            "ce_id": f"{record.partition}/{record.offset}", "ce_time": rfc3339(record.time),
        }  # fmt: skip

    def _structured(self, record: Record) -> tuple[dict[str, str], bytes]:
        try:
            attributes = json.loads(record.value)
            value = json.dumps(attributes.pop("data", None)).encode()
            headers = {f"ce_{name}": str(text) for name, text in attributes.items()}
            "".join(headers.values()).encode(errors="surrogateescape")  # half of a surrogate pair is no text
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise DecodeError(_where(record), f"structured CloudEvent is no JSON object ({error})") from None
        if "ce_type" not in headers:
            raise DecodeError(_where(record), "structured CloudEvent without a type")
        return headers, value


def _foreign(record: Record) -> str:
    """Why a value that is none, or that a schema registry's serializer wrote, cannot be read here; "" for any other."""
    if not record.value:
        return "there is no value (null; on a compacted topic: a key that was deleted)"
    if reason := record.headers.get(UNREADABLE):
        return reason
    if record.value[:1] != b"\0" and "__value_schema_id" not in record.headers:
        return ""
    return (
        f"written with a schema registry, and none is set for this topic: set STEPWIRE_REGISTRY__URL, and in "
        f'stepwire.toml [topics."{record.topic}"] format = "avro", "protobuf" or "json-schema"; then replay'
    )


def _where(record: Record) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset}"


def _upcast(record: Record, event: type[Event], version: int, value: bytes) -> Event:
    try:
        data: dict[str, Any] = json.loads(value)
        while (step := event.spec.upcasts.get(version)) is not None:
            data = step(data)
            version += 1
        return event.model_validate(data)
    except ValidationError as error:
        raise DecodeError(_where(record), reasons(error)) from None
    except Exception as error:
        raise DecodeError(_where(record), f"upcast of version {version} failed: {error!r}") from error


def _envelope(record: Record, headers: Mapping[str, str]) -> Envelope:
    try:
        id_, source = headers["ce_id"], headers["ce_source"]
    except KeyError as error:
        raise DecodeError(_where(record), f"no {error.args[0]} header; CloudEvents needs it") from None
    scope = headers.get("ce_swscope", "")
    if len(scope) > MAX_SCOPE:
        raise DecodeError(_where(record), f"scope of {len(scope)} characters")
    extensions: tuple[tuple[str, str], ...] = ()
    if len(headers) > 10:
        extensions = tuple((k[3:], v) for k, v in headers.items() if k[:3] == "ce_" and k[3:] not in STANDARD)
    parent = headers.get("traceparent") or headers.get("ce_traceparent", "")  # plain, or CloudEvents' extension
    state = headers.get("tracestate") or headers.get("ce_tracestate", "") if parent else ""
    return Envelope(
        id_, source, headers["ce_type"], record.time, headers.get("ce_swrun", ""), headers.get("ce_swcause", ""),
        scope, headers.get("ce_swhandler", ""), parent, headers.get("ce_correlationid", ""), extensions, state,
    )  # fmt: skip


def derived_run(envelope: Envelope, event: Event, app: str) -> str:
    """The run of an event: as its envelope says, from its `run=` field, or from its own identity."""
    if envelope.run:
        return envelope.run
    if event.spec.run is not None:
        return digest(app, str(getattr(event, event.spec.run)))
    return envelope.identity

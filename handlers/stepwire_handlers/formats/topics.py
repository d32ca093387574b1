"""Which topic has which format: the edge between records as they lie on Kafka and the JSON that the kernel sees.

In: records or outputs. Out: the same, translated, off the event loop. Promises: what cannot be read keeps its bytes and
says why; a registry that does not answer is waited for (BusUnavailable), never a dead letter; answers are cached.
A plain JSON value on such a topic is read as JSON, so that a topic may change its format while records are in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext
from pydantic_core import from_json, to_json

from stepwire.bus.protocol import UNREADABLE, Out, Record
from stepwire.errors import BusUnavailable, DecodeError, RecordRefused, SettingsError
from stepwire.state import Entry, decode_entry, kept
from stepwire_handlers.formats.values import Avro, JsonSchema, Protobuf, ValueFormat

KINDS: Mapping[str, Callable[[SchemaRegistryClient], ValueFormat]] = {
    "avro": Avro, "json-schema": JsonSchema, "protobuf": Protobuf,
}  # fmt: skip
HEADER_ID = "__value_schema_id"  #: where newer clients put the schema's id, instead of in front of the value
#: seconds for one request, without a repetition of the client's own: the bus repeats; a new schema is seen in a minute
PATIENCE = {"timeout": 5, "max.retries": 0, "cache.latest.ttl.sec": 60}
AWAY = frozenset({401, 403, 407, 408, 429})  #: the registry did not say anything about the schema: wait for a person
log = structlog.get_logger("stepwire.formats")


class TopicFormats:
    """Translates the values of some topics.

    Args:
        topics: topic, without the environment's prefix -> avro, json-schema, protobuf.
        registry: properties of the registry's client.
        prefix: of every topic on the cluster; subjects carry it.

    Raises SettingsError for properties that the client does not take.
    """

    def __init__(self, topics: Mapping[str, str], registry: Mapping[str, str], prefix: str = "") -> None:
        try:
            client = SchemaRegistryClient({**registry, **PATIENCE})
            kinds = {kind: KINDS[kind](client) for kind in set(topics.values())}
        except (ValueError, TypeError, OSError) as error:
            raise SettingsError(f"[registry] cannot be used ({type(error).__name__}): check url and files") from None
        self._formats = {topic: kinds[kind] for topic, kind in topics.items()}
        self._names, self._prefix, self._url = dict(topics), prefix, urlsplit(registry["url"]).hostname

    # -- from a topic

    async def read(self, records: Sequence[Record]) -> Sequence[Record]:
        """The same records, values as JSON. Raises BusUnavailable."""
        if not any(self._concerns(record) for record in records):
            return records
        return await asyncio.to_thread(lambda: [self._read(r) if self._concerns(r) else r for r in records])

    def _concerns(self, record: Record) -> bool:
        return record.topic in self._formats and (record.value[:1] == b"\0" or HEADER_ID in record.headers)

    def _read(self, record: Record) -> Record:
        headers = {name: text for name, text in record.headers.items() if name not in (UNREADABLE, HEADER_ID)}
        try:
            data = self._formats[record.topic].read(record.value, self._context(record.topic, record.headers))
            return record._replace(value=to_json(data), headers={**headers, "content-type": "application/json"})
        except Exception as error:  # noqa: BLE001 - foreign bytes: whatever the decoders raise is about them
            reason = self._reason(error, f"is no {self._names[record.topic]} value of a schema in the registry")
        return record._replace(headers={**record.headers, UNREADABLE: reason})

    # -- to a topic

    async def write(self, outputs: Sequence[Out]) -> Sequence[Out]:
        """The same records as they are to lie there. Raises RecordRefused, BusUnavailable."""
        if not any(out.topic in self._formats or _asks_again(out) for out in outputs):
            return outputs
        return await asyncio.to_thread(lambda: [self._write(out) for out in outputs])

    def _write(self, out: Out) -> Out:
        if _asks_again(out):
            return self._again(out)
        if out.topic not in self._formats:
            return out
        values = self._formats[out.topic]
        try:
            value = values.write(from_json(out.value), self._context(out.topic, {}))
        except Exception as error:  # noqa: BLE001 - the schema's own complaints have many types
            subject = f"{self._prefix}{out.topic}-value"
            reason = self._reason(error, f"does not fit the newest schema of subject {subject}")
            raise RecordRefused(f"{out.topic}: the event {reason}") from None
        return out._replace(value=value, headers={**out.headers, "content-type": values.content_type})

    def _again(self, out: Out) -> Out:
        """A replay of what could not be read: perhaps it can be now."""
        try:
            entry = decode_entry(out.value)
            record = kept(entry)
        except (DecodeError, ValueError, KeyError):
            return out
        if record.topic not in self._formats:
            return out
        read = self._read(record)
        return out._replace(value=Entry(entry.meta, dict(read.headers), read.value).encode())

    # -- both

    def _context(self, topic: str, headers: Mapping[str, str]) -> SerializationContext:
        pairs: list[tuple[str, str | bytes | None]] = [
            (name, text.encode("utf-8", "surrogateescape")) for name, text in headers.items()
        ]
        return SerializationContext(f"{self._prefix}{topic}", MessageField.VALUE, pairs)

    def _reason(self, error: Exception, otherwise: str) -> str:
        """Why a value will never do, without the value. Raises BusUnavailable if nobody can say."""
        cause: Any = error
        while cause.__cause__ is not None and not isinstance(cause, SchemaRegistryError) and not _is_network(cause):
            cause = cause.__cause__
        status = getattr(cause, "http_status_code", 0)
        if _is_network(cause) or status >= 500 or status in AWAY:
            said = f"HTTP {status}" if status else type(cause).__name__
            log.warning("registry_unavailable", registry=self._url, reason=said)
            raise BusUnavailable(f"the schema registry at {self._url} does not answer ({said})") from None
        if status:
            return f"cannot be translated: the schema registry says {cause.error_message} ({cause.error_code})"
        return f"{otherwise} ({type(error).__name__})"


def _is_network(error: Exception) -> bool:
    """By name: the registry's client takes whichever of two HTTP clients it finds."""
    return isinstance(error, OSError) or any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def _asks_again(out: Out) -> bool:
    return out.topic.endswith(".control") and UNREADABLE.encode() in out.value

"""Values of a schema registry's serializers, read and written: by the confluent client's own, against a registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from pydantic import SecretStr
from tests.formats.registry import Registry, serving

from stepwire import Event, SettingsError
from stepwire.bus.protocol import UNREADABLE, Out, Record
from stepwire.codec import Codec, Decoded
from stepwire.errors import BusUnavailable, DecodeError, RecordRefused
from stepwire_handlers.formats import configured
from stepwire_handlers.formats.topics import TopicFormats

AVRO = json.dumps(
    {"type": "record", "name": "Paid", "fields": [
        {"name": "who", "type": "string"}, {"name": "cents", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": None}]}
)  # fmt: skip
JSON = json.dumps(
    {"title": "Paid", "type": "object", "properties": {"who": {"type": "string"}, "cents": {"type": "integer"}},
     "required": ["who", "cents"]}
)  # fmt: skip


class Paid(Event, topic="paid", version=2):
    who: str
    cents: int
    note: str | None = None


@Paid.upcast(1)
def in_cents(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "cents": data["euros"] * 100}


def message_type() -> Any:
    """`message Paid {string who = 1; int64 cents = 2; string note = 3;}` as a generated class would be."""
    file = descriptor_pb2.FileDescriptorProto(name="paid.proto", package="acme", syntax="proto3")
    kind = file.message_type.add(name="Paid")
    for number, (name, type_) in enumerate((("who", 9), ("cents", 3), ("note", 9)), 1):
        kind.field.add(name=name, number=number, type=type_, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("acme.Paid"))


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as found:
        yield found


def formats(registry: Registry, kind: str) -> TopicFormats:
    found = configured({"paid": kind}, {"url": SecretStr(registry.url)}, "t.")  # type: ignore[dict-item]
    assert found is not None
    return found


def foreign(registry: Registry, kind: str, **conf: Any) -> tuple[Any, Any, Any]:
    """Serializer, deserializer and a value, as another program has them."""
    client = SchemaRegistryClient({"url": registry.url})
    data = {"who": "Åsa", "cents": 2**40, "note": "x"}
    if kind == "avro":
        return AvroSerializer(client, AVRO, conf=conf), AvroDeserializer(client), data
    if kind == "json-schema":
        return JSONSerializer(JSON, client, conf=conf), JSONDeserializer(None, schema_registry_client=client), data
    paid = message_type()
    writer = ProtobufSerializer(paid, client, {"use.deprecated.format": False, **conf})
    return writer, ProtobufDeserializer(paid, {"use.deprecated.format": False}, client), paid(**data)


def context(headers: Any = None) -> SerializationContext:
    return SerializationContext("t.paid", MessageField.VALUE, headers)


def record(value: bytes, type_: str = Paid.spec.type, **headers: str) -> Record:
    attributes = {"ce_id": "1", "ce_source": "s", "ce_type": type_, **headers}
    return Record("paid", 0, 7, 0.0, None, attributes, value)


def event(found: Record) -> Paid:
    decoded = Codec("paid", [Paid]).decode(found)
    assert isinstance(decoded, Decoded) and isinstance(decoded.event, Paid)
    return decoded.event


KINDS = pytest.mark.parametrize("kind", ["avro", "json-schema", "protobuf"])


@KINDS
async def test_round_trip_with_the_clients_own_serializers(registry: Registry, kind: str) -> None:
    """What the confluent client wrote is read as an event, and it reads what is written for that event."""
    serialize, deserialize, value = foreign(registry, kind)
    mine = formats(registry, kind)
    (read,) = await mine.read([record(serialize(value, context()))])
    paid = event(read)
    assert paid == Paid(who="Åsa", cents=2**40, note="x")
    (out,) = await mine.write([Out("paid", "k", {}, paid.model_dump_json().encode())])
    back = deserialize(out.value, context())
    assert out.value[:1] == b"\0"
    assert (back if isinstance(back, dict) else {f.name: v for f, v in back.ListFields()}) == {
        "who": "Åsa", "cents": 2**40, "note": "x",
    }  # fmt: skip


@KINDS
async def test_schema_ids_in_headers_are_read(registry: Registry, kind: str) -> None:
    """Newer clients put the schema's id into a header and leave the value bare."""
    serialize, _, value = foreign(registry, kind, **{"schema.id.serializer": header_schema_id_serializer})
    headers: list[tuple[str, bytes]] = []
    raw = serialize(value, context(headers))
    said = {name: found.decode("utf-8", "surrogateescape") for name, found in headers}
    assert "__value_schema_id" in said
    (read,) = await formats(registry, kind).read([record(raw, **said)])
    assert event(read).who == "Åsa"


async def test_an_old_schema_version_is_upcast(registry: Registry) -> None:
    """A record of the writer's old schema, and of the event's old version, becomes the present event."""
    old = json.dumps({"type": "record", "name": "Paid", "fields": [{"name": "who", "type": "string"},
                                                                  {"name": "euros", "type": "int"}]})  # fmt: skip
    serialize = AvroSerializer(SchemaRegistryClient({"url": registry.url}), old)
    raw = serialize({"who": "a", "euros": 3}, context())
    registry.register("t.paid-value", {"schema": AVRO})
    (read,) = await formats(registry, "avro").read([record(raw, "paid.Paid.v1")])
    assert event(read) == Paid(who="a", cents=300)


@KINDS
@pytest.mark.parametrize("bad", [b"\0\0\0\0\x01", b"\0\0\0\0\x01\xff\xff\xff", b"\0\0", b"\0\0\0\0\x63abc"])
async def test_garbage_keeps_its_bytes_and_says_why(registry: Registry, kind: str, bad: bytes) -> None:
    """A short frame, garbage in it, an unknown schema id: no event, the original bytes, and a reason."""
    serialize, _, value = foreign(registry, kind)
    serialize(value, context())
    (read,) = await formats(registry, kind).read([record(bad)])
    if UNREADABLE not in read.headers:  # protobuf: no bytes at all are a message of defaults, which is an event
        assert kind == "protobuf" and bad == b"\0\0\0\0\x01"
        return
    assert read.value == bad
    with pytest.raises(DecodeError, match="registry"):
        event(read)


async def test_a_registry_that_is_away_is_waited_for(registry: Registry) -> None:
    """Down: BusUnavailable, no verdict about any record; back: the same record is read, asked for once."""
    serialize, _, value = foreign(registry, "avro")
    raw, mine = serialize(value, context()), formats(registry, "avro")
    registry.down = True
    with pytest.raises(BusUnavailable, match="503"):
        await mine.read([record(raw)])
    with pytest.raises(BusUnavailable, match="503"):
        await mine.write([Out("paid", "k", {}, b'{"who":"a","cents":1}')])
    registry.down = False
    asked = registry.asked
    for _ in range(20):
        assert event((await mine.read([record(raw)]))[0]).who == "Åsa"
    assert registry.asked <= asked + 2  # the subject's, and the schema's


async def test_nobody_listens() -> None:
    """A registry whose port is closed is away, too."""
    with serving() as registry:
        mine = formats(registry, "avro")
    with pytest.raises(BusUnavailable, match="does not answer"):
        await mine.read([record(b"\0\0\0\0\x01abc")])


async def test_an_output_that_the_subject_does_not_take_is_refused(registry: Registry) -> None:
    """No subject, or a field that the schema lacks: refused for good, nothing registered, no field dropped silently."""
    mine = formats(registry, "avro")
    with pytest.raises(RecordRefused, match="40401"):
        await mine.write([Out("paid", "k", {}, b'{"who":"a","cents":1}')])
    assert not registry.subjects
    registry.register("t.paid-value", {"schema": AVRO})
    mine = formats(registry, "avro")
    with pytest.raises(RecordRefused, match=r"subject t\.paid-value"):
        await mine.write([Out("paid", "k", {}, b'{"who":"a","cents":1,"extra":"secret"}')])


def test_without_a_registry_the_missing_setting_is_named() -> None:
    """A framed record on a topic without a format: a dead letter that names the settings; the same at construction."""
    for found in (record(b"\0\0\0\0\x01abc"), record(b"abc", __value_schema_id="x")):
        with pytest.raises(DecodeError, match=r"STEPWIRE_REGISTRY__URL.*format"):
            event(found)
    with pytest.raises(SettingsError, match="STEPWIRE_REGISTRY__URL"):
        configured({"paid": "avro"}, {}, "")

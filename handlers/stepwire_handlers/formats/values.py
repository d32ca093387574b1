"""One value: from what a registry's serializer wrote to plain data, and back. Blocks; called in a thread.

In: bytes and the topic and headers they came with, or plain data. Out: the other. Reading follows the schema that the
record names; writing follows the newest schema of the subject `<topic>-value`, and never registers one. Raises whatever
the client raises; `topics` says what each error means.
"""

from __future__ import annotations

import base64
import io
from typing import Any, Protocol

from confluent_kafka.schema_registry import SchemaRegistryClient, dual_schema_id_deserializer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import SerializationContext, SerializationError
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

NEWEST = {"auto.register.schemas": False, "use.latest.version": True}
#: a field that the schema lacks would be dropped without a word
AVRO = {**NEWEST, "validate.strict.allow.default": True}


class ValueFormat(Protocol):
    """Reads and writes the values of one format."""

    content_type: str  #: CloudEvents' datacontenttype of what is written

    def read(self, value: bytes, context: SerializationContext) -> Any:
        """Plain data."""

    def write(self, data: Any, context: SerializationContext) -> bytes:
        """A framed value."""


class Avro:
    """Avro's binary encoding."""

    content_type = "application/avro"

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._reader, self._writer = AvroDeserializer(client), AvroSerializer(client, conf=AVRO)

    def read(self, value: bytes, context: SerializationContext) -> Any:
        """Plain data, as the writer's schema says."""
        return self._reader(value, context)

    def write(self, data: Any, context: SerializationContext) -> bytes:
        """A framed value of the newest schema."""
        return self._writer(data, context) or b""


class JsonSchema:
    """JSON that is checked against a schema."""

    content_type = "application/json"

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._reader = JSONDeserializer(None, schema_registry_client=client)
        self._writer = JSONSerializer(None, client, conf=NEWEST)

    def read(self, value: bytes, context: SerializationContext) -> Any:
        """Plain data that fits the writer's schema."""
        return self._reader(value, context)

    def write(self, data: Any, context: SerializationContext) -> bytes:
        """A framed value that fits the newest schema."""
        return self._writer(data, context) or b""


class Protobuf:
    """Protocol buffers. No generated classes: messages are built from the schema that the registry holds."""

    content_type = "application/protobuf"

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._client = client
        self._pools: dict[str, tuple[Any, descriptor_pool.DescriptorPool]] = {}  #: by the schema's text

    def read(self, value: bytes, context: SerializationContext) -> Any:
        """Plain data by the schema's field names; fields that were not sent have their defaults."""
        schema_id = SchemaId("PROTOBUF")
        payload = dual_schema_id_deserializer(value, context, schema_id)
        if schema_id.guid is not None:
            schema = self._client.get_schema_by_guid(str(schema_id.guid), "serialized")
        else:
            assert schema_id.id is not None
            schema = self._client.get_schema(schema_id.id, fmt="serialized")
        message = message_factory.GetMessageClass(self._type(schema, schema_id.message_indexes or [0]))()
        message.ParseFromString(payload.read() if isinstance(payload, io.BytesIO) else payload)
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )

    def write(self, data: Any, context: SerializationContext) -> bytes:
        """A framed message of the first type of the newest schema."""
        newest = self._client.get_latest_version(f"{context.topic}-value", "serialized")
        kind = message_factory.GetMessageClass(self._type(newest.schema, [0]))
        message = json_format.ParseDict(data, kind())
        return ProtobufSerializer(kind, self._client, NEWEST)(message, context) or b""

    def _type(self, schema: Any, indexes: list[int]) -> Any:
        file, pool = self._pool(schema)
        found: Any = pool.FindFileByName(file.name)
        name, types = "", file.message_type
        for index in indexes:
            if index >= len(types):
                raise SerializationError("the record names a message that its schema does not hold")
            name, types = f"{name}.{types[index].name}" if name else types[index].name, types[index].nested_type
        return pool.FindMessageTypeByName(f"{found.package}.{name}" if found.package else name)

    def _pool(self, schema: Any) -> tuple[Any, descriptor_pool.DescriptorPool]:
        if schema.schema_str not in self._pools:
            pool = descriptor_pool.DescriptorPool()
            file = self._file("stepwire-value.proto", schema, pool)
            self._pools[schema.schema_str] = file, pool
        return self._pools[schema.schema_str]

    def _file(self, name: str, schema: Any, pool: descriptor_pool.DescriptorPool) -> Any:
        """The schema's file in the pool, after those it imports: from the registry, or Google's own."""
        file = FileDescriptorProto.FromString(base64.standard_b64decode(schema.schema_str))
        file.name = name
        for reference in schema.references or ():
            imported = self._client.get_version(reference.subject, reference.version, fmt="serialized")
            self._file(reference.name, imported.schema, pool)
        own = {reference.name for reference in schema.references or ()}
        for dependency in file.dependency:
            if dependency not in own:
                known = FileDescriptorProto()
                descriptor_pool.Default().FindFileByName(dependency).CopyToProto(known)
                pool.Add(known)
        pool.Add(file)
        return file

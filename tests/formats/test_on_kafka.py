"""Avro on a real broker: written and read by the confluent client, worked off by a worker between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from pydantic import SecretStr
from tests.formats.registry import Registry, serving
from tests.kafka.stage import SETTINGS, Stage

from stepwire import App, Event, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.worker import prepare
from stepwire_handlers.formats import configured

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Paid(Event, topic="paid"):
    cents: int


class Booked(Event, topic="booked", result=True, terminal=True):
    cents: int


@handler()
async def book(paid: Paid) -> Booked:
    return Booked(cents=paid.cents)


SCHEMA = {"type": "record", "name": "Value", "fields": [{"name": "cents", "type": "long"}]}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as found:
        yield found


class Formatted(Stage):
    """A stage whose topics are Avro."""

    registry = ""

    def new_bus(self) -> KafkaBus:
        bus = super().new_bus()
        url = {"url": SecretStr(self.registry)}
        bus.formats = configured({"paid": "avro", "booked": "avro"}, url, self.prefix)
        return bus


async def test_avro_in_and_out_while_the_registry_goes_away(kafka: str, topic_prefix: str, registry: Registry) -> None:
    """Each Avro record has one Avro result; a registry that is away loses nothing; garbage is a dead letter."""
    Formatted.registry = registry.url
    here = Formatted(kafka, topic_prefix, App("a", handlers=[book]), SETTINGS)
    registry.register(f"{topic_prefix}booked-value", {"schema": json.dumps(SCHEMA)})
    serialize = AvroSerializer(SchemaRegistryClient({"url": registry.url}), json.dumps(SCHEMA))
    where = SerializationContext(f"{topic_prefix}paid", MessageField.VALUE)
    producer = Producer({"bootstrap.servers": kafka})
    await here.bus.open()
    try:
        await prepare(here.app, here.bus, here.settings)
        values = [serialize({"cents": n}, where) for n in range(50)]
        registry.down = True
        await here.worker()
        for value in [*values, b"\0\0\0\0\x63garbage"]:
            producer.produce(where.topic, value)
        producer.flush(10)
        asked = registry.asked
        async with asyncio.timeout(30):
            while registry.asked < asked + 3:  # the worker has met the closed door
                await asyncio.sleep(0.05)
        assert not await here.records("a.book.dlt")
        registry.down = False
        found = await here.until("booked", 50)
        assert sorted(json.loads(record.value)["cents"] for record in found) == list(range(50))
        (dead,) = await here.until("a.book.dlt", 1)
        assert b"\0\0\0\0\x63garbage" in dead.value
        assert "40403" in dead.headers["kafka_dlt-exception-message"]
        assert await asyncio.to_thread(read_back, kafka, topic_prefix, registry.url) == list(range(50))
    finally:
        await here.close()


def read_back(servers: str, prefix: str, url: str) -> list[int]:
    """What another program reads from our output topic."""
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": url}))
    consumer = Consumer({"bootstrap.servers": servers, "group.id": prefix, "isolation.level": "read_committed",
                         "auto.offset.reset": "earliest"})  # fmt: skip
    consumer.subscribe([f"{prefix}booked"])
    found: list[int] = []
    context = SerializationContext(f"{prefix}booked", MessageField.VALUE)
    for _ in range(20):
        for message in consumer.consume(100, 1.0):
            if not message.error():
                found.append(deserialize(message.value(), context)["cents"])
        if len(found) >= 50:
            break
    consumer.close()
    return sorted(found)

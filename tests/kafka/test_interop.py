"""Records of other clients come to results, and other clients read ours: confluent-kafka and the CloudEvents SDK."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer
from tests.kafka.stage import SETTINGS, Stage, stage

from stepwire import App, Event, Join, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.worker import Worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Ordered(Event, topic="ordered", run="po"):
    po: str


class Shipped(Event, topic="shipped", run="po"):
    po: str


class Priced(Event, topic="priced"):
    po: str


class Invoiced(Event, topic="invoiced", result=True, terminal=True):
    po: str


@handler()
async def price(ordered: Ordered) -> Priced:
    return Priced(po=ordered.po)


@handler(join=Join(timeout=600))
async def invoice(priced: Priced, shipped: Shipped) -> Invoiced:
    return Invoiced(po=priced.po)


@handler(dedupe=600)
async def once(ordered: Ordered) -> Invoiced:
    return Invoiced(po=ordered.po)


def sdk(kind: str, po: str, id_: str) -> CloudEvent:
    attributes = {"id": id_, "source": "/outbox", "type": f"{kind}.{kind.capitalize()}.v1", "specversion": "1.0",
                  "datacontenttype": "application/json"}  # fmt: skip
    return CloudEvent(attributes, {"po": po})


def send(here: Stage, topic: str, message: KafkaMessage, compression: str = "none", **place: Any) -> None:
    producer = Producer(
        {"bootstrap.servers": here.servers, "partitioner": "random", "compression.type": compression}
    )  # fmt: skip
    producer.produce(
        f"{here.bus.prefix}{topic}", message.value, message.key, headers=[*message.headers.items()], **place
    )
    producer.flush(10)


def read_committed(here: Stage, topic: str, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": here.servers, "group.id": f"{here.bus.prefix}reader",
                         "isolation.level": "read_committed", "auto.offset.reset": "earliest"})  # fmt: skip
    consumer.subscribe([f"{here.bus.prefix}{topic}"])
    found: list[Any] = []
    for _ in range(20):
        found += [message for message in consumer.consume(100, 1.0) if not message.error()]
        if len(found) >= count:
            break
    consumer.close()
    return found


async def test_a_merge_completes_whoever_partitioned_it(kafka: str, topic_prefix: str) -> None:
    """An upstream event and a derived one meet: raw JSON and both CloudEvents modes, any key, any partition."""
    async with stage(kafka, topic_prefix, App("a", handlers=[price, invoice])) as here:
        await here.worker()
        for n, write in enumerate((to_binary_event, to_structured_event)):
            send(here, "ordered", write(sdk("ordered", f"po-{n}", f"o{n}")), partition=n)
            send(here, "shipped", write(sdk("shipped", f"po-{n}", f"s{n}")), partition=2)
        send(here, "ordered", KafkaMessage({}, b"\xff any key", b'{"po": "po-2"}'), partition=0)
        send(here, "shipped", KafkaMessage({}, None, b'{"po": "po-2"}'), partition=1)
        found = await here.until("invoiced", 3)
        assert sorted(json.loads(record.value)["po"] for record in found) == ["po-0", "po-1", "po-2"]
        messages = await asyncio.to_thread(read_committed, here, "invoiced", 3)
        assert len(messages) == 3
        for message in messages:
            read = from_kafka_event(KafkaMessage(dict(message.headers()), message.key(), message.value()))
            assert read.get_type() == "invoiced.Invoiced.v1" and read.get_source() == "stepwire:a/invoice"
            assert read.get_data()["po"].startswith("po-")


async def test_duplicates_of_an_outbox_are_dropped(kafka: str, topic_prefix: str) -> None:
    """The same source and id, in either mode, on whatever partition, is handled once within the window."""
    async with stage(kafka, topic_prefix, App("a", handlers=[once])) as here:
        await here.worker()
        for n in range(3):
            send(here, "ordered", to_binary_event(sdk("ordered", "po-1", "same")), partition=n)
            send(here, "ordered", to_structured_event(sdk("ordered", "po-1", "same")), partition=n)
        await here.until("invoiced", 1)
        send(here, "ordered", to_binary_event(sdk("ordered", "po-2", "other")))
        found = await here.until("invoiced", 2)
        assert sorted(json.loads(record.value)["po"] for record in found) == ["po-1", "po-2"]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_records_are_read_and_written(kafka: str, topic_prefix: str, compression: str) -> None:
    """Whatever the other client compresses with; and what we are told to compress with, others can read."""
    codec = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[compression]
    bus = KafkaBus(kafka, prefix=topic_prefix, session=6.0, create_topics=True, compression=codec)
    await bus.open()
    worker = Worker(App("a", handlers=[once]), bus, settings=SETTINGS)
    async with stage(kafka, topic_prefix, App("a", handlers=[once])) as here:
        await worker.start()
        long = "po" * 2_000
        send(here, "ordered", KafkaMessage({}, None, json.dumps({"po": long}).encode()), compression)
        await here.until("invoiced", 1)
        (message,) = await asyncio.to_thread(read_committed, here, "invoiced", 1)
        assert json.loads(message.value())["po"] == long
        await worker.stop()
    await bus.close()

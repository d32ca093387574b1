"""What other Kafka clients may put onto our topics, and what becomes of it: nothing is lost, nothing blocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from confluent_kafka import Producer
from tests.kafka.stage import stage

from stepwire import App, Event, handler

pytestmark = pytest.mark.timeout(120)
BINARY = {"ce_specversion": "1.0", "ce_source": "elsewhere", "ce_type": "asked.Asked.v1"}
STRUCTURED = {"specversion": "1.0", "id": "s-1", "source": "elsewhere", "type": "asked.Asked.v1", "data": {"n": 3}}


class Asked(Event, topic="asked", entry=True):
    n: int
    text: str = ""


class Done(Event, topic="done", result=True, terminal=True):
    n: int


@handler()
async def answer(asked: Asked) -> Done:
    return Done(n=asked.n)


APP = App("a", handlers=[answer])


class Case(NamedTuple):
    """A record as somebody else writes it."""

    value: bytes | None
    headers: dict[str, str]
    comes_to: int | str  #: the n of the result, or what the dead letter's message says


CASES = {
    "raw JSON, no headers, any key": Case(b'{"n": 1}', {}, 1),
    "CloudEvents binary": Case(b'{"n": 2}', {**BINARY, "ce_id": "b-1"}, 2),
    "CloudEvents structured": Case(
        json.dumps(STRUCTURED).encode(), {"content-type": "application/cloudevents+json; charset=UTF-8"}, 3
    ),
    "nearly a megabyte": Case(json.dumps({"n": 4, "text": "x" * 990_000}).encode(), {}, 4),
    "bytes that are no JSON": Case(b"\xff\xfe poison", {}, "Invalid JSON"),
    "another shape": Case(b'{"m": 1}', {}, "n: Field required"),
    "a null value": Case(None, {}, "there is no value"),
    "a header that is no text": Case(b'{"n": 5}', {"x": "\udcff"}, 5),
}


def send(servers: str, topic: str, case: Case) -> None:
    """With librdkafka, as others do."""
    producer = Producer({"bootstrap.servers": servers, "log_level": 0})
    headers = [(name, value.encode("utf-8", "surrogateescape")) for name, value in case.headers.items()]
    producer.produce(topic, case.value, key=b"\xffkey", headers=headers)
    assert producer.flush(20) == 0


@pytest.mark.parametrize("name", CASES)
async def test_a_foreign_record_is_an_event_or_a_dead_letter(kafka: str, topic_prefix: str, name: str) -> None:
    """Each form comes to its result, or to a dead letter with the original bytes; the partition goes on after it."""
    case = CASES[name]
    async with stage(kafka, topic_prefix, APP) as here:
        await here.worker()
        send(kafka, topic_prefix + "asked", case)
        await here.publish(*(Asked(n=100 + n) for n in range(6)))
        expected = 6 + isinstance(case.comes_to, int)
        results = {json.loads(record.value)["n"] for record in await here.until("done", expected)}
        if isinstance(case.comes_to, int):
            assert results == {case.comes_to, *range(100, 106)}
            assert await here.records("a.answer.dlt") == []
        else:
            (letter,) = await here.until("a.answer.dlt", 1)
            assert case.comes_to in letter.headers["kafka_dlt-exception-message"]
            assert letter.value == (case.value or b"")
            assert letter.headers["kafka_dlt-original-topic"] == "asked"


async def test_records_of_an_aborted_transaction_are_not_events(kafka: str, topic_prefix: str) -> None:
    """Somebody else's aborted records are passed over; what they committed afterwards is handled."""
    async with stage(kafka, topic_prefix, APP) as here:
        await here.worker()
        producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic_prefix + "x", "log_level": 0})
        producer.init_transactions(20)
        for n, finish in ((1, Producer.abort_transaction), (2, Producer.commit_transaction)):
            _in_transaction(producer, topic_prefix + "asked", b'{"n": %d}' % n, finish)
        found = await here.until("done", 1)
        await here.publish(Asked(n=3))
        found = await here.until("done", 2)
        assert sorted(json.loads(record.value)["n"] for record in found) == [2, 3]


def _in_transaction(producer: Producer, topic: str, value: bytes, finish: Callable[[Producer], object]) -> None:
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.flush(20)
    finish(producer)


async def test_an_output_that_no_topic_takes_is_dead_lettered_alone(kafka: str, topic_prefix: str) -> None:
    """An output above max.message.bytes ends its own delivery, with the cause; its neighbours are written."""

    @handler()
    async def grow(asked: Asked) -> Large:
        return Large(text="x" * (3_000_000 if asked.n == 3 else 10))

    async with stage(kafka, topic_prefix, App("a", handlers=[grow])) as here:
        await here.worker()
        await here.publish(*(Asked(n=n) for n in range(8)))
        await here.until("large", 7)
        (letter,) = await here.until("a.grow.dlt", 1)
        assert "max.message.bytes" in letter.headers["kafka_dlt-exception-message"]
        assert json.loads(letter.value)["n"] == 3


class Large(Event, topic="large", terminal=True):
    text: str

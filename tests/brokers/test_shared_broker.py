"""The broker that all tests share: it is Kafka, as strict as tests need it, and quick where tests would wait."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from tests.brokers.client import create, read_all

pytestmark = [pytest.mark.slow, pytest.mark.service("java")]


def test_a_record_comes_back(kafka: str, topic_prefix: str) -> None:
    """What is produced to the broker can be read from it."""
    create(kafka, f"{topic_prefix}a")
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(f"{topic_prefix}a", b"one")
    assert producer.flush(10) == 0
    assert read_all(kafka, f"{topic_prefix}a", "read_committed") == [b"one"]


def test_transactions_hide_what_was_aborted(kafka: str, topic_prefix: str) -> None:
    """An aborted record lies in the log, and a reader of committed records does not see it."""
    create(kafka, f"{topic_prefix}a")
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topic_prefix}tx"})
    producer.init_transactions(20)
    for value, end in ((b"one", producer.commit_transaction), (b"two", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(f"{topic_prefix}a", value)
        producer.flush(10)
        end(20)
    assert read_all(kafka, f"{topic_prefix}a", "read_committed") == [b"one"]
    assert read_all(kafka, f"{topic_prefix}a", "read_uncommitted") == [b"one", b"two"]


def test_a_topic_that_is_missing_is_not_made(kafka: str, topic_prefix: str) -> None:
    """Producing to a topic that nobody created fails, so that a test finds a wrong name."""
    producer = Producer({"bootstrap.servers": kafka, "topic.metadata.propagation.max.ms": 2000})
    found: list[KafkaError | None] = []
    producer.produce(f"{topic_prefix}nowhere", b"", on_delivery=lambda error, _message: found.append(error))
    producer.flush(10)
    assert [error.code() for error in found if error] == [KafkaError.UNKNOWN_TOPIC_OR_PART]


def test_a_member_may_have_a_session_of_one_second(kafka: str, topic_prefix: str) -> None:
    """A group takes a member whose session ends after a second."""
    create(kafka, f"{topic_prefix}a")
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"{topic_prefix}g",
            "session.timeout.ms": 1000,
            "heartbeat.interval.ms": 300,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([f"{topic_prefix}a"])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None and message.error().code() == KafkaError._PARTITION_EOF

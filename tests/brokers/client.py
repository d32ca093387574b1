"""What the tests of brokers do with one: make a topic, have records acknowledged, read a partition to its end."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def create(kafka: str, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
    """Make a topic; it is there when this returns."""
    admin = AdminClient({"bootstrap.servers": kafka})  # kept: its requests end with it
    admin.create_topics([NewTopic(topic, partitions, config=dict(config or {}))])[topic].result(20)


def read_all(kafka: str, topic: str, isolation: str) -> list[bytes | None]:
    """The values of partition 0 up to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "nobody",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = []
    while (message := consumer.poll(10)) is not None and message.error() is None:
        values.append(message.value())
    consumer.close()
    assert message is not None and message.error().code() == KafkaError._PARTITION_EOF
    return values


def acknowledge(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Produce, and wait until all replicas have it."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
    wrong: list[object] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _message: wrong.append(error) if error else None)
    assert producer.flush(40) == 0
    assert wrong == []

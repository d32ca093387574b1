"""Confirmations from Kafka: prints so many, one line of JSON each, and commits how far it came."""

import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import Consumer
from outbox import KAFKA, PREFIX


def main(count: int) -> None:
    """Without `read_committed` it would also see what a worker wrote and took back."""
    consumer = Consumer(
        {
            "bootstrap.servers": KAFKA,
            "group.id": f"{PREFIX}shop-python",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([f"{PREFIX}orders.confirmed"])
    while count > 0:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if error := message.error():
            sys.exit(str(error))
        event = from_kafka_event(KafkaMessage(dict(message.headers() or []), message.key(), message.value()))
        print(json.dumps(event.get_data()))
        consumer.commit(message)
        count -= 1
    consumer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))

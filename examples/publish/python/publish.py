"""From the outbox to Kafka. Prints the id of each row that the brokers have: only then it is marked as sent."""

import sys
from functools import partial

from cloudevents.core.bindings.kafka import to_binary_event
from confluent_kafka import KafkaError, Message, Producer
from outbox import KAFKA, PREFIX, rows


def main() -> None:
    """A crash between sending and marking sends a row twice; the flow drops the second."""
    producer = Producer({"bootstrap.servers": KAFKA, "enable.idempotence": True, "acks": "all"})
    failed: list[str] = []

    def delivered(id_: str, error: KafkaError | None, _: Message) -> None:
        if error:
            failed.append(f"{id_}: {error}")
        else:
            print(id_)

    for order, event in rows():
        record = to_binary_event(event)
        producer.produce(
            f"{PREFIX}orders.placed",
            record.value,
            order,
            headers=[*record.headers.items()],
            on_delivery=partial(delivered, event.get_id()),
        )
        producer.poll(0)
    producer.flush()
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()

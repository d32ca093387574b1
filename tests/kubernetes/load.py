"""Tickets, published one after the other by librdkafka as another system would.

In: servers, a rate. Out: how many were acknowledged; their customers are `c-0`, `c-1`, … in order, without a gap.
"""

from __future__ import annotations

import json
import threading
import time
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

TOPIC, TYPE = "support.tickets", "support.tickets.TicketOpened.v1"
BODIES = ("I was charged twice, please refund one payment.", "The app crashes with error 500 when I log in.",
          "What are your opening hours over the holidays?")  # fmt: skip


class Load:
    """Publishes from `with` to its end."""

    def __init__(self, servers: str, rate: float) -> None:
        self._producer = Producer(
            {"bootstrap.servers": servers, "acks": "all", "enable.idempotence": True, "log_level": 2}
        )
        self._pause, self._told = 1 / rate, threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self.published = 0
        self.refused: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self._told.set()
        self._thread.join()
        self._producer.flush(30)

    def _publish(self) -> None:
        begun = time.monotonic()
        while not self._told.wait(max(0.0, begun + self.published * self._pause - time.monotonic())):
            number = self.published
            self._producer.produce(
                TOPIC, json.dumps({"customer": f"c-{number}", "body": BODIES[number % len(BODIES)]}),
                headers={"ce_specversion": "1.0", "ce_id": str(number), "ce_source": "load", "ce_type": TYPE,
                         "content-type": "application/json"},
                on_delivery=self._heard,
            )  # fmt: skip
            self.published += 1
            self._producer.poll(0)

    def _heard(self, error: KafkaError | None, _message: Message) -> None:
        if error:
            self.refused.append(str(error))

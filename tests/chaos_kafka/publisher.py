"""Who publishes: librdkafka, and CloudEvents headers written by hand. Nothing of ours.

In: servers, a prefix, a file. Out: records, each of them noted in the file before it is sent.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

CUSTOMERS = 100  #: few enough that most have several orders under way at once


class Publisher:
    """Publishes numbered orders of customers, in the order of their numbers."""

    def __init__(self, servers: str, prefix: str, file: Path) -> None:
        self._topic, self._file = f"{prefix}placed", file.open("a")
        self._refused: list[str] = []
        self.published = 0
        self._producer = Producer({
            "bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 20, "log_level": 2,
            "message.timeout.ms": 300_000,  # longer than any fault lasts
        })  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def publish(self, count: int) -> None:
        """The next orders; returns at once. Raises RuntimeError if one was refused."""
        numbers = range(self.published, self.published + count)
        self._file.write("".join(f"{n} {customer(n)}\n" for n in numbers))
        self._file.flush()
        for n in numbers:
            headers = {
                "ce_specversion": "1.0", "ce_id": f"order-{n}", "ce_source": "shop", "ce_type": "placed.Placed.v1",
                "content-type": "application/json",
            }  # fmt: skip
            value = json.dumps({"n": n, "customer": customer(n)}).encode()
            self._producer.produce(
                self._topic, value, customer(n).encode(), headers=headers, on_delivery=self._delivered
            )
        self.published += count
        self._look()

    def finish(self, seconds: float) -> None:
        """Return when all are acknowledged. Raises RuntimeError if some are not by then."""
        left = self._producer.flush(seconds)
        self._look()
        if left:
            raise RuntimeError(f"{left} orders were not acknowledged within {seconds} s; are the brokers up?")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:  # noqa: ARG002 - librdkafka's callback
        if error is not None:
            self._refused.append(str(error))

    def _look(self) -> None:
        self._producer.poll(0)
        if self._refused:
            raise RuntimeError(f"{len(self._refused)} orders were refused, first: {self._refused[0]}")


def customer(number: int) -> str:
    """Whose order it is: neighbours differ, and a customer's orders come in rising numbers."""
    return f"c{number * 7919 % CUSTOMERS}"

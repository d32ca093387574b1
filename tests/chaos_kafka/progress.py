"""How many outputs are there by now: a rough count while it runs; the verdict is the judge's.

In: topics. Out: distinct outputs, by topic and number.
"""

from __future__ import annotations

import json

from confluent_kafka import Message
from tests.chaos_kafka.judge import Reading


class Progress:
    """Follows the topics on which everything ends."""

    def __init__(self, servers: str, topics: list[str]) -> None:
        self._found: set[tuple[str, int]] = set()
        self._reading = Reading(servers, topics, self._take)

    def _take(self, message: Message) -> None:
        self._found.add((str(message.topic()), json.loads(message.value() or b"{}")["n"]))

    def seen(self) -> int:
        """How many there are by now; a broker that is away makes it late, not wrong."""
        self._reading.read_on()
        return len(self._found)

    def close(self) -> None:
        """Give the connections back."""
        self._reading.close()

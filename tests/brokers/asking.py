"""Is a broker there? Asked through librdkafka, which is not the client under test.

In: an address. Out: the numbers of the brokers that it knows.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


def brokers_known_at(address: str, timeout: float = 2) -> set[int]:
    """The brokers in the cluster as this one sees it; none if it does not answer in time."""
    host, _, port = address.split(",", maxsplit=1)[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout).close()
        # a client that cannot connect writes to stderr; that it could not is the answer here
        return set(AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=timeout).brokers)
    except (OSError, KafkaException):
        return set()


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until it holds; False if it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True

"""Where `make operate` keeps its events: on Kafka if this machine has one or can start one, else in a file.

In: a folder. Out: the bus's address, and how many workers share the work there. Promise: a broker that was started ends
with the stack; on a broker that was given no topic and no group is left.
"""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import AdminClient
from tests.brokers.jars import NotHere
from tests.brokers.place import VARIABLE, open_broker


class Place(NamedTuple):
    """A bus."""

    url: str
    prefix: str
    workers: int

    @property
    def is_kafka(self) -> bool:
        """Its topics have to be made before a worker starts."""
        return self.url.startswith("kafka://")


def open_place(stack: ExitStack, home: Path) -> Place:
    """Raises ConnectionError if a broker was named and does not answer."""
    broker = home / "broker"
    broker.mkdir()
    try:
        servers = open_broker(stack, broker)
    except NotHere as wrong:
        sys.stderr.write(f"no Kafka ({wrong}): on the embedded bus instead\n")
        return Place(f"sqlite:///{home / 'bus.db'}", "", 1)
    prefix = ""
    if VARIABLE in os.environ:
        prefix = f"operate-{uuid.uuid4().hex[:8]}."
        stack.callback(_tidy, servers, prefix)
    return Place(f"kafka://{servers}", prefix, 2)


def _tidy(servers: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    groups = [one.group_id for one in admin.list_consumer_groups().result(20).valid]
    topics = list(admin.list_topics(timeout=20).topics)
    made = [
        *admin.delete_consumer_groups([name for name in groups if name.startswith(prefix)] or [prefix]).values(),
        *admin.delete_topics([name for name in topics if name.startswith(prefix)] or [prefix]).values(),
    ]
    for each in made:
        if wrong := each.exception(20):
            sys.stderr.write(f"left on {servers}: {wrong}\n")

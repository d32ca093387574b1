"""Rows of an outbox as CloudEvents.

In: lines of JSON on stdin, such as {"id": "row-1", "order": "A-1", "cents": 1200}; in a shop, rows of a table that
are written in the transaction that places the order. Out: events. Source and the row's id name an event: whoever
sends a row again sends the same event.
"""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from cloudevents.core.v1.event import CloudEvent

KAFKA = os.environ.get("KAFKA", "127.0.0.1:9092")
PREFIX = os.environ.get("PREFIX", "")  # of every topic and group: the environment's, such as `staging.`
SOURCE = "/shop/python"


def rows() -> Iterator[tuple[str, CloudEvent]]:
    """The order's number, which keys the record, and the event."""
    for line in sys.stdin:
        row = json.loads(line)
        attributes = {
            "id": row["id"],
            "source": SOURCE,
            "type": "orders.placed.OrderPlaced.v1",
            "specversion": "1.0",
            "time": datetime.now(UTC),
            "datacontenttype": "application/json",
        }
        yield row["order"], CloudEvent(attributes, {"order": row["order"], "cents": row["cents"]})

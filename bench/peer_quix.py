# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic>=2.12,<3", "quixstreams>=3.28.1,<4"]
# ///
"""Quix Streams: one hop on Kafka, exactly once, one record at a time, in a loop of librdkafka's clients.

In: a broker, a prefix, how many records are in `<prefix>came`. Out: as many in `<prefix>went`, and the end of the
process; it is timed from outside, by the broker's stamps on its outputs.

A script with a lock of its own: it needs a confluent-kafka that is older than the one of our tests. Its fast path:
no log, no state. It commits every 20 ms, some 500 records, as often as the bare loop: with its default of 5 s nobody
would see an output for as long.
"""

from __future__ import annotations

import argparse
import tempfile

from pydantic import BaseModel
from quixstreams import Application


class Came(BaseModel):
    n: int
    text: str


class Went(BaseModel):
    n: int
    text: str


def move(value: dict[str, object]) -> dict[str, object]:
    came = Came.model_validate(value)
    return Went(n=came.n, text=came.text).model_dump()


def hop(servers: str, prefix: str, records: int) -> None:
    """Run until so many records are through."""
    app = Application(
        broker_address=servers, consumer_group=f"{prefix}quix", auto_offset_reset="earliest", loglevel=None,
        processing_guarantee="exactly-once", commit_interval=0.02, state_dir=tempfile.mkdtemp(),
        producer_extra_config={"linger.ms": 5},
    )  # fmt: skip
    came = app.topic(f"{prefix}came", value_deserializer="json")
    went = app.topic(f"{prefix}went", value_serializer="json")
    app.dataframe(came).apply(move).to_topic(went)
    app.run(count=records, collect=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers")
    parser.add_argument("prefix")
    parser.add_argument("records", type=int)
    told = parser.parse_args()
    hop(told.servers, told.prefix, told.records)

"""FastStream: one hop on Kafka, at most once, as its documentation writes it: a subscriber, a publisher, two models.

In: a broker, a prefix, how many records are in `<prefix>came`. Out: as many in `<prefix>went`, and the end of the
process; it is timed from outside, by the broker's stamps on its outputs.

Its defaults: offsets are committed by a timer whatever became of the record (`AckPolicy.ACK_FIRST`), one record at a
time, a publish is awaited until the broker has it (`acks=1`). Its fast path: its log is off, which is a line for each
record. `--workers` is its `max_workers`: so many records at once, still at most once.
"""

from __future__ import annotations

import argparse
import asyncio

from faststream import FastStream
from faststream.kafka import KafkaBroker
from pydantic import BaseModel


class Came(BaseModel):
    n: int
    text: str


class Went(BaseModel):
    n: int
    text: str


def hop(servers: str, prefix: str, records: int, workers: int) -> FastStream:
    """The app; it exits by itself after so many records, when the last output is acknowledged."""
    broker = KafkaBroker(servers, logger=None)
    app = FastStream(broker, logger=None)
    left = records
    more = {"max_workers": workers} if workers > 1 else {}

    @broker.subscriber(f"{prefix}came", group_id=f"{prefix}faststream", auto_offset_reset="earliest", **more)
    @broker.publisher(f"{prefix}went")
    async def move(came: Came) -> Went:
        nonlocal left
        left -= 1
        if not left:
            app.exit()  # it stops gracefully: what is under way is published first
        return Went(n=came.n, text=came.text)

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers")
    parser.add_argument("prefix")
    parser.add_argument("records", type=int)
    parser.add_argument("--workers", type=int, default=1)
    told = parser.parse_args()
    asyncio.run(hop(told.servers, told.prefix, told.records, told.workers).run())

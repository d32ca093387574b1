"""One dead letter: the record that a worker wrote of a delivery that it could not finish (R8).

In: a record of a `.dlt` topic. Out: what it says, by name; None of a record that no worker wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stepwire.bus.protocol import Record
from stepwire_handlers.telemetry.mask import without_pieces

NUMBER = re.compile(r"-?[0-9]{1,18}")
#: headers that every dead letter has
TEXTS = (
    "sw_delivery", "sw_kind", "sw_key", "ce_swrun", "kafka_dlt-original-topic", "kafka_dlt-exception-fqcn",
    "kafka_dlt-exception-message",
)  # fmt: skip
NUMBERS = (
    "sw_replay", "sw_attempts", "kafka_dlt-original-partition", "kafka_dlt-original-offset",
    "kafka_dlt-original-timestamp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One unfinished delivery."""

    handler: str
    record: Record

    @property
    def id(self) -> str:
        """Of the delivery: an identity, or a join id."""
        return self.record.headers["sw_delivery"].rpartition("/")[2]

    @property
    def error(self) -> str:
        """The exception's class name."""
        return self.record.headers["kafka_dlt-exception-fqcn"].rpartition(".")[2]

    @property
    def message(self) -> str:
        """What the exception said."""
        return self.record.headers["kafka_dlt-exception-message"]

    @property
    def number(self) -> int:
        """How often it was replayed before."""
        return int(self.record.headers["sw_replay"])

    @property
    def attempts(self) -> int:
        """How often it was called."""
        return int(self.record.headers["sw_attempts"])

    @property
    def run(self) -> str:
        """The run it belongs to; empty if nobody knows."""
        return self.record.headers["ce_swrun"]

    @property
    def kind(self) -> str:
        """Event | part | join: what failed."""
        return self.record.headers["sw_kind"]

    @property
    def original(self) -> Record:
        """The record that failed, as it lay on its own topic."""
        topic, place, offset = (
            self.record.headers[f"kafka_dlt-original-{x}"] for x in ("topic", "partition", "offset")
        )
        return self.record._replace(topic=topic, partition=int(place), offset=int(offset))


def letter_of(handler: str, record: Record) -> DeadLetter | None:
    """The dead letter that a record is; None for one that no worker wrote: it hides the others from nobody."""
    headers = record.headers
    whole = all(name in headers for name in TEXTS) and all(NUMBER.fullmatch(headers.get(name, "")) for name in NUMBERS)
    return DeadLetter(handler, record) if whole else None


def without_quotes(letter: DeadLetter, values: Sequence[str]) -> DeadLetter:
    """The letter with these values masked in its cause."""
    quoting = ("kafka_dlt-exception-message", "kafka_dlt-exception-stacktrace")
    masked = {name: without_pieces(text, values) for name, text in letter.record.headers.items() if name in quoting}
    return replace(letter, record=letter.record._replace(headers={**letter.record.headers, **masked}))

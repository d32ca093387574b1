"""Writes that wait for the local bus's next SQLite transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from stepwire.bus.membership import Group
from stepwire.bus.protocol import Out, Partition, Transaction


@dataclass(slots=True)
class Write:
    """One write that waits for the next SQLite transaction."""

    done: asyncio.Future[list[tuple[Partition, int]]]
    outputs: Sequence[Out]
    transaction: Transaction | None = None
    group: Group | None = None
    generation: int = 0


def fail(batch: Sequence[Write], failure: Exception) -> None:
    """None of these writes happened."""
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(failure)

"""The work of one handler on one event or on one complete join, and what it leaves to be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stepwire.bus.protocol import Change, Out, Partition, Record
from stepwire.envelope import ROOT, Scope
from stepwire.state import Mailbox
from stepwire.telemetry import Called


@dataclass(slots=True, eq=False)
class Delivery:
    """One call to come, or running."""

    id: str  #: identity of the event, or join id; the parent of what it emits
    run: str
    scope: Scope = ROOT
    args: dict[str, Any] = field(default_factory=dict)
    record: Record | None = None  #: the event's record; a join has none
    traceparent: str = ""  #: of what caused it; once a tracer began a span for it: that span's, for its outputs
    tracestate: str = ""
    trace: Any = None  #: what a tracer keeps of it
    correlation: str = ""
    time: float = 0.0  #: when the event was recorded; for the queue delay
    topic: str = ""
    offset: tuple[Partition, int] | None = None  #: of a direct delivery: what is finished with it
    mailbox: Mailbox | None = None  #: of a delivery from state
    entry: str = ""  #: its key in the mailbox: the item's key, or the join's id
    meta: Mapping[str, Any] = field(default_factory=dict)  #: of the item, or of the join's call
    visit: int = 0
    attempt: int = 1
    replay: int = 0
    edited: bool = False
    is_join: bool = False
    frozen: tuple[str, ...] = ()  #: the slots that a join was called with
    missing: tuple[str, ...] = ()
    started: float = 0.0
    timed_out: bool = False
    dropped: bool = False  #: its assignment was lost: whatever the call still does, nothing of it counts
    task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """What it is found by in the mailbox: a correlator's join is not known by the ask that it answers."""
        return self.entry if self.is_join and self.entry else self.id

    def key(self, app: str, handler: str) -> str:
        """R2: the delivery key."""
        key = f"{app}/{handler}/{self.id}"
        return f"{key}#{self.replay}" if self.edited else key


@dataclass(slots=True, eq=False)
class Finished:
    """What one delivery, or one stored message, wants to be committed: whole or not at all."""

    outputs: list[Out] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    done: list[tuple[Partition, int]] = field(default_factory=list)
    applied: bool = False  #: are the changes in memory already (a stored message), or only once committed (a call)?
    delivery: Delivery | None = None
    fact: Called | None = None
    then: Callable[[], None] | None = None  #: what happens once it is committed
    mark: tuple[Partition, str, int] | None = None  #: R12: about to call this delivery alone, for the n-th time
    retries: int = 0
    closes: bool = False  #: does it close the join that was called?
    holds: bool = False  #: does it hold a slot for a call that begins once it is committed?

    @property
    def size(self) -> int:
        """Bytes that it writes."""
        return sum([len(out.value) for out in self.outputs]) + sum([len(c.value or b"") for c in self.changes])

"""The one seam through which the kernel tells what happened; metrics, logs and traces listen outside.

In: facts, frozen. Out: a call of the hook with one of them, in the event loop; it must not block and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Called(NamedTuple):
    """One delivery came to an end, or to a wait (step 8)."""

    app: str
    handler: str
    topic: str
    outcome: str  #: ok | retry | dead_letter | skipped | abandoned | unknown
    run: str
    key: str  #: the delivery key
    attempt: int
    seconds: float  #: wall time of the call
    queue_delay: float  #: from the record's time to the start of the call, seconds
    error: str = ""  #: the exception's class name
    message: str = ""
    wait: float = 0.0  #: until the next attempt, seconds
    notes: tuple[tuple[str, Mapping[str, Any]], ...] = ()  #: what steps added: model calls, tool calls
    inputs: tuple[Any, ...] = ()  #: what it was called with: events, lists of events, decisions
    outputs: tuple[Any, ...] = ()  #: what it returned


class Committed(NamedTuple):
    """One transaction ended (step 7)."""

    group: str
    deliveries: int
    outputs: Mapping[str, int]  #: topic -> events written
    seconds: float
    error: str = ""  #: empty, or why it did not commit


class Skipped(NamedTuple):
    """A record or a part came to nothing, by design."""

    app: str
    handler: str
    topic: str
    why: str  #: duplicate | other_type | late | undecodable | refused


class Assigned(NamedTuple):
    """Partitions were gained or lost."""

    group: str
    kind: str  #: assigned | revoked | lost
    partitions: Mapping[str, int] = {}  #: topic -> how many are held now


Fact = Called | Committed | Skipped | Assigned
Telemetry = Callable[[Fact], None]


def silent(_: Fact) -> None:
    """The hook of nobody who listens."""

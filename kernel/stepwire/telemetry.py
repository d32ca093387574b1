"""The one seam through which the kernel tells what happened; metrics, logs and traces listen outside.

In: facts, frozen. Out: a call of the hook with one of them, in the event loop; it must not block and must not raise.
A hook that has `begin` is also called before each call of a handler, in its task, with the step and the delivery: so a
tracer begins a span, keeps it in `delivery.trace`, and names it in `delivery.traceparent` for the outputs.
"""

from __future__ import annotations

import logging
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
    trace: Any = None  #: what the tracer keeps of it


class Committed(NamedTuple):
    """One transaction ended (step 7)."""

    group: str
    deliveries: int
    outputs: Mapping[str, int]  #: topic -> events written
    seconds: float
    error: str = ""  #: empty, or why it did not commit
    kind: str = ""  #: of the error: BusUnavailable | Fenced | OutcomeUnknown | BusCorrupt


class Skipped(NamedTuple):
    """A record or a part came to nothing, by design."""

    app: str
    handler: str
    topic: str
    why: str  #: duplicate | other_type | late | already_decided | undecodable | refused | retired
    type: str = ""  #: of a record of another type: its ce_type
    run: str = ""  #: of a message, and of what a retired step gives up: the run that it is about


class Assigned(NamedTuple):
    """Partitions were gained or lost."""

    group: str
    kind: str  #: assigned | revoked | lost
    partitions: Mapping[str, int] = {}  #: topic -> how many are held now


class Lost(NamedTuple):
    """Retention passed records that were not finished."""

    group: str
    topic: str
    partition: int
    offsets: int  #: at most so many records: markers of transactions count too


Fact = Called | Committed | Skipped | Assigned | Lost
Telemetry = Callable[[Fact], None]


def guarded(hook: Telemetry) -> Telemetry:
    """A hook of anybody's, as the loop calls it: what goes wrong in it is said once, and ends no step."""
    said: set[type[Exception]] = set()

    def tell(fact: Fact) -> None:
        try:
            hook(fact)
        except Exception as error:  # noqa: BLE001 - whoever listens must not end a step
            if type(error) not in said:
                said.add(type(error))
                logging.getLogger("stepwire").warning("the telemetry hook failed: %s", type(error).__name__)

    return tell


def silent(_: Fact) -> None:
    """The hook of nobody who listens."""

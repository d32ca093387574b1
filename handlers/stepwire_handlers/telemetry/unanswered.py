"""What waits for a person and lies in a worker's memory: what its partitions hold, so each is known to one worker.

In: a worker. Out: for each handler that is a gate, how many are open and when the next one expires; for each handler
whose effect must not repeat, of how many deliveries nobody knows whether it happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stepwire.join import deadline
from stepwire.state import decode_meta

if TYPE_CHECKING:
    from stepwire.dispatch.loop import Dispatcher
    from stepwire.worker import Worker


class OpenGates(NamedTuple):
    """Of one handler."""

    handler: str
    open: int
    expiry: float  #: of the first of them, epoch seconds; 0: none is open
    timeout: float  #: seconds


def open_gates(worker: Worker) -> list[OpenGates]:
    """Those of all handlers that are gates, also of those that have none open."""
    return [_of(dispatcher) for dispatcher in worker.dispatchers if dispatcher.step.rules.decision]


def _of(dispatcher: Dispatcher) -> OpenGates:
    step = dispatcher.step
    asked = next(part.name for part in step.handler.signature.parts if part.decision)
    expiries = [
        deadline(join, step.rules)
        for mailbox in dispatcher.committer.mailboxes.values()
        for join in mailbox.joins.values()
        if join.stub is None and not join.called and join.decision is None and asked in join.slots
    ]
    return OpenGates(step.name, len(expiries), min(expiries, default=0.0), step.rules.timeout)


def unknown_outcomes(worker: Worker) -> dict[tuple[str, ...], float]:
    """By handler. What lies there is read only where it may be one: 100,000 parked items are looked at in 10 ms."""
    return {(d.step.name,): float(_unknown(d)) for d in worker.dispatchers if d.step.once}


def _unknown(dispatcher: Dispatcher) -> int:
    mailboxes = dispatcher.committer.mailboxes.values()
    items = (raw for mailbox in mailboxes for raw in mailbox.items.values() if b'"unknown"' in raw)
    joins = (join for mailbox in mailboxes for join in mailbox.joins.values())
    known = sum(bool(decode_meta(raw).get("unknown")) for raw in items)
    return known + sum(bool(join.call and join.call.get("unknown")) for join in joins)

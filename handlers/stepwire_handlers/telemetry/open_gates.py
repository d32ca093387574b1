"""The gates that a worker has in its memory: those of the partitions that it holds, so each is known to one worker.

In: a worker. Out: for each handler that is a gate, how many wait for a person, and when the next one expires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stepwire.join import deadline

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
        if join.stub is None and join.call is None and join.decision is None and asked in join.slots
    ]
    return OpenGates(step.name, len(expiries), min(expiries, default=0.0), step.rules.timeout)

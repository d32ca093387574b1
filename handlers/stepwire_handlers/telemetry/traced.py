"""What logs and metrics know of the span of a delivery or a request, without the libraries of tracing.

In: a tracer, if there is one, says what it traces. Out: ids, as they stand in a log line or an exemplar.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Traced:
    """One delivery, or one request, that is traced."""

    trace_id: str  #: 32 hexadecimal digits
    span_id: str  #: 16
    sampled: bool  #: is it exported?
    span: Any  #: None: it belongs to a trace of somebody else, and makes no span of its own
    in_place: float  #: seconds; a retry that waits no longer belongs to the same span


#: of the delivery or request that runs in this task; None: it is not traced
CURRENT: ContextVar[Traced | None] = ContextVar("stepwire_traced", default=None)


def named() -> dict[str, str]:
    """Its ids for a log line; none if nobody traces."""
    found = CURRENT.get()
    return {} if found is None else {"trace_id": found.trace_id, "span_id": found.span_id}


def exemplar() -> str:
    """The trace that an exemplar may name; empty if there is none to look at."""
    found = CURRENT.get()
    return found.trace_id if found is not None and found.sampled else ""

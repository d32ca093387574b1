"""What logs and metrics know of a delivery's span, without the libraries of tracing.

In: a tracer, if there is one, says what it traces. Out: ids, as they stand in a log line or an exemplar.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Traced:
    """One delivery that is traced."""

    trace_id: str  #: 32 hexadecimal digits
    span_id: str  #: 16
    sampled: bool  #: is it exported?
    span: Any
    in_place: float  #: seconds; a retry that waits no longer belongs to the same span


#: of the delivery that runs in this task; None: it is not traced
CURRENT: ContextVar[Traced | None] = ContextVar("stepwire_traced", default=None)

"""Trace contexts: as W3C's headers carry them, and the trace that is called like its run.

In: headers of a request or a record. Out: the span context that they name, or an invalid one: whoever sends garbage
is as whoever sends nothing. A trace that nobody outside began is named after the run, so that processes which know
nothing of each other write into one trace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar

from opentelemetry import context, trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stepwire.event import digest
from stepwire_handlers.telemetry.traced import Traced

HASH = re.compile(r"[0-9a-f]{32}")
BEGINS: ContextVar[str] = ContextVar("stepwire_trace_begins", default="")  #: the run whose trace begins just now
W3C = TraceContextTextMapPropagator()
HEADERS = ("traceparent", "tracestate")


class RunIds(RandomIdGenerator):
    """Names the trace that a run begins after the run."""

    def generate_trace_id(self) -> int:
        """The run's hash, or a random number for a span of somebody else."""
        run = BEGINS.get()
        if not run:
            return super().generate_trace_id()
        number = int(run if HASH.fullmatch(run) else digest("trace", run), 16)
        return number or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """A run's name may be given from outside."""
        return False


def carried(headers: Mapping[str, str]) -> SpanContext:
    """The context that headers carry; an invalid one if they carry none, or no W3C trace context."""
    found = {name: text for name in HEADERS if (text := headers.get(name) or headers.get(f"ce_{name}"))}
    return trace.get_current_span(W3C.extract(found, context.Context())).get_span_context()


def below(above: SpanContext) -> context.Context:
    """Where a span begins whose parent is known, whatever runs in this task just now."""
    return trace.set_span_in_context(trace.NonRecordingSpan(above), context.Context())


def traced(own: SpanContext, span: Span | None = None, in_place: float = 0.0) -> Traced:
    """What logs and metrics know of it; without a span of ours it is the caller's."""
    sampled = span is not None and own.trace_flags.sampled
    return Traced(f"{own.trace_id:032x}", f"{own.span_id:016x}", sampled, span, in_place)


def parent(own: SpanContext) -> str:
    """A span as `traceparent` names it."""
    return f"00-{own.trace_id:032x}-{own.span_id:016x}-{int(own.trace_flags) & 1:02x}"


def written(headers: Mapping[str, str], own: SpanContext) -> dict[str, str]:
    """The headers, naming this span as the cause in place of whatever they named."""
    found = {name: text for name, text in headers.items() if name not in HEADERS} | {"traceparent": parent(own)}
    state = own.trace_state.to_header()
    return found | ({"tracestate": state} if state else {})


__all__ = ["BEGINS", "RunIds", "below", "carried", "parent", "traced", "written"]

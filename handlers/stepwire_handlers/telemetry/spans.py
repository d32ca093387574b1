"""A span for each delivery, in OpenTelemetry's words: messaging's of the process that consumes, GenAI's of model calls.

In: deliveries before they are called, and what they came to. Out: ended spans for a processor; nothing is exported
before the delivery is committed, so a call that a crash repeats is one span. The parent of a span is what the record
itself names in `traceparent`, never a guess; where it names nothing, the run's name is the trace's, so that all steps
of a run are in one trace whoever runs them, and however often. Never in a span: payloads, keys, an error's text.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from stepwire.state import decode_entry
from stepwire.telemetry import Called, Fact
from stepwire_handlers.telemetry.contexts import BEGINS, below, carried, parent, traced
from stepwire_handlers.telemetry.traced import CURRENT, Traced

if TYPE_CHECKING:
    from stepwire.dispatch.delivery import Delivery
    from stepwire.dispatch.step import Step

LINKS = 1_000  #: parts of a join that its span links to; OTEL_SPAN_LINK_COUNT_LIMIT says otherwise
FAILED = frozenset({"dead_letter", "unknown"})
#: a note's field -> the attribute that OpenTelemetry has for it
MODEL = {
    "model": "gen_ai.response.model", "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens", "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens", "cost_usd": "stepwire.model.cost_usd",
    "purpose": "stepwire.prompt",
}  # fmt: skip


class Spans:
    """The tracer of one worker. Belongs to the event loop.

    Args:
        provider: made with `RunIds`, and with the processors that export.
        system: what the bus is called in `messaging.system`.
    """

    def __init__(self, provider: TracerProvider, system: str) -> None:
        self._tracer = provider.get_tracer("stepwire")
        self._system = system
        self._said: set[type[Exception]] = set()

    # -- before a call

    def begin(self, step: Step, delivery: Delivery) -> None:
        """Begin the delivery's span, once, and name it to its outputs. Called in the task that calls the handler."""
        try:
            known = delivery.trace
            if known is None:
                known = delivery.trace = self._begun(step, delivery)
            if delivery.started:  # else it was given up without a call, and this task is not its own
                CURRENT.set(known)
                context.attach(trace.set_span_in_context(known.span))
        except Exception as error:  # noqa: BLE001 - who traces must not end a step
            self._failed(error)

    def _begun(self, step: Step, delivery: Delivery) -> Traced:
        begins = BEGINS.set(delivery.run)
        try:
            span = self._tracer.start_span(
                f"process {delivery.topic}", below(carried(_given(delivery))), SpanKind.CONSUMER,
                self._attributes(step, delivery), list(_links(delivery)),
            )  # fmt: skip
        finally:
            BEGINS.reset(begins)
        own = span.get_span_context()
        delivery.traceparent = parent(own)
        delivery.tracestate = own.trace_state.to_header()
        return traced(own, span, step.settings.in_place)

    def _attributes(self, step: Step, delivery: Delivery) -> dict[str, str | int]:
        found: dict[str, str | int] = {
            "messaging.system": self._system, "messaging.operation.type": "process",
            "messaging.operation.name": "process", "messaging.destination.name": delivery.topic,
            "messaging.consumer.group.name": step.group, "messaging.message.conversation_id": delivery.run,
            "stepwire.app": step.app, "stepwire.handler": step.name, "stepwire.run": delivery.run,
            "stepwire.delivery": delivery.key(step.app, step.name),
        }  # fmt: skip
        if delivery.record is not None:
            found |= {
                "messaging.message.id": delivery.id,
                "messaging.message.body.size": len(delivery.record.value or b""),
                "messaging.destination.partition.id": str(delivery.record.partition),
                "messaging.kafka.offset" if self._system == "kafka" else "stepwire.offset": delivery.record.offset,
            }
        if delivery.is_join:
            found["stepwire.parts"] = len(delivery.frozen)
        if delivery.visit:
            found["stepwire.visit"] = delivery.visit
        if delivery.replay:
            found["stepwire.replay"] = delivery.replay
        return found

    # -- after it

    def __call__(self, fact: Fact) -> None:
        """The hook."""
        if type(fact) is not Called or fact.trace is None:
            return
        span: Span = fact.trace.span
        if span.is_recording():
            now = time.time_ns()
            for name, note in fact.notes:
                self._noted(span, name, note, now)
            if fact.outcome == "retry":
                waits: dict[str, str | int | float] = {
                    "stepwire.attempt": fact.attempt,
                    "error.type": fact.error,
                    "stepwire.wait_seconds": fact.wait,
                }
                span.add_event("retry", waits, now)
                if fact.wait <= fact.trace.in_place:
                    return
            span.set_attributes({"stepwire.outcome": fact.outcome, "stepwire.attempt": fact.attempt})
            span.set_attribute("stepwire.queue_delay_seconds", round(fact.queue_delay, 6))
            if fact.error:
                span.set_attribute("error.type", fact.error)
            if fact.outcome in FAILED:
                span.set_status(Status(StatusCode.ERROR, fact.error))
        elif fact.outcome == "retry":
            return
        span.end()

    def _noted(self, above: Span, name: str, note: Mapping[str, Any], now: int) -> None:
        """A call that a step made, as a span below the delivery's."""
        if name == "model":
            attributes = _model(note)
            title, kind = f"chat {attributes['gen_ai.request.model']}", SpanKind.CLIENT
        elif name == "tool":
            title, kind = f"execute_tool {note.get('tool', '')}", SpanKind.CLIENT
            attributes = {
                "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": str(note.get("tool", "")),
                "stepwire.tool.server": str(note.get("server", "")),
            }  # fmt: skip
        else:
            return
        outcome = note.get("outcome")
        error = str(note.get("error") or ("" if outcome in (None, "ok") else outcome))
        lasted = int((note.get("seconds") or 0.0) * 1e9)
        begun = int(note["started"] * 1e9) if "started" in note else now - lasted
        span = self._tracer.start_span(title, trace.set_span_in_context(above), kind, attributes, start_time=begun)
        if error:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(begun + lasted)

    def _failed(self, error: Exception) -> None:
        if type(error) not in self._said:
            self._said.add(type(error))
            logging.getLogger("stepwire").error("telemetry (traces) failed: %s", type(error).__name__)


def _model(note: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "stepwire.offline" if note.get("offline") else "anthropic",
        "gen_ai.request.model": str(note.get("asked") or note.get("model", "")),
    }
    found |= {attribute: note[name] for name, attribute in MODEL.items() if note.get(name) is not None}
    if note.get("error"):
        del found["gen_ai.response.model"]
    if note.get("stop_reason"):
        found["gen_ai.response.finish_reasons"] = [str(note["stop_reason"])]
    return found


# -- contexts of others


def _given(delivery: Delivery) -> Mapping[str, str]:
    """What the record says of its cause."""
    if delivery.traceparent:
        return {"traceparent": delivery.traceparent, "tracestate": delivery.tracestate}
    return delivery.record.headers if delivery.record is not None else {}  # undecodable: its headers may be read


def _links(delivery: Delivery) -> Iterator[Link]:
    """To whatever emitted the parts of a join."""
    if not delivery.is_join or delivery.mailbox is None:
        return
    join = delivery.mailbox.joins.get(delivery.entry)
    for slot in delivery.frozen[:LINKS] if join is not None else ():
        raw = join.slots.get(slot) if join is not None else None
        found = carried(decode_entry(raw).headers) if raw is not None else trace.INVALID_SPAN_CONTEXT
        if found.is_valid:
            yield Link(found, {"stepwire.slot": slot})


__all__ = ["LINKS", "Spans"]

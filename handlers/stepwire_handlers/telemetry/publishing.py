"""Spans of whoever publishes: PRODUCER for each event that is written, SERVER for each request that brought some.

In: offers, before they are written, and requests of the door. Out: the same offers, whose `traceparent` names the span
that publishes them; ended spans. As everywhere the parent is what the headers themselves name; where they name
nothing, the run's name is the trace's. The door's span begins late, for only then is the run known, but with the time
at which the request was known: that, and what must not be in a span, is why it is not a library's. What goes wrong
with tracing ends no publishing. Never in a span: payloads, keys, queries, headers, who called.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from typing import TYPE_CHECKING, Self

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from stepwire.event import identity
from stepwire_handlers.telemetry.contexts import BEGINS, below, carried, traced, written
from stepwire_handlers.telemetry.traced import CURRENT

if TYPE_CHECKING:
    from stepwire.bus.protocol import Out
    from stepwire_handlers.services.known import Offer

Attributes = dict[str, str | int]


class Publishing:
    """The tracer of a process that publishes. Belongs to the event loop.

    Args:
        provider: made with `RunIds`, and with the processors that export.
        system: what the bus is called in `messaging.system`.
    """

    def __init__(self, provider: TracerProvider, system: str) -> None:
        self._tracer = provider.get_tracer("stepwire")
        self._system = system
        self._said: set[type[Exception]] = set()

    @contextmanager
    def sending(self, offers: Sequence[Offer]) -> Iterator[list[Out]]:
        """What is to be written while the context is open: each record names the span of its publishing."""
        spans, outs = list[Span](), list["Out"]()
        for offer in offers:
            out = offer.out
            try:
                span = self._begun(offer)
                spans.append(span)
                out = out._replace(headers=written(out.headers, span.get_span_context()))
            except Exception as error:  # noqa: BLE001 - who traces must not end a publishing
                self._failed(error)
            outs.append(out)
        try:
            yield outs
        except BaseException as error:
            for span in spans:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            for span in spans:
                span.end()

    def _begun(self, offer: Offer) -> Span:
        out, above = offer.out, carried(offer.out.headers)
        attributes: Attributes = {
            "messaging.system": self._system, "messaging.operation.type": "send",
            "messaging.operation.name": "publish", "messaging.destination.name": out.topic,
            "messaging.message.id": identity(*offer.identity), "messaging.message.body.size": len(out.value or b""),
        }  # fmt: skip
        if offer.run:
            attributes |= {"messaging.message.conversation_id": offer.run, "stepwire.run": offer.run}
        # an event that has a trace of its own is only linked to the request that brought it
        around = trace.get_current_span().get_span_context()
        links = [Link(around)] if around.is_valid and around.trace_id != above.trace_id else []
        return _start(self._tracer, f"publish {out.topic}", above, offer.run, SpanKind.PRODUCER, attributes, links)

    def request(self, route: str, attributes: Attributes, headers: Mapping[str, str]) -> Served:
        """A request of a known caller, for a `with` block.

        Args:
            route: as it was declared.
            attributes: what else the span says.
            headers: the request's.
        """
        return Served(self._tracer, route, attributes, carried(headers), self._failed)

    def follow(self, headers: Mapping[str, str]) -> None:
        """What is logged in this task from here on names the trace of these headers, if they name one."""
        if (caller := carried(headers)).is_valid:
            CURRENT.set(traced(caller))

    def _failed(self, error: Exception) -> None:
        if type(error) not in self._said:
            self._said.add(type(error))
            logging.getLogger("stepwire").error("telemetry (traces) failed: %s", type(error).__name__)


class Served:
    """One request that brings events, from when its caller was known until it is answered."""

    def __init__(
        self, tracer: Tracer, route: str, attributes: Attributes, caller: SpanContext,
        failed: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._tracer, self._caller, self._failed = tracer, caller, failed
        self._title, self._attributes = f"{attributes['http.request.method']} {route}", attributes
        self._attributes["http.route"] = route
        self._began = time.time_ns()
        self._span: Span | None = None
        self._token: Token[context.Context] | None = None
        self.status = 0  #: of the answer; 0: there was none

    def __enter__(self) -> Self:
        """The request itself."""
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """The request is answered."""
        try:
            self._end(error)
        except Exception as wrong:  # noqa: BLE001 - who traces must not end a request
            self._failed(wrong)

    def brings(self, offers: Sequence[Offer]) -> list[Offer]:
        """The same offers, below this request; those with a trace of their own stay in it."""
        try:
            return self._brought(offers)
        except Exception as error:  # noqa: BLE001 - who traces must not end a request
            self._failed(error)
            return list(offers)

    def _brought(self, offers: Sequence[Offer]) -> list[Offer]:
        given = [carried(offer.out.headers) for offer in offers]
        alone = len(offers) == 1
        above = given[0] if alone and not self._caller.is_valid else self._caller
        own = self._begin(above, offers[0].run if alone else "").get_span_context()
        found = []
        for offer, its in zip(offers, given, strict=True):
            # of a batch that nobody traces, each event begins the trace of its run
            ours = its.trace_id == own.trace_id if its.is_valid else alone or above.is_valid
            if ours:
                headers = written(offer.out.headers, own)
                found.append(offer._replace(out=offer.out._replace(headers=headers)))
            else:
                found.append(offer)
        return found

    def _begin(self, above: SpanContext, run: str) -> Span:
        if run:
            self._attributes["stepwire.run"] = run
        span = _start(self._tracer, self._title, above, run, SpanKind.SERVER, self._attributes, [], self._began)
        self._span, self._token = span, context.attach(trace.set_span_in_context(span))
        CURRENT.set(traced(span.get_span_context(), span))
        return span

    def _end(self, error: BaseException | None) -> None:
        span = self._span or self._begin(self._caller, "")
        if self.status:
            span.set_attribute("http.response.status_code", self.status)
        if self.status >= 500 or not self.status:  # what a caller did wrong is no error of the server's
            kind = str(self.status) if self.status else type(error).__name__
            span.set_attribute("error.type", kind)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        if self._token is not None:
            context.detach(self._token)


def _start(
    tracer: Tracer, title: str, above: SpanContext, run: str, kind: SpanKind, attributes: Attributes,
    links: Sequence[Link], began: int | None = None,
) -> Span:  # fmt: skip
    begins = BEGINS.set(run)
    try:
        return tracer.start_span(title, below(above), kind, attributes, links, began)
    finally:
        BEGINS.reset(begins)


__all__ = ["Publishing", "Served"]

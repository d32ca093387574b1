"""A run's trace on a real broker, over two workers, one of which vanishes in the middle of a call."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.kafka.stage import stage

from stepwire import App, Event, handler
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.telemetry import Hook, build
from stepwire_handlers.telemetry.contexts import RunIds
from stepwire_handlers.telemetry.spans import Spans

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Page(Event, topic="pages"):
    words: int


class Word(Event, topic="words"):
    n: int


class Length(Event, topic="lengths"):
    n: int


class Sum(Event, topic="sums", result=True):
    n: int


async def test_a_trace_is_whole_although_a_worker_vanished(kafka: str, topic_prefix: str) -> None:
    """Each delivery that was committed has one span, whose parent is there; the gather links to every part."""
    reached, go = asyncio.Event(), asyncio.Event()

    @handler()
    async def split(page: Page) -> list[Word]:
        return [Word(n=n) for n in range(page.words)]

    @handler()
    async def measure(word: Word) -> Length:
        if word.n == 3 and not go.is_set():
            reached.set()
            await go.wait()
        return Length(n=word.n)

    @handler()
    async def total(lengths: list[Length]) -> Sum:
        return Sum(n=sum(length.n for length in lengths))

    app = App("traced", [split, measure, total])
    exporter = InMemorySpanExporter()

    def traced() -> Hook:
        provider = TracerProvider(id_generator=RunIds(), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return build(Configuration(log="off"), app, None, Spans(provider, "kafka"))

    async with stage(kafka, topic_prefix, app) as here:
        first = await here.worker(telemetry=traced())
        (run,) = await here.publish(Page(words=6))
        await asyncio.wait_for(reached.wait(), 40)
        await here.vanish(first)
        go.set()
        await here.worker(telemetry=traced())
        await here.until("sums", 1)
        async with asyncio.timeout(40):
            while not _of("total", exporter):
                await asyncio.sleep(0.02)  # the record is seen before its worker is told that it committed
    spans = exporter.get_finished_spans()
    assert sorted(_handler(span) for span in spans) == ["measure"] * 6 + ["split", "total"]
    contexts = {span.context.span_id for span in spans if span.context}
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {run}
    assert {span.parent.span_id for span in spans if span.parent} <= contexts
    (gather,) = _of("total", exporter)
    assert {link.context.span_id for link in gather.links} == {
        span.context.span_id for span in _of("measure", exporter) if span.context
    }


def _handler(span: ReadableSpan) -> str:
    return str((span.attributes or {}).get("stepwire.handler", ""))


def _of(name: str, exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if _handler(span) == name]

"""Spans: one for each delivery, true parents, links at fan-in, and nothing in them that must not leave the process."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.telemetry.shop import APP, Heard, Order, listened

from stepwire import App, Context, Event, Join, Reject, RetryLater, Sensitive, handler
from stepwire.bus.protocol import Partition
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.telemetry.contexts import RunIds
from stepwire_handlers.telemetry.spans import Spans

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUIET = Configuration(log="off")


class Page(Event, topic="pages"):
    words: list[str]


class Word(Event, topic="words"):
    text: str


class Length(Event, topic="lengths"):
    n: int


class Title(Event, topic="titles"):
    text: str


class Counted(Event, topic="counted"):
    n: int


class Printed(Event, topic="printed", result=True):
    n: int
    card: Annotated[str, Sensitive()] = "4711-0815"


@handler()
async def split(page: Page) -> list[Word]:
    return [Word(text=word) for word in page.words]


@handler()
async def head(page: Page) -> Title:
    return Title(text="4711-0815")


@handler()
async def measure(word: Word, ctx: Context) -> Length:
    if word.text == "later" and ctx.attempt == 1:
        raise RetryLater(600.0)
    if word.text == "never":
        raise Reject("no 4711-0815")
    with trace.get_tracer("a library").start_as_current_span("its own"):
        return Length(n=len(word.text))


@handler(join=Join(timeout=300.0))
async def total(lengths: list[Length]) -> Counted:
    return Counted(n=sum(length.n for length in lengths))


@handler()
async def print_out(title: Title, counted: Counted) -> Printed:
    return Printed(n=counted.n)


BOOK = App("book", [split, head, measure, total, print_out])


class Seen:
    """A worker that is traced, and what it exported."""

    def __init__(self, heard: Heard, exporter: InMemorySpanExporter) -> None:
        self.heard, self._exporter = heard, exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def of(self, name: str) -> list[ReadableSpan]:
        """The spans of one handler, or of one name."""
        return [span for span in self.spans if name in (span.name, attributes(span).get("stepwire.handler"))]

    async def headers(self, topic: str) -> list[Mapping[str, str]]:
        records = await self.heard.worker.bus.read(Partition(topic, 0), 0, 100)
        return [record.headers for record in records]

    async def publish(self, app: App, event: Event, **extra: str) -> None:
        """Publish as a foreign client does, with headers of its own."""
        out, _ = app.record(event, now=self.heard.worker.clock.now())
        await self.heard.worker.bus.publish([out._replace(headers={**out.headers, **extra})])
        await self.heard.run.advance(0.0)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def own(span: ReadableSpan) -> str:
    """A span as `traceparent` names it."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def above(span: ReadableSpan) -> str:
    """Its parent, the same way; empty if it has none."""
    return "" if span.parent is None else f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-01"


@contextlib.asynccontextmanager
async def traced(
    monkeypatch: pytest.MonkeyPatch, app: App = BOOK, values: Configuration = QUIET, **limits: int
) -> AsyncIterator[Seen]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=RunIds(), span_limits=SpanLimits(**limits), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    async with listened(monkeypatch, values, Spans(provider, "kafka"), app) as heard:
        yield Seen(heard, exporter)
    provider.shutdown()


async def test_one_span_for_each_delivery_below_the_one_that_caused_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace of a run that nobody else began is called like the run, and every event names the span it came from."""
    async with traced(monkeypatch) as seen:
        await seen.heard.run.publish(Page(words=["a", "bc"]))
        names = [attributes(span)["stepwire.handler"] for span in seen.spans if "stepwire.handler" in attributes(span)]
        assert sorted(names) == ["head", "measure", "measure", "print_out", "split", "total"]
        run = attributes(seen.of("split")[0])["stepwire.run"]
        assert {own(span)[3:35] for span in seen.spans} == {run}
        (split_,), measures = seen.of("split"), seen.of("measure")
        assert above(split_) == above(seen.of("head")[0]) == ""
        assert {above(span) for span in measures} == {own(split_)}
        assert [h["traceparent"] for h in await seen.headers("words")] == [own(split_)] * 2
        assert {h["traceparent"] for h in await seen.headers("lengths")} == {own(span) for span in measures}
        assert {above(span) for span in seen.of("its own")} == {own(span) for span in measures}


async def test_the_words_are_those_of_the_messaging_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind, name, system, destination, group, partition, offset, conversation."""
    async with traced(monkeypatch) as seen:
        await seen.heard.run.publish(Page(words=[]))
        (span,) = seen.of("split")
    assert (span.name, span.kind.name, span.status.status_code) == ("process pages", "CONSUMER", StatusCode.UNSET)
    said = attributes(span)
    assert said["messaging.system"] == "kafka"
    assert (said["messaging.operation.type"], said["messaging.operation.name"]) == ("process", "process")
    assert (said["messaging.destination.name"], said["messaging.destination.partition.id"]) == ("pages", "0")
    assert (said["messaging.consumer.group.name"], said["messaging.kafka.offset"]) == ("book.split", 0)
    assert said["messaging.message.conversation_id"] == said["stepwire.run"]
    assert said["stepwire.delivery"] == f"book/split/{said['messaging.message.id']}"
    assert (said["stepwire.outcome"], said["stepwire.attempt"]) == ("ok", 1)


@pytest.mark.parametrize("prefix", ["", "ce_"])
async def test_a_publisher_with_a_trace_of_its_own_is_the_parent(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """Its trace goes on, with its vendor's state, in every step of the run."""
    async with traced(monkeypatch) as seen:
        extra = {f"{prefix}traceparent": PARENT, f"{prefix}tracestate": "vendor=1"}
        await seen.publish(BOOK, Page(words=["a"]), **extra)
        assert above(seen.of("split")[0]) == above(seen.of("head")[0]) == PARENT
        assert {own(span)[3:35] for span in seen.spans} == {PARENT[3:35]}
        assert {h["tracestate"] for h in await seen.headers("printed")} == {"vendor=1"}


@pytest.mark.parametrize(
    "garbage", ["", "00", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff-x-y-z", "\ud800", "💥" * 99]
)
async def test_a_trace_context_that_is_none_begins_no_span_of_its_parent(
    monkeypatch: pytest.MonkeyPatch, garbage: str
) -> None:
    """Whatever stands in the header, the delivery is traced, without a parent."""
    async with traced(monkeypatch) as seen:
        await seen.publish(BOOK, Page(words=[]), traceparent=garbage.encode("utf-8", "replace").decode())
        (span,) = seen.of("split")
        assert above(span) == "" and own(span)[3:35] == attributes(span)["stepwire.run"]


async def test_a_join_links_to_all_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gather to what emitted each item, a merge to what emitted each part; each has one of them as its parent."""
    async with traced(monkeypatch) as seen:
        await seen.heard.run.publish(Page(words=["a", "bc", "def"]))
        (gather,), (merge,) = seen.of("total"), seen.of("print_out")
        for join, parts in ((gather, seen.of("measure")), (merge, [*seen.of("head"), gather])):
            linked = {f"00-{link.context.trace_id:032x}-{link.context.span_id:016x}-01" for link in join.links}
            assert linked == {own(part) for part in parts}
            assert above(join) in linked
            assert attributes(join)["stepwire.parts"] == len(parts)
        assert {(link.attributes or {})["stepwire.slot"] for link in merge.links} == {"title", "counted"}


async def test_a_retry_in_place_is_an_event_of_the_same_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its attempt and the error's class; the span says how many there were."""
    async with traced(monkeypatch, APP) as seen:
        await seen.heard.run.publish(Order(n=7))
        (pay,) = seen.of("pay")
    (event,) = pay.events
    said = dict(event.attributes or {})
    assert (event.name, said["stepwire.attempt"], said["error.type"]) == ("retry", 1, "Transient")
    assert attributes(pay)["stepwire.attempt"] == 2 and pay.status.status_code is StatusCode.UNSET


async def test_a_parked_retry_ends_its_span_and_the_next_has_the_same_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may go on in another worker, hours later, so two spans; what it emits is below the one that emitted it."""
    async with traced(monkeypatch) as seen:
        await seen.heard.run.publish(Page(words=["later"]))
        (first,) = seen.of("measure")
        assert attributes(first)["stepwire.outcome"] == "retry" and [e.name for e in first.events] == ["retry"]
        await seen.heard.run.advance(601.0)
        first, second = seen.of("measure")
        assert above(first) == above(second) == own(seen.of("split")[0])
        assert attributes(second)["stepwire.attempt"] == 2
        assert [h["traceparent"] for h in await seen.headers("lengths")] == [own(second)]


async def test_a_dead_letter_is_an_error_whether_or_not_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejected, undecodable, expired: status and error's class; a replay is a new span below the same cause."""
    async with traced(monkeypatch) as seen:
        run = seen.heard.run
        await run.publish(Page(words=["never"]))
        (rejected,) = seen.of("measure")
        assert (rejected.status.status_code, rejected.status.description) == (StatusCode.ERROR, "Reject")
        assert attributes(rejected)["error.type"] == "Reject"
        await run.replay(run.dead_letters[0], Word(text="now"))
        again = seen.of("measure")[1]
        assert above(again) == above(rejected) and attributes(again)["stepwire.replay"] == 1
        out, _ = BOOK.record(Page(words=[]), now=1.0)
        await seen.heard.worker.bus.publish([out._replace(headers={**out.headers, "traceparent": PARENT}, value=b"{")])
        await run.advance(0.0)
        bad = seen.of("split")[1]
        assert (bad.status.description, above(bad)) == ("DecodeError", PARENT)


async def test_a_join_that_expires_is_an_error_with_the_parts_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was never called, and still has a span with links."""
    async with traced(monkeypatch) as seen:
        await seen.heard.run.publish(Page(words=["a", "later"]))
        await seen.heard.run.advance(301.0)
        (expired,) = seen.of("total")
        assert expired.status.description == "JoinExpired"
        assert len(expired.links) == 1


async def test_model_and_tool_calls_are_spans_below_the_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the GenAI conventions: called like the model that was asked, whichever answered; tokens, error, own time."""
    async with traced(monkeypatch, APP) as seen:
        await seen.heard.run.publish(Order(n=1))
        (pay,), (answered, refused), (tool,) = seen.of("pay"), seen.of("chat small"), seen.of("execute_tool bank.pay")
    assert {above(span) for span in (answered, refused, tool)} == {own(pay)}
    said = attributes(answered)
    assert (said["gen_ai.operation.name"], said["gen_ai.provider.name"]) == ("chat", "anthropic")
    assert (said["gen_ai.request.model"], said["gen_ai.response.model"]) == ("small", "small-20251001")
    assert attributes(refused)["gen_ai.request.model"] == "small"
    assert "gen_ai.response.model" not in attributes(refused)
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (100, 20)
    assert said["gen_ai.usage.cache_read.input_tokens"] == 5
    assert (answered.kind.name, refused.status.description) == ("CLIENT", "RateLimitError")
    assert answered.end_time is not None and answered.start_time is not None
    assert answered.end_time - answered.start_time == 500_000_000
    assert (attributes(tool)["gen_ai.operation.name"], attributes(tool)["gen_ai.tool.name"]) == (
        "execute_tool", "bank.pay",
    )  # fmt: skip


async def test_log_lines_and_exemplars_name_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a step, what the step logs itself, and one value of each bucket, where a scraper asks for them."""
    async with traced(monkeypatch, APP, Configuration(log="json")) as seen:
        await seen.heard.run.publish(Order(n=1))
        (check,) = seen.of("check")
        lines = [line for line in seen.heard.lines if line.get("handler") == "check"]
        assert [line["event"].partition(" is ")[0] for line in lines] == ["looking at 1", "it", "shop.check"]
        assert {(line["trace_id"], line["span_id"]) for line in lines} == {(own(check)[3:35], own(check)[36:52])}
        plain = await seen.heard.scrape()
        assert "trace_id" not in plain
        text = await seen.heard.scrape("application/openmetrics-text; version=1.0.0; charset=utf-8")
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.exemplar]
    named = {sample.name for sample in samples}
    assert {sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar} == {own(check)[3:35]}
    assert named == {
        "stepwire_handler_duration_seconds_bucket", "stepwire_message_queue_delay_seconds_bucket",
        "gen_ai_client_operation_duration_seconds_bucket", "stepwire_tool_call_duration_seconds_bucket",
    }  # fmt: skip


async def test_nothing_of_a_payload_is_in_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sensitive fields, other fields, what an exception quotes: planted, and looked for in all that is exported."""
    async with traced(monkeypatch, APP) as seen:
        for n in (1, 7, -1):
            await seen.heard.run.publish(Order(n=n, text="planted-payload-0815"))
        assert len(seen.heard.run.dead_letters) == 1
        text = json.dumps([json.loads(span.to_json()) for span in seen.spans])
    assert len(seen.spans) == 3 + 2 + 3 * 2
    assert "4711-08" not in text and "planted-payload" not in text and "the bank is busy" not in text


async def test_an_unsampled_run_exports_nothing_and_says_so_downstream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher's decision holds in every step; no exemplar points to a trace that is not there."""
    async with traced(monkeypatch) as seen:
        await seen.publish(BOOK, Page(words=["a"]), traceparent=PARENT[:-2] + "00")
        assert [span.name for span in seen.spans] == []
        (headers,) = await seen.headers("printed")
        assert headers["traceparent"][:35] == PARENT[:35] and headers["traceparent"].endswith("-00")
        assert "trace_id" not in await seen.heard.scrape("application/openmetrics-text; version=1.0.0")


@pytest.mark.parametrize("method", ["_begun", "_noted"])
async def test_a_tracer_that_fails_ends_no_step(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """Before a call and after it: the runs complete, the failure is said once, without its text."""

    def broken(*_: object) -> None:
        raise KeyError("4711-0815")

    monkeypatch.setattr(logging.getLogger("stepwire"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("stepwire"), "handlers", [])
    monkeypatch.setattr(Spans, method, broken)
    async with traced(monkeypatch, APP) as seen:
        await seen.heard.run.publish(Order(n=1))
        await seen.heard.run.publish(Order(n=2))
        assert seen.heard.run.state == "completed"
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["telemetry (traces) failed: KeyError"]

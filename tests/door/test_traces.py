"""Traces of what comes in by the door: one from request to result, and nothing that a caller sends breaks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.door.doors import ROOT, STEPWIRE, Doors, Inside
from tests.door.shop import APP
from tests.telemetry.receiver import attribute, collector

from stepwire.errors import BusUnavailable
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.access import Access, new_key
from stepwire_handlers.telemetry import build
from stepwire_handlers.telemetry.contexts import RunIds
from stepwire_handlers.telemetry.publishing import Publishing
from stepwire_handlers.telemetry.series import exposition
from stepwire_handlers.telemetry.spans import Spans

CALLER, OTHER = "0af7651916cd43dd8448eb211c80319c", "11111111111111111111111111111111"
PARENT, ITS = f"00-{CALLER}-b7ad6b7169203331-01", f"00-{OTHER}-2222222222222222-01"
CLOUDEVENT = "application/cloudevents+json"


class Traced:
    """A door that is traced, and what it and its worker exported."""

    def __init__(self, inside: Inside, provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
        self.inside, self._provider, self._exporter = inside, provider, exporter

    async def work(self) -> None:
        """A worker that is traced too does what there is, and leaves."""
        hook = build(Configuration(log="off"), APP, spans=Spans(self._provider, "stepwire"))
        worker = Worker(APP, self.inside.bus, telemetry=hook)
        await worker.start()
        await worker.settle()
        await worker.stop()

    @property
    def spans(self) -> list[ReadableSpan]:
        """In the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def of(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is kind]

    async def send(self, *events: dict[str, Any], **headers: str) -> httpx2.Response:
        """One CloudEvent in structured mode, or several as a batch."""
        alone = len(events) == 1
        media = CLOUDEVENT if alone else "application/cloudevents-batch+json"
        body = json.dumps(events[0] if alone else events)
        return await self.inside.client.post("/events", content=body, headers={"content-type": media, **headers})


def event(id_: str, **more: str) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": id_, "source": "test", "type": "shop.orders.Order.v1", "data": {"n": 1}, **more
    }  # fmt: skip


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def above(span: ReadableSpan) -> str:
    return "" if span.parent is None else f"{span.parent.span_id:016x}"


def own(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def said(span: ReadableSpan, name: str) -> Any:
    return (span.attributes or {}).get(name)


@pytest.fixture
def traced(opened: Callable[..., Any]) -> Callable[..., Any]:
    @asynccontextmanager
    async def open_(access: Access | None = None) -> AsyncIterator[Traced]:
        exporter = InMemorySpanExporter()
        provider = TracerProvider(id_generator=RunIds(), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        async with opened(access, Publishing(provider, "stepwire")) as inside:
            yield Traced(inside, provider, exporter)
        provider.shutdown()

    return open_


async def test_one_trace_from_the_request_to_the_result(traced: Callable[..., Any]) -> None:
    """It is called like the run, and each span is below the one that caused it."""
    async with traced() as seen:
        answer = await seen.inside.client.post("/apps/shop/Order", json={"n": 1, "card": "4711-0815"})
        await seen.work()
        spans = seen.spans
        assert [(span.name, span.kind.name) for span in spans] == [
            ("POST /apps/{app}/{type}", "SERVER"), ("publish shop.orders", "PRODUCER"),
            ("process shop.orders", "CONSUMER"), ("process shop.checked", "CONSUMER"),
        ]  # fmt: skip
        assert {trace_of(span) for span in spans} == {answer.json()["run"]}
        assert [above(span) for span in spans] == ["", *(own(span) for span in spans[:-1])]
        assert (await seen.inside.get(answer.json()["url"]))["state"] == "completed"


async def test_what_the_spans_say(traced: Callable[..., Any]) -> None:
    """The conventions' words for HTTP and messaging, the same message id as its consumer's; no payload."""
    async with traced() as seen:
        answer = await seen.inside.client.post(
            "/apps/shop/Order", json={"n": 1, "card": "4711-0815"},
            headers={"idempotency-key": "planted"},
        )  # fmt: skip
        await seen.work()
        server, producer, consumer, _ = seen.spans
        run = answer.json()["run"]
        assert dict(server.attributes or {}) == {
            "http.request.method": "POST", "url.scheme": "http", "url.path": "/apps/shop/Order",
            "http.route": "/apps/{app}/{type}", "http.response.status_code": 202, "network.protocol.version": "1.1",
            "stepwire.run": run,
        }  # fmt: skip
        assert dict(producer.attributes or {}) == {
            "messaging.system": "stepwire", "messaging.operation.type": "send",
            "messaging.operation.name": "publish", "messaging.destination.name": "shop.orders",
            "messaging.message.id": said(consumer, "messaging.message.id"),
            "messaging.message.body.size": said(consumer, "messaging.message.body.size"),
            "messaging.message.conversation_id": run, "stepwire.run": run,
        }  # fmt: skip
        batch = {"content-type": "application/cloudevents-batch+json"}
        more = await seen.inside.client.post("/events?secret=planted", json=[], headers=batch)
        assert more.status_code == 202
        assert server.status.status_code is producer.status.status_code is StatusCode.UNSET
        told = "".join(span.to_json() for span in seen.spans)
        assert not [word for word in ("planted", "4711") if word in told]


async def test_the_latency_of_a_request_names_its_trace(traced: Callable[..., Any]) -> None:
    """If that is sampled and a span of the door's is in it, and for a scraper that asks for OpenMetrics."""
    plain, asked = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0"
    assert exposition(CollectorRegistry(), "application/openmetrics-text; version=abc")[1] == plain
    async with traced() as seen:
        client = seen.inside.client
        run = (await seen.inside.order(1)).json()["run"]
        await seen.inside.order(2, traceparent=PARENT[:-2] + "00")
        await client.get("/gates", headers={"traceparent": PARENT})
        for accept in ("*/*", "text/plain;version=0.0.4"):
            answer = await client.get("/metrics", headers={"accept": accept})
            assert answer.headers["content-type"] == plain
            assert "stepwire_ingress_requests_total" in answer.text and "trace_id" not in answer.text
        answer = await client.get("/metrics", headers={"accept": f"{asked},{plain};q=0.5"})
        assert answer.headers["content-type"].startswith(asked)
        found = [s for family in text_string_to_metric_families(answer.text) for s in family.samples if s.exemplar]
        assert [(s.name, s.labels["route"], s.exemplar.labels) for s in found if s.exemplar] == [
            ("stepwire_ingress_request_duration_seconds_bucket", "/apps/{app}/{type}", {"trace_id": run})
        ]


async def test_what_is_logged_of_a_request_names_its_trace(
    traced: Callable[..., Any], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure by the door's span; a decision, of which no span is made, by the caller's, if the caller has one."""
    async with traced() as seen:
        for n in (500, 600):
            await seen.inside.order(n)
        await seen.work()
        for gate, its in zip((await seen.inside.get("/gates"))["gates"], ({"traceparent": PARENT}, {}), strict=True):
            answer = await seen.inside.client.post(f"/gates/{gate['id']}", json={"decision": "approve"}, headers=its)
            assert answer.status_code == 202
        monkeypatch.setattr(seen.inside.door.places.all[0].bus, "publish", None)
        failed = [(await seen.inside.order(1, **its)).json() for its in ({"traceparent": ITS}, {})]
        assert [answer["status"] for answer in failed] == [500, 500]
        mine = [span for span in seen.of(SpanKind.SERVER) if said(span, "http.response.status_code") == 500]
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"][:7] for line in lines] == ["decided", "decided", "door: T", "door: T"]
    assert [(line.get("trace_id"), line.get("span_id")) for line in lines] == [
        (CALLER, PARENT[36:52]), (None, None), *((trace_of(span), own(span)) for span in mine),
    ]  # fmt: skip
    assert all(answer["instance"] in line["event"] for answer, line in zip(failed, lines[2:], strict=True))


@pytest.mark.parametrize("way", ["header", "extension"])
async def test_a_caller_s_trace_goes_on(traced: Callable[..., Any], way: str) -> None:
    """By HTTP's header or the event's extension, up to the result; its tracestate too."""
    async with traced() as seen:
        its = {"traceparent": PARENT, "tracestate": "vendor=1"}
        await (seen.send(event("1"), **its) if way == "header" else seen.send(event("1", **its)))
        await seen.work()
        assert len(seen.spans) == 4
        assert {trace_of(span) for span in seen.spans} == {CALLER}
        assert above(seen.spans[0]) == PARENT[36:52]
        assert {span.context.trace_state.get("vendor") for span in seen.spans} == {"1"}


async def test_a_trace_of_the_event_s_own(traced: Callable[..., Any]) -> None:
    """An event that was born in another trace than the request's stays in it, linked to the request."""
    async with traced() as seen:
        await seen.send(event("1", traceparent=ITS), traceparent=PARENT)
        await seen.work()
        server, producer, *steps = seen.spans
        assert (trace_of(server), above(server)) == (CALLER, PARENT[36:52])
        assert (trace_of(producer), above(producer)) == (OTHER, ITS[36:52])
        assert [f"{link.context.span_id:016x}" for link in producer.links] == [own(server)]
        assert {trace_of(span) for span in steps} == {OTHER}


@pytest.mark.parametrize(
    "text", ["garbage", "00-" + "0" * 32 + "-b7ad6b7169203331-01", PARENT.replace("00-", "ff-", 1)]
)
async def test_an_invalid_trace_is_none(traced: Callable[..., Any], text: str) -> None:
    """Whoever sends garbage, as header or as extension, is served as who sends nothing."""
    async with traced() as seen:
        for answer in (
            await seen.inside.order(1, traceparent=text, tracestate="=,="),
            await seen.send(event("1", traceparent=text)),
        ):
            assert answer.status_code == 202
        await seen.work()
        for server, producer in zip(seen.of(SpanKind.SERVER), seen.of(SpanKind.PRODUCER), strict=True):
            assert (above(server), above(producer)) == ("", own(server))
            assert trace_of(server) == said(server, "stepwire.run")
        assert len(seen.spans) == 8


async def test_a_host_that_is_none(traced: Callable[..., Any]) -> None:
    """Whatever a caller says of the host, its event is taken, and its span has the path."""
    async with traced() as seen:
        assert (await seen.inside.order(1, host="[")).status_code == 202
        assert said(seen.spans[0], "url.path") == "/apps/shop/Order"


async def test_a_batch(traced: Callable[..., Any]) -> None:
    """Without a caller's trace each event begins its run's, linked to the request; with one, all are below it."""
    async with traced() as seen:
        told = (await seen.send(event("1"), event("2"), event("3", traceparent=ITS))).json()["events"]
        (server,), producers = seen.of(SpanKind.SERVER), seen.of(SpanKind.PRODUCER)
        assert [trace_of(span) for span in producers] == [told[0]["run"], told[1]["run"], OTHER]
        assert {f"{link.context.span_id:016x}" for span in producers for link in span.links} == {own(server)}
        await seen.send(event("4"), event("5"), traceparent=PARENT)
        server = seen.of(SpanKind.SERVER)[1]
        assert [above(span) for span in seen.of(SpanKind.PRODUCER)[3:]] == [own(server)] * 2
        assert trace_of(server) == CALLER


async def test_a_repeated_event_is_not_published_again(traced: Callable[..., Any]) -> None:
    """The request is in the run's trace too, and there is one span of publishing."""
    async with traced() as seen:
        runs = {(await seen.inside.order(1, **{"idempotency-key": "k"})).json()["run"] for _ in range(2)}
        assert {trace_of(span) for span in seen.spans} == runs
        assert [span.kind for span in seen.spans] == [SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.SERVER]


async def test_a_refusal_is_the_caller_s_and_no_error_of_the_door(traced: Callable[..., Any]) -> None:
    """Its span has the status, below the caller's; who is not known makes none, and neither does looking at a run."""
    async with traced() as seen:
        assert (await seen.inside.client.post("/apps/shop/Order", json={}, headers={"traceparent": PARENT})).is_error
        await seen.inside.client.get("/gates")
        (server,) = seen.spans
        assert (trace_of(server), said(server, "http.response.status_code")) == (CALLER, 422)
        assert server.status.status_code is StatusCode.UNSET
    key = {"name": "somebody", "hash": new_key()[1], "roles": {"*": ["operator"]}}
    async with traced(Access.model_validate({"keys": [key]})) as seen:
        assert (await seen.inside.order(1)).status_code == 401
        assert not seen.spans


async def test_a_bus_that_does_not_take_it_is_an_error(
    traced: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of both spans, by its class and its status, without its message."""
    async with traced() as seen:

        async def away(_: object) -> None:
            raise BusUnavailable("planted")

        monkeypatch.setattr(seen.inside.door.places.all[0].bus, "publish", away)
        assert (await seen.inside.order(1)).status_code == 503
        server, producer = seen.spans
        assert (said(server, "error.type"), said(server, "http.response.status_code")) == ("503", 503)
        assert said(producer, "error.type") == "BusUnavailable"
        assert server.status.status_code is producer.status.status_code is StatusCode.ERROR
        assert "planted" not in server.to_json() + producer.to_json()


async def test_tracing_that_fails_stops_nothing(traced: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is taken though no span can be made of it."""
    async with traced() as seen:

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(seen.inside.door.tracer, "_begun", broken)
        monkeypatch.setattr("stepwire_handlers.telemetry.publishing.written", broken)
        assert (await seen.inside.order(1)).status_code == 202


def test_where_nobody_asks_nothing_is_imported() -> None:
    """Neither a door, nor the tools, nor `publish` load a module of OpenTelemetry without OTEL_*."""
    code = (
        "import asyncio, sys\n"
        "import stepwire_handlers.cli.publish, stepwire_handlers.services.door.process\n"
        "from stepwire_handlers.telemetry.otlp import publishing\n"
        "async def main():\n"
        "    async with publishing('stepwire-door', 'kafka://b:1') as tracer:\n"
        "        print(tracer)\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert told.stdout == "None\n[]\n"


@pytest.mark.slow
def test_publish_exports_its_span(tmp_path: Path) -> None:
    """`stepwire publish` sends the span before it ends, and the record names it."""
    with collector() as collected:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collected.url}
        told = subprocess.run(
            [*STEPWIRE, "publish", "Order", "--app", "tests.door.shop:APP", "--json-data", '{"n": 1}', "--bus",
             f"sqlite:///{tmp_path}/bus.db"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
    (span,) = collected.spans
    assert (span.name, span.trace_id.hex()) == ("publish shop.orders", told.stdout.strip())
    assert attribute(span, "stepwire.run") == told.stdout.strip()
    assert collected.resource["service.name"] == "stepwire-publish"


@pytest.mark.slow
def test_a_door_exports_its_spans(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process, told by OTEL_* alone, with what is left when it stops."""
    with collector() as collected:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        door, url = doors.door()
        answer = httpx2.post(f"{url}/apps/shop/Order", json={"n": 1}, headers={"traceparent": PARENT})
        assert answer.status_code == 202
        door.terminate()
        assert door.wait(10) == 0
    assert [span.name for span in collected.spans] == ["publish shop.orders", "POST /apps/{app}/{type}"]
    assert {span.trace_id.hex() for span in collected.spans} == {CALLER}
    assert collected.resource["service.name"] == "stepwire-door"

"""Exporting: by OpenTelemetry's own variables, by a thread that nobody waits for, over a crash, or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from tests.telemetry.crashing import Begin
from tests.telemetry.crashing import app as crashing
from tests.telemetry.receiver import attribute, collector
from tests.telemetry.shop import Done, Order, listened

from stepwire import SettingsError
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.telemetry.contexts import RunIds
from stepwire_handlers.telemetry.otlp import close, tracing, wanted
from stepwire_handlers.telemetry.spans import Spans

ROOT = Path(__file__).parents[2]
QUIET = Configuration(log="off")


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process has one provider, so tests set none; and threads that export would write into later tests' logs."""
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda _: None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("OtelBatch"):
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, ()),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ("otlp", "console")),
    ],
)
def test_who_asks_for_traces(environment: dict[str, str], names: tuple[str, ...]) -> None:
    """An endpoint or an exporter by its name; `none` and a disabled SDK are no."""
    assert wanted(environment) == names


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "there are otlp, console and none"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "http/protobuf"),
    ],
)
async def test_what_we_do_not_have_is_refused_with_the_cure(environment: dict[str, str], said: str) -> None:
    """Before anything runs."""
    with pytest.raises(SettingsError, match=said):
        async with tracing("shop", "kafka", environment):
            raise AssertionError("it traces")


async def test_without_the_extra_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for and not installed is a refusal, not a silence."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match="Stepwire's extra otel"):
        async with tracing("shop", "kafka", {"OTEL_TRACES_EXPORTER": "otlp"}):
            raise AssertionError("it traces")


def test_where_nobody_asks_nothing_is_imported_and_no_call_is_prepared() -> None:
    """A worker of `stepwire run` without OTEL_*: no module of OpenTelemetry, and the kernel's hook has no `begin`."""
    code = (
        "import asyncio, sys\n"
        "from tests.telemetry.crashing import app\n"
        "import stepwire_handlers.cli.run\n"
        "from stepwire_handlers.configuration import Configuration\n"
        "from stepwire_handlers.telemetry import build\n"
        "from stepwire_handlers.telemetry.otlp import tracing\n"
        "async def main():\n"
        "    async with tracing('shop', 'kafka') as spans:\n"
        "        print(spans, build(Configuration(log='json'), app, None, spans).begin)\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert said.stdout == "None None\n[]\n"


async def test_spans_arrive_and_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, with the app as service name; nothing that was planted is in the bytes that leave the process."""
    with collector() as collected:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted-0123456789")
        async with tracing("shop", "kafka") as spans, listened(monkeypatch, QUIET, spans) as heard:
            for n in (1, 7, -1):
                await heard.run.publish(Order(n=n, text="planted-payload"))
    assert len(collected.spans) == 11
    assert (collected.resource["service.name"], bool(collected.resource["service.version"])) == ("shop", True)
    sent = b"".join(collected.bodies)
    assert b"process order" in sent
    assert not any(secret in sent for secret in (b"4711-08", b"planted", b"the bank is busy"))


@pytest.mark.parametrize(
    ("variables", "exported"),
    [
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, 0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}, 5),
        ({"OTEL_SERVICE_NAME": "mine"}, 5),
    ],
)
async def test_the_sdks_own_variables_hold(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], exported: int
) -> None:
    """Samplers, and the service's name."""
    with collector() as collected:
        for name, value in {**variables, "OTEL_EXPORTER_OTLP_ENDPOINT": collected.url}.items():
            monkeypatch.setenv(name, value)
        async with tracing("shop", "kafka") as spans, listened(monkeypatch, QUIET, spans) as heard:
            await heard.run.publish(Order(n=1))
    assert len(collected.spans) == exported
    if exported:
        assert collected.resource["service.name"] == variables.get("OTEL_SERVICE_NAME", "shop")


class Stuck(SpanExporter):
    """An exporter that takes the first batch and never comes back with it, until it is told."""

    def __init__(self) -> None:
        self.entered, self.free = threading.Event(), threading.Event()

    def export(self, _: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.free.wait(30.0)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


async def test_an_exporter_that_hangs_holds_up_no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    """More deliveries than its queue is long end while it hangs; it loses spans; nor does the end wait for it."""
    stuck = Stuck()
    provider = TracerProvider(id_generator=RunIds(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(stuck, max_queue_size=64, max_export_batch_size=32))
    try:
        async with listened(monkeypatch, QUIET, Spans(provider, "kafka")) as heard:
            await heard.run.publish(*(Order(n=n) for n in range(8, 208)))
            done = [event for event in heard.run.events if isinstance(event, Done)]
            assert len(done) == 200
            assert stuck.entered.is_set() and not stuck.free.is_set()
        begun = time.monotonic()
        await close(provider, 0.1)
        assert time.monotonic() - begun < 15.0 and not stuck.free.is_set()
    finally:
        stuck.free.set()


async def test_a_collector_that_is_away_costs_spans_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there: every delivery ends, and the worker leaves within the time that is left to exporters."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("stepwire_handlers.telemetry.otlp.FLUSH", 0.1)
    async with AsyncExitStack() as stack:
        spans = await stack.enter_async_context(tracing("shop", "kafka"))
        async with listened(monkeypatch, QUIET, spans) as heard:
            await heard.run.publish(Order(n=1))
            assert heard.run.state == "completed"
        begun = time.monotonic()
    assert time.monotonic() - begun < 8.0


def until(come_true: Callable[[], object], what: str) -> None:
    """Look until it is so."""
    end = time.monotonic() + 30
    while not come_true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.mark.slow
def test_a_trace_survives_kill_9_and_redelivery(tmp_path: Path) -> None:
    """The second worker's span is below the first worker's, whose event it took; the call that died left no span."""
    path = tmp_path / "bus.db"

    async def publish() -> None:
        bus = LocalBus(str(path))
        await bus.open()
        out, _ = crashing.record(Begin(n=1), now=time.time())
        await bus.publish([out])
        await bus.close()

    async def ended() -> int:
        bus = LocalBus(str(path))
        await bus.open()
        records = await bus.read(Partition("end", 0), 0, 9)
        await bus.close()
        return len(records)

    with collector() as collected:
        environment = {
            **os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collected.url, "OTEL_BSP_SCHEDULE_DELAY": "20",
            "CRASH_FOLDER": str(tmp_path), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        command = [sys.executable, "-m", "stepwire_handlers.cli.main", "run", "tests.telemetry.crashing:app",
                   "--bus", f"sqlite:///{path}", "--log", "json"]  # fmt: skip
        with subprocess.Popen(command, env=environment, cwd=ROOT) as worker:
            until(path.exists, "the worker made no file")
            until(lambda: _topics(path), "the worker made no topics")
            asyncio.run(publish())
            until(lambda: collected.spans, "the first step's span did not arrive")
            (tmp_path / "exported").touch()
            assert worker.wait(30) == -signal.SIGKILL
        with subprocess.Popen(command, env=environment, cwd=ROOT) as worker:
            until(lambda: asyncio.run(ended()), "the run did not end")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        one, two = collected.spans
    assert [attribute(span, "stepwire.handler") for span in (one, two)] == ["first", "second"]
    assert one.parent_span_id == b"" and two.parent_span_id == one.span_id
    assert one.trace_id == two.trace_id == bytes.fromhex(attribute(one, "stepwire.run"))


def _topics(path: Path) -> bool:
    import sqlite3

    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        return bool(database.execute("SELECT 1 FROM topics WHERE name = 'begin'").fetchone())
    except sqlite3.OperationalError:
        return False
    finally:
        database.close()


async def test_spans_arrive_over_grpc_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OTEL_EXPORTER_OTLP_PROTOCOL asks."""
    got: list[ExportTraceServiceRequest] = []

    class Service(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, _: object) -> ExportTraceServiceResponse:  # noqa: N802
            got.append(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        async with tracing("shop", "kafka") as spans, listened(monkeypatch, QUIET, spans) as heard:
            await heard.run.publish(Order(n=1))
        names = [span.name for one in got for span in one.resource_spans[0].scope_spans[0].spans]
        assert sorted(names)[-2:] == ["process checked", "process order"]
    finally:
        server.stop(None).wait()

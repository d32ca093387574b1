"""Where spans go: OpenTelemetry's own variables say so, and nothing of ours.

In: OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and whatever else its SDK reads.
Out: a tracer, or None where nobody asked for traces: then nothing of OpenTelemetry is imported, and no event pays for
it. Spans are handed to a thread through a queue of bounded length: an exporter that is slow or away costs spans, never
a delivery; on the way out it has `FLUSH` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from stepwire.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from stepwire_handlers.telemetry.publishing import Publishing
    from stepwire_handlers.telemetry.spans import Spans

FLUSH = 5.0  #: seconds for what is still in the queue, once the worker is drained
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def wanted(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The exporters that are asked for; none: no traces. Without OTEL_TRACES_EXPORTER, an endpoint asks for OTLP."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    named = environment.get("OTEL_TRACES_EXPORTER", "")
    if named.strip():
        return tuple(name for text in named.split(",") if (name := text.strip()) not in ("", "none"))
    return ("otlp",) if any(environment.get(name) for name in ENDPOINTS) else ()


@asynccontextmanager
async def provided(name: str, environment: Mapping[str, str] = os.environ) -> AsyncIterator[TracerProvider | None]:
    """What makes tracers while the context is open; then what it has left is exported. Raises SettingsError.

    Args:
        name: `service.name`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES has one.
        environment: where the choice of exporters is read; the SDK itself reads the process's.
    """
    names = wanted(environment)
    if not names:
        yield None
        return
    provider = await asyncio.to_thread(_provider, name, names, environment)  # its import takes a while
    try:
        yield provider
    finally:
        await close(provider, FLUSH)


@asynccontextmanager
async def tracing(app: str, system: str, environment: Mapping[str, str] = os.environ) -> AsyncIterator[Spans | None]:
    """The tracer of an app's worker; `system` is `messaging.system`. Raises SettingsError."""
    async with provided(app, environment) as provider:
        if provider is None:
            yield None
            return
        from stepwire_handlers.telemetry.spans import Spans  # noqa: PLC0415 - an extra, and only where it is asked for

        yield Spans(provider, system)


@asynccontextmanager
async def publishing(
    name: str, bus: str, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[Publishing | None]:
    """The tracer of a process that publishes to the bus of this address. Raises SettingsError."""
    async with provided(name, environment) as provider:
        if provider is None:
            yield None
            return
        from stepwire_handlers.telemetry.publishing import Publishing  # noqa: PLC0415 - an extra, as above

        yield Publishing(provider, system_of(bus))


def system_of(bus: str) -> str:
    """What the bus of this address is called in `messaging.system`."""
    return "kafka" if bus.startswith("kafka://") else "stepwire"


async def close(provider: TracerProvider, seconds: float) -> None:
    """Export what is left; what the exporter does not take in time is dropped."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def shut() -> None:
        provider.shutdown()
        with contextlib.suppress(RuntimeError):  # nobody waited so long
            loop.call_soon_threadsafe(closed.set)

    # a daemon, not the loop's executor: the end of the process waits for that one's threads
    threading.Thread(target=shut, daemon=True).start()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(closed.wait(), seconds)


def _provider(name: str, names: tuple[str, ...], environment: Mapping[str, str]) -> TracerProvider:
    try:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        from stepwire_handlers.telemetry.contexts import RunIds  # noqa: PLC0415
        from stepwire_handlers.telemetry.spans import LINKS  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            f"OTEL_* asks for traces, which need {error.name}: install Stepwire's extra otel, or OTEL_SDK_DISABLED=true"
        ) from None
    limits = SpanLimits(max_links=None if environment.get("OTEL_SPAN_LINK_COUNT_LIMIT") else LINKS)
    exporters = [_exporter(each, environment) for each in names]
    provider = TracerProvider(
        resource=_resource(name, environment), id_generator=RunIds(), span_limits=limits, shutdown_on_exit=False
    )
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)  # spans of the handlers' own libraries go the same way
    return provider


def _exporter(name: str, environment: Mapping[str, str]) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - an extra

        return ConsoleSpanExporter()
    if name != "otlp":
        raise SettingsError(f"OTEL_TRACES_EXPORTER={name}: there are otlp, console and none")
    protocol = next((environment[one] for one in PROTOCOLS if environment.get(one)), "http/protobuf")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415

        return Grpc()
    if protocol != "http/protobuf":
        raise SettingsError(f"{PROTOCOLS[1]}={protocol}: there are http/protobuf (port 4318) and grpc (port 4317)")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: PLC0415

    return Http()


def _resource(name: str, environment: Mapping[str, str]) -> Resource:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra

    said = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.version": version("stepwire")} | ({} if said else {"service.name": name})
    return Resource.create(own)

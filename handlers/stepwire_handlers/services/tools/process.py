"""An MCP server as a process: over stdio for one client, or over HTTP for many.

In: apps with their buses, a configuration, how long calls wait. Out: nothing, once stdin ended or a signal came. On
SIGTERM who waits is answered with the run's address. No session is kept between two requests, so a killed server takes
nothing along, and several may stand behind one address.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.access import Access
from stepwire_handlers.services.door.application import Door
from stepwire_handlers.services.door.identity import ALL, Caller
from stepwire_handlers.services.door.process import GRACE, door_of, places_of
from stepwire_handlers.services.door.reloading import reloaded
from stepwire_handlers.services.health import listen, serving
from stepwire_handlers.services.tools.calls import Calls
from stepwire_handlers.services.tools.entrance import Entrance, security
from stepwire_handlers.services.tools.measures import Measures
from stepwire_handlers.telemetry.otlp import publishing

LOCAL = Caller("stdio", ALL)  #: whoever starts the process may do what the process may
PATH = "/mcp"
LAST = 0.5  #: seconds for the answers of calls that wait, before a process on stdio ends
Opened = Sequence[tuple[App, LocalBus]]


@dataclass(frozen=True)
class Terms:
    """How calls are served."""

    wait: float  #: seconds that a call waits for its run
    url: str  #: of the door, before the addresses of runs
    max_bytes: int  #: of one file


@dataclass(frozen=True)
class Listening:
    """Where HTTP is served, and to whom."""

    host: str
    port: int
    names: Sequence[str]  #: that the server is reached by, beside this machine's own
    access: Access | None


async def serve_stdio(opened: Opened, values: Configuration, terms: Terms) -> None:
    """Serve one client until stdin ends or a signal comes. Raises SettingsError, BusUnavailable."""
    async with AsyncExitStack() as stack:
        door = await _door(stack, opened, values, None, terms)
        server = Calls(door, terms.wait, terms.url, LOCAL).server()
        read, write = await stack.enter_async_context(stdio_server())
        running = asyncio.create_task(server.run(read, write, server.create_initialization_options()))
        told = asyncio.create_task(_signalled().wait())
        await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            door.rest.stop(door.places)
            await asyncio.wait({running}, timeout=LAST)
            # A thread of the SDK waits for stdin and cannot be told to stop. What was answered is committed, and a kill
            # harms nobody; waiting for the client's next line would.
            os._exit(0)
        told.cancel()
        await running


def _signalled() -> asyncio.Event:
    """Is set by SIGTERM and SIGINT."""
    found = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, found.set)
    return found


async def serve_http(
    opened: Opened, values: Configuration, terms: Terms, where: Listening, say: Callable[[str], None]
) -> None:
    """Serve many clients until a signal. Raises SettingsError, BusUnavailable."""
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listen(where.host, where.port, "--port (0: any free one) or --host"))
        door = await _door(stack, opened, values, where.access, terms)
        calls = Calls(door, terms.wait, terms.url, None)
        if values.http_port is not None:
            listening_inside = stack.enter_context(listen(values.http_host, values.http_port))
            await stack.enter_async_context(serving(inner(door, calls.measures), listening_inside))
        server = calls.server()
        application = application_of(server, door, where.names, terms.max_bytes)
        await stack.enter_async_context(server.session_manager.run())
        told = _signalled()
        async with serving(application, listening, GRACE):
            say(f"http://{where.host}:{listening.getsockname()[1]}{PATH}")
            await told.wait()
            door.rest.stop(door.places)


def inner(door: Door, measures: Measures) -> Starlette:
    """Probes as a door has them, and metrics of its own, for a port that only the cluster reaches."""

    async def metrics(_: Request) -> Response:
        return Response(measures.scrape(), headers={"content-type": CONTENT_TYPE_LATEST})

    return Starlette(routes=[*door.probes(), Route("/metrics", metrics)])


def application_of(server: Server[Any], door: Door, names: Sequence[str], max_bytes: int) -> Starlette:
    """The server as an application behind its entrance; its session manager must run beside it."""
    settings = security(names)
    found = server.streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, transport_security=settings,
        max_request_body_size=max_bytes * 4 // 3 + DEFAULT_MAX_REQUEST_BODY_SIZE,
    )  # fmt: skip
    found.add_middleware(Entrance, identity=door.identity, limits=door.limits, settings=settings)
    return found


async def _door(
    stack: AsyncExitStack, opened: Opened, values: Configuration, access: Access | None, terms: Terms
) -> Door:
    tracer = await stack.enter_async_context(publishing("stepwire-mcp", values.bus))
    door = door_of(values, await places_of(stack, opened, tracer), access, terms.max_bytes)
    await stack.enter_async_context(door.blobs)
    await stack.enter_async_context(reloaded(values.door_access, access, door.renew))
    logging.getLogger("mcp").setLevel(logging.ERROR)  # it quotes what clients send
    return door

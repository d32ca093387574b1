"""/metrics /startupz /readyz /livez, in the worker's own loop.

In: a worker. Out: 200, or 503 with the checks that failed. startupz: every handler reached the bus once. readyz: every
handler has joined or stands by, and the bus takes commits. livez: the event loop answers and no poll loop stands still;
never the bus, never how long a handler takes: a broken bus or one slow call must not restart the fleet.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stepwire.errors import SettingsError
from stepwire.worker import Worker
from stepwire_handlers.services.watching import measuring, troubles
from stepwire_handlers.telemetry.backlog import Backlog
from stepwire_handlers.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


class Probes:
    """What the probes say of a worker. Each gives the checks that failed, in words."""

    def __init__(self, worker: Worker, backlog: Backlog) -> None:
        self._worker, self._backlog = worker, backlog
        self._reached: set[str] = set()

    def startupz(self) -> list[str]:
        """Has every handler reached the bus, once?"""
        self._reached |= {d.step.name for d in self._worker.dispatchers if d.joined}
        missing = [d.step.name for d in self._worker.dispatchers if d.step.name not in self._reached]
        return [f"{name} has not reached the bus" for name in missing]

    def readyz(self) -> list[str]:
        """Does every handler work, or stand by, on a bus that takes commits?"""
        dispatchers = self._worker.dispatchers
        missing = [f"{d.step.name} has not joined" for d in dispatchers if not d.joined]
        return missing + troubles(self._worker, self._backlog)

    def livez(self) -> list[str]:
        """Does every poll loop move? That the event loop does, the answer itself shows."""
        ended = [] if self._worker.alive else ["a dispatcher ended"]
        return ended + [f"{name} does not fetch although there is something" for name in self._backlog.stalled]


@asynccontextmanager
async def health(worker: Worker, metrics: Metrics, host: str, port: int) -> AsyncIterator[str]:
    """Serve while the context is open; the address. Raises SettingsError if it is taken, or the server not installed.

    Args:
        worker: may be started later.
        metrics: what the worker tells; it is told which worker to watch.
        host: to listen on.
        port: 0 takes a free one.
    """
    listening = listen(host, port)
    with listening:
        if metrics.backlog is None:
            metrics.watch(worker)
        assert metrics.backlog is not None
        probes = Probes(worker, metrics.backlog)
        async with serving(_application(probes, metrics), listening), measuring(metrics.backlog):
            yield f"http://{host}:{listening.getsockname()[1]}"


def listen(host: str, port: int, cure: str = "http_port (0: any free one) or http_host") -> socket.socket:
    """A socket that listens. Raises SettingsError that says what to choose otherwise."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host, port), family=family)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]  # Python repeats the address there
        raise SettingsError(f"cannot listen on {host}:{port}: {why}; choose another {cure}") from None
    # connections inherit it; asyncio leaves it out, and head and body of an answer would wait 40 ms for each other
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def _application(probes: Probes, metrics: Metrics) -> Starlette:
    try:
        from starlette.applications import Starlette  # noqa: PLC0415 - only where somebody asks for the server
        from starlette.responses import JSONResponse, Response  # noqa: PLC0415
        from starlette.routing import Route  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(f"http_port needs {error.name}: install Stepwire's extra serve") from None

    async def scrape(request: Request) -> Response:
        body, media = await metrics.scrape(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media})

    def probe(name: str) -> Route:
        check = getattr(probes, name)

        async def answer(_: Request) -> Response:
            wrong = check()
            return JSONResponse({"status": "failed" if wrong else "ok", "why": wrong}, 503 if wrong else 200)

        return Route(f"/{name}", answer)

    return Starlette(routes=[Route("/metrics", scrape), *map(probe, ("startupz", "readyz", "livez"))])


@asynccontextmanager
async def serving(application: Starlette, listening: socket.socket, grace: int = 1) -> AsyncIterator[None]:
    """Answer requests while the context is open; what is under way then has `grace` seconds to end."""
    import uvicorn  # noqa: PLC0415 - only where somebody asks for the server

    from stepwire_handlers.services.patience import PatientProtocol  # noqa: PLC0415 - it is of uvicorn

    class Server(uvicorn.Server):
        """A server that leaves the process's signals to the worker."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        application,
        http=PatientProtocol,  # of h11: httptools stops at an offer to upgrade, as Java's client makes
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=grace,
        proxy_headers=False,
        server_header=False,
    )
    server = Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await running

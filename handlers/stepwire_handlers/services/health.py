"""/metrics /startupz /readyz /livez, in the worker's own loop.

startupz: the bus was reached once. readyz: every handler has joined, or stands by. livez: loop and poll loop tick;
never the bus, never how long a handler takes: a broken bus or one slow call must not restart the fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stepwire.errors import SettingsError
from stepwire.worker import Worker
from stepwire_handlers.telemetry import Metrics


@asynccontextmanager
async def health(worker: Worker, metrics: Metrics, host: str, port: int) -> AsyncIterator[None]:
    """Serve the probes while the context is open. Raises SettingsError if the address is taken."""
    import uvicorn  # noqa: PLC0415 - an extra

    async def answer(request: Request) -> Response:
        name = request.url.path
        if name == "/metrics":
            return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
        wrong = _wrong(worker, name)
        return JSONResponse({"status": "failed" if wrong else "ok", "why": wrong}, 503 if wrong else 200)

    app = Starlette(routes=[Route(path, answer) for path in ("/metrics", "/startupz", "/readyz", "/livez")])
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="critical", lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined,method-assign,unused-ignore]
    serving = asyncio.create_task(_serve(server))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if serving.done():
        raise SettingsError(f"http://{host}:{port} cannot be served; is the port taken? Choose another --http-port")
    try:
        yield
    finally:
        server.should_exit = True
        await serving


async def _serve(server: object) -> None:
    try:
        await server._serve()  # type: ignore[attr-defined]  # noqa: SLF001 - serve() would take the process's signals
    except SystemExit:
        return


def _wrong(worker: Worker, probe: str) -> list[str]:
    if probe == "/livez":
        return [] if worker.alive else ["a dispatcher ended"]
    if probe == "/startupz":
        return [f"{d.step.name} has not reached the bus" for d in worker.dispatchers if not d.joined]
    waiting = [f"{d.step.name} has not joined" for d in worker.dispatchers if not d.joined]
    return waiting + [d.committer.trouble for d in worker.dispatchers if d.committer.trouble]

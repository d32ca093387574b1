"""The `mcp` SDK's client, opened so that its end is noticed and its errors say what was sent.

The only file of the steps that imports the SDK, and itself imported by `mcp_session` when a first connection
is made: the import takes over a second.

In: a server of mcpServers.  Out: the SDK's `Client`; `lost()` is called when nothing more can come from it.

The SDK's HTTP transport ends every call of a connection when one request cannot be made. Here that request
alone gets an error, which says whether it was surely not sent (`NOT_SENT`), was refused before a tool saw it
(`TURNED_AWAY`), or perhaps was done (`NO_ANSWER`).
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx2
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client import Transport
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

from stepwire_handlers.steps.mcp_servers import HttpServer, StdioServer

__all__ = [
    "CONNECTION_CLOSED",
    "NOT_SENT",
    "NO_ANSWER",
    "REQUEST_TIMEOUT",
    "UNKNOWN_SESSION",
    "Client",
    "MCPError",
    "connect",
]

# In the range that JSON-RPC leaves to implementations; made here, never by a server.
NO_ANSWER = -32094  # this request was perhaps done; the others of the connection go on
TURNED_AWAY = -32095  # the request was refused before it reached the tool; the message has a code of `tool_errors`
NOT_SENT = -32096  # the request never left, or its headers were refused
UNKNOWN_SESSION = -32097  # the server has forgotten the session, as after a restart, and has done nothing

_LARGEST = 16 * 2**20  # bytes of one answer: as much as a delivery may emit
_TCP_CONNECT = 10.0  # seconds; a host that takes longer than that to say hello is down
_SAME_AGAIN = {400, 405, 406, 411, 413, 414, 415, 422, 431}  # statuses that the same request would always get
_DEFAULT_WAIT = 5.0  # seconds; for a 429 that does not say how long
_NEVER_LEFT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


def connect(server: StdioServer | HttpServer | MCPServer, lost: Callable[[], None]) -> Client:
    """A client for the server, to be entered and left in one task.

    Args:
        server: where it is; an `MCPServer` object is called within this process.
        lost: called when the connection has ended.
    """
    match server:
        case StdioServer():
            return Client(_Noticed(_stdio(server), lost))
        case HttpServer():
            return Client(_Noticed(_http(server), lost))
        case _:
            return Client(server)


def _stdio(server: StdioServer) -> Transport:
    parameters = StdioServerParameters(command=server.command, args=list(server.args), env=server.env, cwd=server.cwd)
    # The real stderr: what stands in `sys.stderr` need not be a file that a child process could inherit.
    return stdio_client(parameters, errlog=sys.__stderr__ or sys.stderr)


@asynccontextmanager
async def _http(server: HttpServer) -> AsyncIterator[Any]:
    # No read timeout: every call has its own, and a tool may take its time.
    timeout = httpx2.Timeout(None, connect=_TCP_CONNECT)
    async with (
        _OneByOne(headers=server.headers, timeout=timeout) as client,
        streamable_http_client(server.url, http_client=client, max_sse_event_size=_LARGEST) as streams,
    ):
        yield streams


class _OneByOne(httpx2.AsyncClient):
    """Answers a POST that fails by an error for this one request, instead of an exception for all."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if request.method != "POST":
            return await super().send(request, **options)
        try:
            response = await super().send(request, **options)
            as_json = response.headers.get("content-type", "").startswith("application/json")
            body = await response.aread() if as_json or response.status_code >= 400 else b""
            if _forgot_session(request, response.status_code, body):
                return _refusal(request, UNKNOWN_SESSION, "the session is not known")
            if response.status_code >= 400 and not as_json and not _probes(request, response.status_code):
                return _refusal(request, *_by_status(response))
        except _NEVER_LEFT as error:
            return _refusal(request, NOT_SENT, str(error) or type(error).__name__)
        except httpx2.TransportError as error:
            return _refusal(request, NO_ANSWER, str(error) or type(error).__name__)
        return response


def _forgot_session(request: httpx2.Request, status: int, body: bytes) -> bool:
    # The protocol says 404. Some servers say 400, with words that can only mean this.
    return "mcp-session-id" in request.headers and (status == 404 or (status == 400 and b"session" in body.lower()))


def _probes(request: httpx2.Request, status: int) -> bool:
    # By this the SDK learns that a server speaks an older protocol.
    return status == 404 and request.headers.get("mcp-method") == "server/discover"


def _by_status(response: httpx2.Response) -> tuple[int, str]:
    """What an error means that is HTTP's and not the protocol's: below 500, no tool has seen the request."""
    status = response.status_code
    if status in {401, 403}:
        return NOT_SENT, f"HTTP status {status}, check its headers"
    if status == 429:
        said = response.headers.get("retry-after", "")
        seconds = float(said) if said.replace(".", "", 1).isdigit() else _DEFAULT_WAIT
        return TURNED_AWAY, f"retry-later {seconds:g}: it has too many requests (HTTP status 429)"
    if status in _SAME_AGAIN:
        return TURNED_AWAY, f"rejected: HTTP status {status}, which the same request would get again"
    return (TURNED_AWAY, f"not-done: HTTP status {status}") if status < 500 else (NO_ANSWER, f"HTTP status {status}")


def _refusal(request: httpx2.Request, code: int, message: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return httpx2.Response(503, json=error, request=request)


class _Noticed:
    """A transport whose reading end says when it has ended: the SDK tells nobody but the next call."""

    def __init__(self, transport: AbstractAsyncContextManager[Any], lost: Callable[[], None]) -> None:
        self._transport, self._lost = transport, lost

    async def __aenter__(self) -> Any:
        read, write = await self._transport.__aenter__()
        return _Reading(read, self._lost), write

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._transport.__aexit__(kind, error, trace)


class _Reading:
    """The SDK's read stream, and a call at its end."""

    def __init__(self, stream: Any, lost: Callable[[], None]) -> None:
        self._stream, self._lost = stream, lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # `receive`, `aclose`, and `last_context` where there is one

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except BaseException:
            self._lost()
            raise

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(kind, error, trace)  # type: ignore[no-any-return]

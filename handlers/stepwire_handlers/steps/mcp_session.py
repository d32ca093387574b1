"""One MCP server, kept connected.

In: calls from any task.  Out: what the tool answered, or a ToolError that says whether it was sent.

Promises:

- One task of its own enters and leaves the SDK's client. Where a connection is used in the task that opened
  it, its death cancels that task; here it only ends the owner, and the callers get an error they can read.
- A connection is made by the first call, and made anew by the first call after it died. Connecting has a time
  limit, which the SDK lacks: a command that says nothing is given up.
- Nothing is sent that the tool's own input schema refuses, nor to a tool that the server does not have.
- `ToolUnreachable` means that nothing was sent; `ToolOutcomeUnknown`, that it was and no answer came.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from stepwire_handlers.steps.mcp_servers import HttpServer, StdioServer
from stepwire_handlers.steps.tool_errors import (
    InvalidToolAnswer,
    ToolOutcomeUnknown,
    ToolRefused,
    ToolUnreachable,
    failure,
)

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError as SchemaError
    from jsonschema.protocols import Validator
    from mcp.server.mcpserver import MCPServer

    from stepwire_handlers.steps.mcp_client import Client, MCPError

_log = logging.getLogger("stepwire.tool")

_CLIENT = "stepwire_handlers.steps.mcp_client"  # imported late and by name: it takes over a second
_GRACE = 5.0  # seconds past a call's timeout until a connection that does not even take the request is dropped
_SILENCES = 3  # timeouts in a row, with no answer between them, after which a server counts as hung
_CLOSING = 8.0  # seconds for a server to end: the SDK waits 2 s, then terminates it, and 2 s later kills it


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a tool."""

    called: str  #: the tool's name in the flow, for messages
    tool: str  #: its name on the server
    arguments: Mapping[str, Any]
    timeout: float  #: seconds for the answer
    key: str | None  #: names this call among all; the same when it is repeated; travels in `_meta`


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered: structured content if it has any, and the text."""

    structured: Any
    text: str


class McpSession:
    """Calls to one MCP server.

    Args:
        name: its name in mcpServers, for messages.
        server: what to connect to; an `MCPServer` object is called within this process.
        connect_timeout: seconds until a connection that does not come up is given up.
    """

    def __init__(
        self, name: str, server: StdioServer | HttpServer | MCPServer, connect_timeout: float
    ) -> None:
        self._name, self._server, self._connect_timeout = name, server, connect_timeout
        self._link: _Link | None = None
        self._owners: set[asyncio.Task[None]] = set()

    async def call(self, request: Request) -> Answer:
        """Call a tool and wait for its answer."""
        for _ in range(2):
            link = await self._connected(request.called)
            await link.check(request)
            answer = await link.call(request)
            if answer is not None:
                return answer
            # The server does not know this session any more, as after a restart: it has done nothing.
        raise ToolUnreachable(request.called, f"server {self._name!r} ends every session at once")

    async def tools(self) -> frozenset[str]:
        """The names of the server's tools."""
        link = await self._connected(f"{self._name}.*")
        return frozenset(link.validators)

    async def close(self) -> None:
        """End the connection, and wait until the server's process is gone."""
        if self._link is not None:
            self._link.lost.set()
            self._link = None
        if self._owners:
            _, late = await asyncio.wait(self._owners, timeout=_CLOSING)
            for owner in late:
                owner.cancel()

    async def _connected(self, called: str) -> _Link:
        link = self._link
        if link is None or link.lost.is_set():
            link = self._link = _Link(self._name, self._server)
            # With an empty context, since the connection outlives the delivery that happens to open it.
            owner = asyncio.create_task(
                link.own(self._connect_timeout), name=f"mcp {self._name}", context=contextvars.Context()
            )
            self._owners.add(owner)
            owner.add_done_callback(self._owners.discard)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await link.ready.wait()
        except TimeoutError:
            link.reason = f"it did not answer within {self._connect_timeout:g} s"
        if link.client is None:
            raise ToolUnreachable(called, f"cannot connect to {_described(self._name, self._server, link.reason)}")
        return link


class _Link:
    """One connection, from its making to its end."""

    def __init__(self, name: str, server: StdioServer | HttpServer | MCPServer) -> None:
        self._name, self._server = name, server
        self.client: Client | None = None
        self.validators: dict[str, Validator] = {}
        self.ready = asyncio.Event()  #: connected, or failed for good: then there is no client
        self.lost = asyncio.Event()  #: takes no more calls
        self.reason = ""  #: why there is no client
        self._silences = 0

    async def own(self, connect_timeout: float) -> None:
        """Enter the client, keep it until `lost`, leave it: all in this one task."""
        try:
            sdk = await asyncio.to_thread(importlib.import_module, _CLIENT)
            async with (
                asyncio.timeout(connect_timeout) as limit,
                sdk.connect(self._server, self.lost.set) as self.client,
            ):
                await self._list()
                limit.reschedule(None)
                self.ready.set()
                await self.lost.wait()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the callers raise it
            if not self.ready.is_set():
                self.client = None
                self.reason = self.reason or _reason(error)
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
        finally:
            _log.info("MCP server %s: connection ended", self._name)
            self.lost.set()
            self.ready.set()

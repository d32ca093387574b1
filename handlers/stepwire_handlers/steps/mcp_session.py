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
_INVALID = {-32700, -32600, -32601, -32602}  # JSON-RPC: no JSON, no request, no such method, wrong parameters
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

    def __init__(self, name: str, server: StdioServer | HttpServer | MCPServer, connect_timeout: float) -> None:
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
            await asyncio.gather(*late, return_exceptions=True)

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
                sdk.connect(self._server, self.lost.set) as client,
            ):
                await self._list(client)
                limit.reschedule(None)
                self.client = client
                self.ready.set()
                await self.lost.wait()
        except (Exception, asyncio.CancelledError) as error:  # the callers get it, as the reason
            self.reason = self.reason or _reason(error, getattr(self._server, "command", None))
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
        finally:
            self.lost.set()
            self.ready.set()
            _log.debug("MCP server %s: connection ended %s", self._name, self.reason)

    async def check(self, request: Request) -> None:
        """Raise ToolRefused unless the server has the tool, and its schema takes the arguments."""
        if request.tool not in self.validators and self.client is not None:
            await self._list_again(self.client, request)
        validator = self.validators.get(request.tool)
        if validator is None:
            names = ", ".join(sorted(self.validators)) or "none"
            raise ToolRefused(
                request.called,
                f"server {self._name!r} has no tool {request.tool!r}; it has: {names}. Name one of them, or "
                "map it in tools",
            )
        try:
            error = next(validator.iter_errors(dict(request.arguments)), None)
        except Exception as broken:  # noqa: BLE001 - a schema of somebody else breaks its validator in any way
            raise ToolRefused(
                request.called,
                f"server {self._name!r} gives a schema for {request.tool!r} that cannot be used "
                f"({type(broken).__name__}), so nothing is sent",
            ) from None
        if error is not None:
            raise ToolRefused(
                request.called,
                f"the arguments do not fit tool {request.tool!r} of server {self._name!r}: {_fault(error)}",
            )

    async def call(self, request: Request) -> Answer | None:
        """The tool's answer; None if the server does not know this session, and so did nothing."""
        assert self.client is not None, "a link is handed out once it has a client"
        from stepwire_handlers.steps.mcp_client import MCPError  # noqa: PLC0415 - loaded by `own`

        meta: Any = {} if request.key is None else {"stepwire/delivery-key": request.key}
        try:
            async with asyncio.timeout(request.timeout + _GRACE):
                result = await self.client.call_tool(
                    request.tool,
                    dict(request.arguments),
                    read_timeout_seconds=request.timeout,
                    meta=meta,
                )
        except MCPError as error:
            self._no_answer(request, error)
            return None
        except TimeoutError:
            self.lost.set()
            raise ToolOutcomeUnknown(
                request.called, f"server {self._name!r} took no data for {request.timeout:g} s"
            ) from None
        except (RuntimeError, ValidationError) as error:
            self._silences = 0
            raise InvalidToolAnswer(
                request.called, f"the answer breaks the schema of server {self._name!r} itself{_place(error)}"
            ) from None
        self._silences = 0
        text = "\n".join(part.text for part in result.content if part.type == "text")
        if result.is_error:
            raise failure(request.called, text)
        return Answer(result.structured_content, text)

    def _no_answer(self, request: Request, error: MCPError) -> None:
        """Raise what the error means; return if it is that the server does not know the session."""
        from stepwire_handlers.steps import mcp_client as sdk  # noqa: PLC0415 - loaded by `own`

        self._silences = self._silences + 1 if error.code == sdk.REQUEST_TIMEOUT else 0
        if error.code == sdk.CONNECTION_CLOSED or self._silences >= _SILENCES:
            self.lost.set()
        if error.code == sdk.UNKNOWN_SESSION:
            self.lost.set()
        elif error.code == sdk.NOT_SENT:
            reached = _described(self._name, self._server, error.message)
            raise ToolUnreachable(request.called, f"cannot reach {reached}")
        elif error.code == sdk.REQUEST_TIMEOUT:
            raise ToolOutcomeUnknown(
                request.called, f"server {self._name!r} gave no answer within {request.timeout:g} s"
            )
        elif error.code in {sdk.CONNECTION_CLOSED, sdk.NO_ANSWER}:
            raise ToolOutcomeUnknown(request.called, f"server {self._name!r} gave no answer ({error.message})")
        elif error.code in _INVALID:
            raise failure(request.called, f"rejected: {error.message}")
        else:
            raise failure(request.called, error.message)

    async def _list_again(self, client: Client, request: Request) -> None:
        """Servers may gain tools while they run."""
        from stepwire_handlers.steps.mcp_client import MCPError  # noqa: PLC0415 - loaded by `own`

        try:
            async with asyncio.timeout(request.timeout):
                await self._list(client)
        except (MCPError, TimeoutError) as error:
            self.lost.set()
            raise ToolUnreachable(
                request.called, f"server {self._name!r} does not say which tools it has: {_reason(error)}"
            ) from None

    async def _list(self, client: Client) -> None:
        from jsonschema.validators import validator_for  # noqa: PLC0415 - comes with the SDK
        from referencing import Registry  # noqa: PLC0415

        cursor: str | None = None
        while True:
            page = await client.list_tools(cursor=cursor, cache_mode="refresh")
            for tool in page.tools:
                # An empty registry: a schema of theirs must not make us fetch what it refers to.
                self.validators[tool.name] = validator_for(tool.input_schema)(tool.input_schema, registry=Registry())
            cursor = page.next_cursor
            if cursor is None:
                return


def _described(name: str, server: object, reason: str) -> str:
    match server:
        case StdioServer(command=command):
            cure = f"Check mcpServers.{name}: command {command!r}, its args, env and cwd; and its stderr"
        case HttpServer(url=url):
            cure = f"Check that it runs, and mcpServers.{name}: url {url!r} and headers"
        case _:
            cure = "It is an object in this process"
    return f"server {name!r}: {reason}. {cure}"


def _reason(error: BaseException, command: str | None = None) -> str:
    """The innermost cause in words: the SDK's task groups wrap it in several layers."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case FileNotFoundError():
            return f"there is no {error.filename or command!r}"  # uvloop does not say which
        case TimeoutError():
            return "it did not answer in time"
        case ModuleNotFoundError(name="mcp" | "httpx2"):
            return f"there is no Python package {error.name!r} here; install Stepwire's extra mcp"
        case _ if type(error).__name__ == "MCPError" and str(error) != "Connection closed":
            return str(error)
        case _ if str(error) == "Connection closed":
            return "it ended, or closed the connection, before it answered"
        case _:
            return f"{type(error).__name__}: {error}"


def _fault(error: SchemaError) -> str:
    # The rule and the place; jsonschema's own message would quote the value.
    if error.validator in {"required", "additionalProperties", "unevaluatedProperties"}:
        return f"{error.json_path}: {error.message}"
    rule = str(error.validator_value)
    return f"{error.json_path} breaks the rule {error.validator}: {rule if len(rule) < 80 else '…'}"


def _place(error: BaseException) -> str:
    cause = error.__cause__
    path, rule = getattr(cause, "json_path", None), getattr(cause, "validator", None)
    return f" at {path} ({rule})" if path else ""

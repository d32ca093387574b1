"""The tool step: call a tool of an MCP server, typed on both sides.

In: fields of the tool's input.  Out: its validated answer, or a ToolError (see `tool_errors`).

    tools = Tools(Path("mcp.json"), allow=["postgres.query", "slack.send"])

    @handler()
    async def look_up(found: Entities, query: Annotated[Tool[Query, Rows], "postgres.query"]) -> Matched:
        answer = await query(sql="select … where name = $1", params=[found.vendor])
        …

    app = App("invoices", handlers=[look_up, …], resources=[tools])

Promises: only tools that are allowed are called; arguments are checked against the server's schema before
they are sent, and the answer against the flow's type; inside a delivery every call carries a key that is the
same on every attempt, so that a server can do it once. A tool whose server cannot is called by a handler with
`effect="once"`.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from stepwire import Context, current
from stepwire.errors import SettingsError, Signal
from stepwire_handlers.steps.mcp_servers import HttpServer, ServersFile, StdioServer, load, with_environment
from stepwire_handlers.steps.mcp_session import Answer, McpSession, Request
from stepwire_handlers.steps.tool_errors import (
    InvalidToolAnswer,
    ToolError,
    ToolFailed,
    ToolRefused,
    signal_of,
)
from stepwire_handlers.steps.tool_map import ToolRoute

In = TypeVar("In")
Out = TypeVar("Out")


class Tool(Generic[In, Out]):
    """One tool, as a flow sees it; injected where a parameter is `Annotated[Tool[In, Out], "server.tool"]`.

    `await tool(In(…))` or `await tool(field=…)` returns an `Out`. Fields that are None are not sent: that is
    how MCP says that there is none.

    Args:
        name: the tool's name in the flow.
        call: sends arguments, with a key or None, and returns the answer as JSON.
        given: the type of the input, a pydantic model or `dict[str, Any]`.
        answer: the type of the answer, anything pydantic validates.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[str, Mapping[str, Any], str | None], Awaitable[Any]],
        given: type[In],
        answer: type[Out],
    ) -> None:
        self.name = name
        self._call = call
        self._key: str | None = None
        self._given: TypeAdapter[In] = TypeAdapter(given)
        self._answer: TypeAdapter[Out] = TypeAdapter(answer)

    def keyed(self, key: str) -> Tool[In, Out]:
        """The same tool for one call among concurrent ones: the key says which one this is.

        Calls that run one after another are told apart by their order. Concurrent ones have no order that is
        the same on the next attempt, so each needs a key of its own, such as the line's number.
        """
        keyed = copy.copy(self)
        keyed._key = key  # noqa: SLF001 - it is this class's own
        return keyed

    async def __call__(self, given: In | None = None, /, **fields: Any) -> Out:
        """Call the tool, with an `In` or with its fields."""
        if given is not None and fields:
            raise TypeError(f"{self.name} takes an object or fields, not both")
        try:
            checked = self._given.validate_python(fields) if given is None else given
        except ValidationError as error:
            raise ToolRefused(self.name, f"its input does not fit: {_complaint(error)}") from None
        dumped = self._given.dump_python(checked, mode="json", by_alias=True, exclude_none=True)
        arguments = {name: value for name, value in dumped.items() if value is not None}
        return self._validated(await self._call(self.name, arguments, self._key))

    def _validated(self, answer: Any) -> Out:
        try:
            return self._answer.validate_json(json.dumps(answer))
        except ValidationError as error:
            # Servers wrap what is no object, since structured content has to be one.
            if isinstance(answer, dict) and answer.keys() == {"result"}:
                return self._validated(answer["result"])
            raise InvalidToolAnswer(self.name, f"its answer does not fit: {_complaint(error)}") from None


class Tools:
    """The MCP servers of an app, and the tools on them that it may call: a resource.

    Args:
        servers: an mcpServers file, or what one says as a mapping; an `MCPServer` object may stand in the
            mapping in a server's place, and is called within this process.
        tools: renames tools and maps their arguments and results (see `tool_map`); goes before what the file
            says under `tools`. A name that is not mapped means `server.tool`.
        allow: the tools that may be called, as the flow names them, or `server.*`; None: those that a
            handler's signature names.
        timeout: seconds for one call, if its entry in `tools` says nothing else.
        connect_timeout: seconds for a connection to come up; starting a server takes a few of them.
    """

    def __init__(
        self,
        servers: Path | Mapping[str, Any],
        tools: Mapping[str, Mapping[str, Any] | ToolRoute] | None = None,
        *,
        allow: Iterable[str] | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 20.0,
    ) -> None:
        objects, file = _read(servers)
        self._servers: dict[str, Any] = {**file.servers, **objects}
        self._routes = {**file.tools, **_routes(tools or {})}
        self._allow = None if allow is None else frozenset(allow)
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._sessions: dict[str, McpSession] = {}
        self._wired: set[str] = set()
        self._entered = 0
        for name in (*self._routes, *(self._allow or ())):
            if self._route(name) is None:
                raise SettingsError(
                    f"tool {name!r} is on no server of mcpServers ({', '.join(self._servers) or 'none'}). "
                    "Name it server.tool, or give its server in tools"
                )

    async def __aenter__(self) -> Self:
        for name in sorted(self._wired):
            self._session(self._allowed_route(name))  # an unset variable is said before anything is consumed
        self._entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered == 0:
            sessions, self._sessions = self._sessions, {}
            await asyncio.gather(*(session.close() for session in sessions.values()))

    def provide(self, kind: object, name: str | None) -> object | None:
        """The tool for a parameter `Annotated[Tool[In, Out], name]`; None if its server is not here.

        Raises:
            SettingsError: the tool is on a server of ours, and is not allowed.
        """
        if (get_origin(kind) or kind) is not Tool or name is None or self._route(name) is None:
            return None
        if self._allow is not None and not self._listed(name):
            raise SettingsError(f"tool {name!r} is not allowed. Add it to Tools(allow=[…])")
        self._wired.add(name)
        given, answer = get_args(kind) or (dict[str, Any], Any)
        return Tool(name, self.call, given, answer)

    def classify(self, error: Exception) -> Signal | None:
        """What an exception of a tool call means for the event."""
        return signal_of(error)

    async def call(self, name: str, arguments: Mapping[str, Any], key: str | None = None) -> Any:
        """Call a tool by its name, untyped: arguments and answer are JSON.

        Args:
            name: as a flow names it; it has to be allowed.
            arguments: the input's fields.
            key: which of several concurrent calls of this tool in one delivery this is.
        """
        route = self._allowed_route(name)
        try:
            filled = route.arguments_for(arguments)
        except ValueError as error:
            raise ToolRefused(name, f"its arguments cannot be mapped: {error}") from None
        if self._entered == 0:
            raise RuntimeError(f"tool {name}: its Tools is not open. Use `async with tools:` around the call")
        with _delivery(name, key) as (context, call_key):
            request = Request(name, route.tool, filled, route.timeout or self._timeout, call_key)
            content = _content(await self._timed(route, request, context))
        failed = route.failed(content)
        if failed is not None:
            raise ToolFailed(name, failed)
        return route.result_of(content)

    async def check(self) -> list[str]:
        """Connect to every server that a handler uses, and say what is wrong; empty if nothing is."""
        complaints = []
        for name in sorted(self._wired):
            route = self._allowed_route(name)
            try:
                has = await self._session(route).tools()
            except ToolError as error:
                complaints.append(str(error))
            else:
                if route.tool not in has:
                    complaints.append(
                        f"tool {name}: server {route.server!r} has no tool {route.tool!r}; "
                        f"it has: {', '.join(sorted(has)) or 'none'}"
                    )
        return complaints

    def _route(self, name: str) -> ToolRoute | None:
        if name in self._routes:
            route = self._routes[name]
            return route if route.server in self._servers else None
        server, _, tool = name.partition(".")
        return ToolRoute(server=server, tool=tool) if tool and server in self._servers else None

    def _listed(self, name: str) -> bool:
        return self._allow is not None and (name in self._allow or f"{name.partition('.')[0]}.*" in self._allow)

    def _allowed_route(self, name: str) -> ToolRoute:
        route = self._route(name)
        if route is None or not (self._listed(name) or (self._allow is None and name in self._wired)):
            raise ToolRefused(name, "it is not allowed. Add it to Tools(allow=[…])")
        return route

    def _session(self, route: ToolRoute) -> McpSession:
        session = self._sessions.get(route.server)
        if session is None:
            server = self._servers[route.server]
            if isinstance(server, StdioServer | HttpServer):
                server = with_environment(route.server, server)
            session = self._sessions[route.server] = McpSession(route.server, server, self._connect_timeout)
        return session

    async def _timed(self, route: ToolRoute, request: Request, context: Context | None) -> Answer:
        clock = asyncio.get_running_loop().time
        begun, outcome = clock(), "ok"
        try:
            return await self._session(route).call(request)
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            if context is not None:
                seconds = clock() - begun
                started = time.time() - seconds
                context.note(
                    "tool", tool=request.called, server=route.server, started=started, seconds=seconds, outcome=outcome
                )


@contextmanager
def _delivery(tool: str, key: str | None) -> Iterator[tuple[Context | None, str | None]]:
    """The delivery that this call is part of, if any, and the key of the call."""
    try:
        context = current()
    except LookupError:
        context = None
    if context is None:
        yield None, key
        return
    with context.call(tool, key) as call_key:
        yield context, call_key


def _content(answer: Answer) -> Any:
    """Structured content; else the text, as JSON if it is some."""
    if answer.structured is not None:
        return answer.structured
    try:
        return json.loads(answer.text)
    except ValueError:
        return answer.text


def _read(servers: Path | Mapping[str, Any]) -> tuple[dict[str, Any], ServersFile]:
    """The servers that are objects of this process, and the rest of the file."""
    if isinstance(servers, Path):
        return {}, load(servers)
    objects = {name: server for name, server in servers.items() if not isinstance(server, Mapping)}
    return objects, load({name: server for name, server in servers.items() if name not in objects})


def _routes(tools: Mapping[str, Mapping[str, Any] | ToolRoute]) -> dict[str, ToolRoute]:
    try:
        return {name: ToolRoute.model_validate(route) for name, route in tools.items()}
    except ValidationError as error:
        raise SettingsError(f"Tools(tools=…): {_complaint(error)}") from None


def _complaint(error: ValidationError) -> str:
    # The first one, without the value: messages carry no payload.
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]

"""Serves tools: lists those that a caller may use, begins runs, and tells how they go on.

In: a call and who makes it. Out: its answer, after the event is committed, so that no kill loses what a client was
told. While the run goes on its steps are told as progress; after `wait` seconds the answer is where it stands, and at
once for a caller of whom too many calls wait.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

from stepwire.errors import OutcomeUnknown
from stepwire.event import digest
from stepwire_handlers.services.door.application import Door
from stepwire_handlers.services.door.guard import TRACE
from stepwire_handlers.services.door.idempotency import KEY as LEGAL
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.intake import publish_fields
from stepwire_handlers.services.door.places import Place
from stepwire_handlers.services.door.problems import Problem, of_error
from stepwire_handlers.services.door.runs import find
from stepwire_handlers.services.runs import RunView
from stepwire_handlers.services.tools.answers import answer, refusal
from stepwire_handlers.services.tools.arguments import agree, agree_look, wrong
from stepwire_handlers.services.tools.files import stored
from stepwire_handlers.services.tools.measures import Measures
from stepwire_handlers.services.tools.offered import KEY, LOOK, Offered, look_tool, offered

CALLER = "stepwire.caller"  #: in an HTTP request's scope: who makes it
META = ("stepwire/idempotency-key", "stepwire/delivery-key")  #: the second is what a tool step of ours sends
Context = ServerRequestContext[Any, Any]


class Calls:
    """The tools of all apps behind a door.

    Args:
        door: the parts that the HTTP door is made of.
        wait: seconds that a call waits for its run.
        url: put before a run's address: the door's, if there is one.
        local: who calls where no request says so; None: nobody may.
    """

    def __init__(self, door: Door, wait: float, url: str, local: Caller | None) -> None:
        self._door, self._wait, self._url, self._local = door, wait, url, local
        self.measures = Measures(place.app.name for place in door.places.all)
        self._tools = offered(door.places.all)
        self._look = look_tool()

    def server(self) -> Server[Any]:
        """What speaks the protocol."""
        apps = ", ".join(place.app.name for place in self._door.places.all)
        return Server(
            "stepwire", version=version("stepwire"), title="Stepwire flows",
            instructions=f"Each tool begins a run of a flow ({apps}) and waits up to {self._wait:g} s for its result. "
            f"A run that takes longer or waits for a person goes on by itself: look again with {LOOK}.",
            on_list_tools=self.list, on_call_tool=self.call, get_tool_input_schema=self._schema,
        )  # fmt: skip

    def _schema(self, name: str) -> Mapping[str, Any] | None:
        tool = self._look if name == LOOK else self._tools[name].tool if name in self._tools else None
        return None if tool is None else tool.input_schema

    async def list(self, ctx: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        """The tools that this caller may use."""
        caller = self._caller(ctx)
        mine = [one.tool for one in self._tools.values() if caller.may("operator", one.place.app.name)]
        return ListToolsResult(tools=[*mine, self._look])

    async def call(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        """Begin a run, or look at one."""
        if params.name != LOOK and params.name not in self._tools:
            raise MCPError(INVALID_PARAMS, "there is no such tool; tools/list names them")
        try:
            caller, given = self._caller(ctx), dict(params.arguments or {})
            if params.name == LOOK:
                return await self._again(ctx, caller, given)
            return await self._begin(ctx, caller, self._tools[params.name], given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told in the protocol's own way
            return self._refused(error)

    def _refused(self, error: Exception) -> CallToolResult:
        problem = of_error(error)
        self._door.trouble.of(error)
        if problem.status == 500:  # its message may quote what was sent
            logging.getLogger("stepwire").error("tools: %s", type(error).__name__)
        return refusal(problem)

    def _caller(self, ctx: Context) -> Caller:
        found = self._local if ctx.request is None else ctx.request.scope.get(CALLER)
        if not isinstance(found, Caller):
            raise Problem(401, "unauthorized", "nobody said who calls")
        return found

    # -- the two tools

    async def _begin(self, ctx: Context, caller: Caller, one: Offered, given: dict[str, Any]) -> CallToolResult:
        place = one.place
        caller.must("operator", place.app.name)
        key = _key(ctx, given.pop(KEY, None) if one.takes_key else None) or uuid.uuid4().hex
        agree(one, given)
        fields = await stored(one.kind, given, self._door.blobs, self._door.max_bytes)
        try:
            id_ = digest("idempotency", caller.name, key)
            begun = await publish_fields(place, one.kind, fields, id_, _traced(ctx))
        except OutcomeUnknown:
            said = f"it is not known whether the event was written; call again with {KEY} {key}: it begins one run only"
            raise Problem(503, "unknown", said) from None
        self.measures.event(place.app.name, known=begun.known)
        return await self._answer(ctx, caller, place, begun.run, repeated=begun.known)

    async def _again(self, ctx: Context, caller: Caller, given: dict[str, Any]) -> CallToolResult:
        place, view = find(self._door.places, caller, agree_look(given, self._look.input_schema))
        return await self._answer(ctx, caller, place, view.id)

    async def _answer(
        self, ctx: Context, caller: Caller, place: Place, run: str, *, repeated: bool = False
    ) -> CallToolResult:
        view, told = RunView(run), set[str]()
        who = "" if ctx.request is None else caller.share  # who started the process shares it with nobody
        try:
            async with contextlib.aclosing(self._door.rest.looks(place, run, self._wait, who)) as looks:
                async for view in looks:
                    await _progress(ctx, view, told)
            return answer(place, view, self._url, repeated=repeated)
        except Exception as error:  # noqa: BLE001 - the event is written; only looking at its run failed: say where it is
            logging.getLogger("stepwire").warning("tools: run %s cannot be looked at: %s", run, type(error).__name__)
            return answer(place, RunView(run), self._url, repeated=repeated)


async def _progress(ctx: Context, view: RunView, told: set[str]) -> None:
    """Tell each event of the run that was not told yet."""
    for line in view.lines:
        if line.identity in told:
            continue
        told.add(line.identity)
        about = f"{line.handler or 'published'}: {type(line.event).__name__}"
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # the answer will find out
            await ctx.session.report_progress(len(told), None, f"{about} (run {view.id})" if len(told) == 1 else about)


def _key(ctx: Context, argument: Any) -> str | None:
    """The idempotency key: the call's own argument, or what its `_meta` carries."""
    meta: Mapping[str, Any] = ctx.meta or {}
    given = next((value for value in (argument, *(meta.get(name) for name in META)) if value is not None), None)
    if given is None:
        return None
    if not isinstance(given, str) or not given or len(given) > 1_024:
        raise wrong(KEY, "must be a text of 1 to 1,024 characters")
    return given if LEGAL.fullmatch(given) else digest(given)


def _traced(ctx: Context) -> dict[str, str]:
    """The caller's trace context, where `_meta` carries it."""
    meta: Mapping[str, Any] = ctx.meta or {}
    given = meta.get("traceparent")
    return {"traceparent": given} if isinstance(given, str) and TRACE.fullmatch(given) else {}

"""Before the tools on HTTP: is the request meant for this server, who makes it, and how often.

In: any request. Out: the application's answer with the caller known, or: 421 for another Host and 403 for a page of
somebody else's (a browser that was sent here by a rebound name), 401, 429 and 503 as the door says them; 405 for who
asks for a stream of what the server tells by itself: it keeps no sessions, so nothing would ever come on it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from stepwire_handlers.services.door.identity import Identity
from stepwire_handlers.services.door.limits import Limits
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.tools.calls import CALLER

HERE = ("127.0.0.1", "localhost", "[::1]")


def security(names: Sequence[str]) -> TransportSecuritySettings:
    """Which Host and Origin headers are taken: this machine's, and names that it is reached by."""
    hosts = [host for name in (*HERE, *names) for host in (name, f"{name}:*")]
    origins = [f"http://{name}{port}" for name in HERE for port in ("", ":*")]
    origins += [f"https://{name}{port}" for name in names for port in ("", ":*")]
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)


class Entrance:
    """Wraps the application."""

    def __init__(
        self, app: ASGIApp, identity: Identity, limits: Limits, settings: TransportSecuritySettings
    ) -> None:  # fmt: skip
        self._app, self._identity, self._limits = app, identity, limits
        self._security = TransportSecurityMiddleware(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        if (refused := await self._security.validate_request(request)) is not None:
            await refused(scope, receive, send)
            return
        try:
            caller = await self._identity.of(request)
            self._limits.take(caller.name, caller.rate)
            if request.method == "GET":
                detail = "this server tells nothing by itself; POST what you want to know"
                raise Problem(405, "method-not-allowed", detail, headers={"allow": "POST"})
        except Problem as problem:
            await problem.response(f"urn:uuid:{uuid.uuid4()}")(scope, receive, send)
            return
        scope[CALLER] = caller
        await self._app(scope, receive, send)

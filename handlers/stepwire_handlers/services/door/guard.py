"""Around every request: what nobody caught becomes a problem detail, every answer is counted and carries safe headers.

In: any request. Out: an answer, always. What the door itself does wrong is logged under an instance, by its kind and
place, without its message: that may quote what was sent.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwire_handlers.services.door.measures import Measures
from stepwire_handlers.services.door.problems import Problem, of_error
from stepwire_handlers.services.door.trouble import Trouble
from stepwire_handlers.telemetry.traced import CURRENT, exemplar

ROUTE = "stepwire.route"  #: in a request's scope: its route as it was declared
UNKNOWN = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
STATE = re.compile(r"[ -~]{1,512}")  #: whose list of vendors is longer loses it, as W3C allows
SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


class Guard:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, measures: Measures, trouble: Trouble) -> None:
        self._app, self._measures, self._trouble = app, measures, trouble

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        begun, status, outside = time.perf_counter(), 0, CURRENT.set(None)

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *SAFE]}
                route = scope.get(ROUTE, UNKNOWN)
                method = scope["method"] if scope["method"] in METHODS else UNKNOWN
                self._measures.request(route, method, status, time.perf_counter() - begun, exemplar())
            await send(message)

        try:
            _refuse_foreign_pages(scope)
            await self._app(scope, receive, sent)
        except Exception as error:
            if status:
                self._log(error, "")
                raise
            await self._answer(error)(scope, receive, sent)
        finally:
            CURRENT.reset(outside)

    def _answer(self, error: Exception) -> Response:
        instance = f"urn:uuid:{uuid.uuid4()}"
        problem = of_error(error)
        self._trouble.of(error)
        if problem.status == 500:
            self._log(error, instance)
        return problem.response(instance)

    @staticmethod
    def _log(error: Exception, instance: str) -> None:
        places = "".join(traceback.format_tb(error.__traceback__)[-5:])
        logging.getLogger("stepwire").error("door: %s %s\n%s", type(error).__name__, instance, places)


def _refuse_foreign_pages(scope: Scope) -> None:
    """A page of somebody else must not act in the name of who looks at it. Raises Problem 403."""
    if scope["method"] not in ("GET", "HEAD"):
        site = dict(scope["headers"]).get(b"sec-fetch-site", b"none")
        if site not in (b"none", b"same-origin"):
            raise Problem(403, "forbidden", "requests that change something do not come from another site's page")


async def no_route(_: Request, error: Exception) -> Response:
    """What the router says, as a problem detail."""
    assert isinstance(error, HTTPException)
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    takes = (error.headers or {}).get("Allow", "another method")
    detail = {404: "there is nothing here; see /docs", 405: f"this address takes {takes}; see /docs"}
    said = detail.get(error.status_code, "the request cannot be read")
    return Problem(error.status_code, kind, said, headers=error.headers).response(f"urn:uuid:{uuid.uuid4()}")


def traced(request: Request) -> dict[str, str]:
    """The caller's trace context, if it is well formed."""
    given = request.headers.get("traceparent", "")
    if not TRACE.fullmatch(given):
        return {}
    state = request.headers.get("tracestate", "")
    return {"traceparent": given, "tracestate": state} if STATE.fullmatch(state) else {"traceparent": given}

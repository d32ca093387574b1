"""The door's routes: from a request to an answer.

In: places, who may do what, limits. Out: a Starlette application. Every request is first known (`identity`), then
counted against its caller's rate, then served; whatever goes wrong on the way is a problem detail (`guard`). /livez
and /readyz are open to everybody and tell nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from stepwire.errors import BusError
from stepwire_handlers.blobs import BlobStore
from stepwire_handlers.services.door import events, idempotency, openapi, page, stream, uploads
from stepwire_handlers.services.door.access import Access
from stepwire_handlers.services.door.answers import Json
from stepwire_handlers.services.door.aside import Aside
from stepwire_handlers.services.door.bodies import is_json, media_type, parsed, whole
from stepwire_handlers.services.door.decisions import Decided, Decisions, Only
from stepwire_handlers.services.door.guard import ROUTE, Guard, no_route, traced
from stepwire_handlers.services.door.identity import Caller, Identity
from stepwire_handlers.services.door.intake import Begun, publish_events, publish_fields
from stepwire_handlers.services.door.limits import Limits, Shares
from stepwire_handlers.services.door.listing import NAMES, Lister, wanted
from stepwire_handlers.services.door.measures import Measures
from stepwire_handlers.services.door.pages import GATES, LETTERS, Pages, asked
from stepwire_handlers.services.door.places import Place, Places
from stepwire_handlers.services.door.problems import RETRY, Problem, of_error, unavailable
from stepwire_handlers.services.door.queries import given, refuse_others
from stepwire_handlers.services.door.rest import Rest
from stepwire_handlers.services.door.runs import address, find, located, shown, step_by_step, wish
from stepwire_handlers.services.door.trouble import Trouble
from stepwire_handlers.services.runs import RunView

if TYPE_CHECKING:
    from stepwire_handlers.telemetry.publishing import Publishing, Served

SERVED = "stepwire.served"  #: in a request's scope: its span, where it may bring events and somebody traces
EVENTS = 4 * 1024 * 1024  #: bytes of a batch
FIELDS = "/apps/{app}/{type}"
OF_APP = ("app",)
ANYTHING = None  #: who sends events to a fixed address, scrapes or looks may have names of their own in it
SMALL = 256 * 1024  #: bytes of a decision with an edit
Endpoint = Callable[[Request, Caller], Awaitable[Response]]


@dataclass
class Door:
    """Everything that the routes need."""

    places: Places
    identity: Identity
    limits: Limits
    blobs: BlobStore
    decisions: Decisions
    measures: Measures
    window: str  #: how long an idempotency key holds, in words
    max_bytes: int  #: of one file
    tracer: Publishing | None = None  #: makes a span of each request that may bring events; None: nobody traces
    rest: Rest = field(default_factory=Rest)

    def __post_init__(self) -> None:
        aside = Aside()
        self.trouble = Trouble("door")
        self.lister, self.pages = Lister(aside), Pages(self.places, aside)
        self.streams = Shares(stream.STREAMS, stream.EACH)

    def application(self) -> Starlette:
        """The routes behind their guard."""
        routes = [
            self._route("/events", ANYTHING, POST=self._traced("/events", self.take_events)),
            self._route(FIELDS, (), POST=self._traced(FIELDS, self.take_fields)),
            self._route("/runs", NAMES, GET=self.listed),
            self._route("/runs/{run}", OF_APP, GET=self.run),
            self._route("/runs/{run}/steps", OF_APP, GET=self.steps),
            self._route("/runs/{run}/stream", OF_APP, GET=self.follow),
            self._route("/gates", GATES, GET=self.gates),
            self._route("/gates/{id}", Only._fields, GET=self.gate, POST=self.decide),
            self._route("/dead-letters", LETTERS, GET=self.letters),
            self._route("/dead-letters/{id}", Only._fields, GET=self.letter),
            self._route("/dead-letters/{id}/replay", Only._fields, POST=self.replay),
            self._route("/dead-letters/{id}/drop", Only._fields, POST=self.drop),
            self._route("/openapi.json", ANYTHING, GET=self.description),
            self._route("/docs", ANYTHING, GET=self.page),
            self._route("/metrics", ANYTHING, GET=self.metrics),
            *self.probes(),
        ]
        found = Starlette(routes=routes, exception_handlers={HTTPException: no_route})
        found.router.redirect_slashes = False  # a POST must not be answered with a redirection
        found.add_middleware(Guard, measures=self.measures, trouble=self.trouble)
        return found

    def renew(self, access: Access) -> None:
        """Let in whom this access file names, and nobody else."""
        self.identity.renew(access)
        self.limits.renew(access)

    def inner(self) -> Starlette:
        """Probes and metrics alone, for a port that only the cluster reaches; nobody is asked who they are."""

        async def metrics(request: Request) -> Response:
            return self._scraped(request)

        return Starlette(routes=[*self.probes(), Route("/metrics", metrics)])

    def _route(self, path: str, names: Sequence[str] | None, **endpoints: Endpoint) -> Route:
        """By method; `names` are those of its query."""

        async def known(request: Request) -> Response:
            request.scope[ROUTE] = path
            caller = await self.identity.of(request)
            if self.tracer is not None:
                self.tracer.follow(traced(request))
            self.limits.take(caller.name, caller.rate)
            if names is not None:
                refuse_others(request.query_params, names)
            return await endpoints["GET" if request.method == "HEAD" else request.method](request, caller)

        return Route(path, known, methods=[*endpoints], name=path)

    def _traced(self, route: str, endpoint: Endpoint) -> Endpoint:
        """The endpoint of a known caller, in a span; the endpoint itself if nobody traces."""
        if (tracer := self.tracer) is None:
            return endpoint

        async def served(request: Request, caller: Caller) -> Response:
            scope = request.scope  # not its URL: that one is read from what the caller says of the host
            about = {
                "http.request.method": request.method, "url.scheme": scope.get("scheme", "http"),
                "url.path": scope["path"], "network.protocol.version": scope.get("http_version", ""),
            }  # fmt: skip
            with tracer.request(route, about, traced(request)) as span:
                request.scope[SERVED] = span
                try:
                    answer = await endpoint(request, caller)
                except Exception as error:
                    span.status = of_error(error).status
                    raise
                span.status = answer.status_code
                return answer

        return served

    # -- events in

    async def take_events(self, request: Request, caller: Caller) -> Response:
        """`POST /events`."""
        found = events.read(request, await whole(request, EVENTS))
        if len(found) > 1:
            self.limits.take(caller.name, caller.rate, len(found) - 1)
        begun = await publish_events(self.places, caller, found, _served(request))
        return await self._accepted(request, caller, begun, alone=not media_type(request).startswith(events.BATCH))

    async def take_fields(self, request: Request, caller: Caller) -> Response:
        """`POST /apps/<app>/<type>`."""
        name = request.path_params["app"]
        place = self.places[name if caller.knows(name) else ""]  # to strangers as if there were none
        caller.must("publisher", place.app.name)
        kind, type_ = place.entry(request.path_params["type"])
        key = idempotency.key_of(request, caller.name)
        fields = await uploads.fields_of(request, kind, self.blobs, self.max_bytes)
        begun = await publish_fields(place, kind, fields, key, traced(request), _served(request), type_=type_)
        return await self._accepted(request, caller, [begun], alone=True)

    async def _accepted(self, request: Request, caller: Caller, begun: Sequence[Begun], *, alone: bool) -> Response:
        for each in begun:
            self.measures.event(each.place.app.name, known=each.known)
        told = [{"id": each.id, "source": each.source, "run": each.run, "url": address(each.run) or None,
                 "repeated": each.known} for each in begun]  # fmt: skip
        if not alone:
            return Json({"events": told}, 202)
        (first,) = begun
        headers, seconds = located(first.run), wish(request)
        if seconds is None or not first.run or not caller.may("viewer", first.place.app.name):
            return Json(told[0], 202, headers)
        headers["preference-applied"] = f"wait={seconds:g}"
        try:
            view = await self.rest.of(first.place, first.run, seconds, request.receive, caller.share)
        except BusError:
            return Json(told[0], 202, headers)  # it is written; only looking at it failed
        done = view.result is not None or view.state == "completed" or view.rests
        return Json(told[0] | shown(first.place, view), 200 if done else 202, headers)

    # -- runs

    async def listed(self, request: Request, caller: Caller) -> Response:
        """`GET /runs`."""
        return Json(await self.lister.of(self.places, caller, wanted(request.query_params)))

    async def run(self, request: Request, caller: Caller) -> Response:
        """`GET /runs/<id>`."""
        if stream.MEDIA in request.headers.get("accept", ""):
            return await self.follow(request, caller)
        place, view = self._found(request, caller)
        seconds = wish(request)
        if seconds is None:
            return Json(shown(place, view))
        view = await self.rest.of(place, view.id, seconds, request.receive, caller.share)
        return Json(shown(place, view), headers={"preference-applied": f"wait={seconds:g}"})

    def _found(self, request: Request, caller: Caller) -> tuple[Place, RunView]:
        return find(self.places, caller, request.path_params["run"], **given(request.query_params, OF_APP))

    async def steps(self, request: Request, caller: Caller) -> Response:
        """`GET /runs/<id>/steps`."""
        return Json(step_by_step(*self._found(request, caller)))

    async def follow(self, request: Request, caller: Caller) -> Response:
        """`GET /runs/<id>/stream`."""
        seen, ended = stream.cursor_of(request)
        place, view = self._found(request, caller)
        if ended and view.state == "completed":
            return Response(status_code=204)
        who = caller.share
        if not self.streams.has_room(who):
            if self.streams.open >= stream.STREAMS:
                raise unavailable(f"{stream.STREAMS} streams are open; ask for the run itself")
            raise Problem(429, "too-many-requests", f"{stream.EACH} of your streams are open; end some of them",
                          headers={"retry-after": str(RETRY)})  # fmt: skip
        version = self.identity.version  # another one: whoever may still look comes back, and misses nothing
        messages = stream.stream(
            place, view.id, seen, self.rest, lambda: self.identity.version == version, stream.life(caller, time.time())
        )
        return StreamingResponse(
            self._counted(messages, who), media_type=stream.MEDIA, headers={"x-accel-buffering": "no"}
        )

    async def _counted(self, messages: AsyncIterator[bytes], who: str) -> AsyncIterator[bytes]:
        with self.streams.taken(who):
            self.measures.streams = self.streams.open
            try:
                async for message in messages:
                    yield message
            finally:
                self.measures.streams = self.streams.open - 1

    # -- what a person decides

    async def gates(self, request: Request, caller: Caller) -> Response:
        """`GET /gates`."""
        return Json(await self.pages.gates(caller, asked(request.query_params)))

    async def gate(self, request: Request, caller: Caller) -> Response:
        """`GET /gates/<id>`."""
        return Json(await self.pages.gate(caller, request.path_params["id"], asked(request.query_params)))

    async def decide(self, request: Request, caller: Caller) -> Response:
        """`POST /gates/<id>`."""
        id_, body = request.path_params["id"], await _json(request)
        return self._decided(await self.decisions.decide(caller, id_, body, _only(request)))

    async def letters(self, request: Request, caller: Caller) -> Response:
        """`GET /dead-letters`."""
        return Json(await self.pages.letters(caller, asked(request.query_params)))

    async def letter(self, request: Request, caller: Caller) -> Response:
        """`GET /dead-letters/<id>`."""
        id_, wanted = request.path_params["id"], asked(request.query_params)
        return Json(await self.pages.letter(caller, id_, wanted))

    async def replay(self, request: Request, caller: Caller) -> Response:
        """`POST /dead-letters/<id>/replay`."""
        id_, body = request.path_params["id"], await _json(request)
        return self._decided(await self.decisions.replay(caller, id_, body, _only(request)))

    async def drop(self, request: Request, caller: Caller) -> Response:
        """`POST /dead-letters/<id>/drop`."""
        return self._decided(await self.decisions.drop(caller, request.path_params["id"], _only(request)))

    def _decided(self, said: Decided) -> Response:
        self.measures.decision(said.app, said.decision)
        return Json(said.shown(), 202, located(said.run))

    # -- about the door

    async def description(self, _: Request, caller: Caller) -> Response:
        """`GET /openapi.json`."""
        return Json(openapi.document(self._visible(caller), self.window, self.max_bytes))

    async def page(self, _: Request, caller: Caller) -> Response:
        """`GET /docs`."""
        document = openapi.document(self._visible(caller), self.window, self.max_bytes)
        return HTMLResponse(page.html(document), headers={"content-security-policy": page.POLICY})

    def _visible(self, caller: Caller) -> list[Place]:
        return [place for place in self.places.all if caller.knows(place.app.name)]

    async def metrics(self, request: Request, caller: Caller) -> Response:
        """`GET /metrics`, for whoever may see every app."""
        for place in self.places.all:
            caller.must("viewer", place.app.name)
        return self._scraped(request)

    def _scraped(self, request: Request) -> Response:
        body, media = self.measures.scrape(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media})

    def probes(self) -> list[Route]:
        """/livez: the event loop answers. /readyz: the bus is in reach, and the door is not stopping."""

        async def livez(_: Request) -> Response:
            return Json({"status": "ok"})

        async def readyz(_: Request) -> Response:
            away = [place.app.name for place in self.places.all if not place.watch.reachable]
            bad = self.rest.stopping.is_set() or bool(away) or self.trouble.damaged
            return Json({"status": "failed" if bad else "ok"}, 503 if bad else 200)

        return [Route("/livez", livez), Route("/readyz", readyz)]


async def _json(request: Request) -> Any:
    """The JSON of a decision; None if there is no body. Anything else than JSON is no call of ours but a form's."""
    body = await whole(request, SMALL)
    if not body:
        return None
    if not is_json(media_type(request)):
        raise Problem(415, "unsupported-media-type", "send JSON", headers={"accept-post": "application/json"})
    return parsed(body)


def _only(request: Request) -> Only:
    """Where an id is to be looked for, if the caller says so."""
    return Only(**given(request.query_params, Only._fields))


def _served(request: Request) -> Served | None:
    """The request's span, if somebody traces."""
    found: Served | None = request.scope.get(SERVED)
    return found

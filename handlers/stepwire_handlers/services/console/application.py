"""The console's routes: from a browser's request to a page.

In: places, sessions, decisions. Out: a Starlette application. Every page but the login, the style sheet and the probes
needs a known caller; every form must come from a page of this console. What goes wrong is a page that says what to do.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from stepwire import Event
from stepwire_handlers.drawing.sketch import sketch
from stepwire_handlers.services.console import chart, forms, look
from stepwire_handlers.services.console.issuer import BACK
from stepwire_handlers.services.console.measures import Measures
from stepwire_handlers.services.console.session import COOKIE, Sessions, refuse_foreign_forms
from stepwire_handlers.services.console.signin import START, SignIn, forget
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.door.answers import Html
from stepwire_handlers.services.door.aside import Aside
from stepwire_handlers.services.door.decisions import Decisions, Only
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.limits import Limits
from stepwire_handlers.services.door.places import Place, Places
from stepwire_handlers.services.door.problems import Problem, of_error
from stepwire_handlers.services.door.runs import find, seen
from stepwire_handlers.services.door.trouble import Trouble
from stepwire_handlers.services.groups import unattended
from stepwire_handlers.services.history import History
from stepwire_handlers.services.runs import slot_shown
from stepwire_handlers.telemetry.mask import masked

HERE = Path(__file__).parent
STATIC = {"console.css": "text/css", "console.js": "text/javascript"}
STATES = ("running", "waiting", "completed", "failed")
SAID = {  # what the page after an action tells; never what the address itself says
    "approve": "Approved: the run goes on.", "decline": "Declined: the run goes on without it.",
    "done": "Noted as done: the run goes on with what you gave.", "redo": "It is called once more.",
    "replay": "Replayed: the delivery is called again.", "drop": "Dropped: nobody will call it again.",
}  # fmt: skip
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff", "referrer-policy": "same-origin", "x-frame-options": "DENY",
    "cache-control": "no-store", "cross-origin-opener-policy": "same-origin",
}  # fmt: skip
Page = Callable[[Request, Caller], Awaitable[Response]]


def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("stepwire_handlers.services.console"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    shows = {name: getattr(look, name) for name in ("moment", "ago", "pretty", "gist")}
    found.filters |= {**shows, "path": lambda t: quote(t, ""), "slot": slot_shown}
    return found


@dataclass
class Console:
    """Everything that the pages need."""

    places: Places
    sessions: Sessions
    decisions: Decisions
    logins: Limits  #: of each address
    actions: Limits  #: of each caller
    measures: Measures
    hosts: frozenset[str] | None = None  #: names that a browser may call it by; None: any
    signin: SignIn | None = None  #: at an OIDC issuer

    def __post_init__(self) -> None:
        self._pages, self._aside, self._trouble = _templates(), Aside(), Trouble("console")

    def application(self) -> Starlette:
        """The routes."""
        get, post = self._get, self._post
        routes = [
            get("/", self.runs), get("/runs/{run}", self.run), get("/apps/{app}", self.graph),
            get("/gates", self.gates), get("/gates/{app}/{id}", self.gate), post("/gates/{app}/{id}", self.decide),
            get("/dead-letters", self.letters), get("/dead-letters/{app}/{id}", self.letter),
            post("/dead-letters/{app}/{id}/replay", self.replay), post("/dead-letters/{app}/{id}/drop", self.drop),
            self._route("/login", self.login, "GET"), self._route("/login", self.enter, "POST"),
            post("/logout", self.leave), self._route("/static/{name}", self.static, "GET"),
            self._route("/livez", self.livez, "GET"), self._route("/readyz", self.readyz, "GET"),
        ]  # fmt: skip
        if self.signin is not None:
            routes += [self._route(START, self.go, "GET"), self._route(BACK, self.back, "GET")]
        found = Starlette(routes=routes, exception_handlers={HTTPException: self._nowhere})
        found.router.redirect_slashes = False
        return found

    def inner(self) -> Starlette:
        """Probes and metrics alone, for a port that only the cluster reaches; nobody is asked who they are."""

        async def metrics(_: Request) -> Response:
            return Response(self.measures.scrape(), media_type=CONTENT_TYPE_LATEST)

        probes = [Route("/livez", self.livez), Route("/readyz", self.readyz)]
        return Starlette(routes=[*probes, Route("/metrics", metrics)])

    # -- around each page

    def _route(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        async def guarded(request: Request) -> Response:
            try:
                self._refuse_strange_host(request)
                if request.method == "POST":
                    refuse_foreign_forms(request)
                response = await endpoint(request)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is a page
                response = self._failed(request, error)
            response.headers.update({name: text for name, text in HEADERS.items() if name not in response.headers})
            self.measures.request(path, method, response.status_code)
            return response

        return Route(path, guarded, methods=[method])

    def _get(self, path: str, page: Page) -> Route:
        async def known(request: Request) -> Response:
            caller = await self.sessions.of(request)
            if caller is None:
                path, query = quote(request.scope["path"]), request.scope["query_string"].decode("latin-1")
                then = path + (f"?{query}" if query else "")
                return RedirectResponse("/login?" + urlencode({"then": then}), 303)
            request.state.caller = caller
            if not seen(self.places, caller):
                raise Problem(403, "forbidden", look.BLIND.format(name=caller.name))
            return await page(request, caller)

        return self._route(path, known, "GET")

    def _post(self, path: str, page: Page) -> Route:
        async def known(request: Request) -> Response:
            caller = await self.sessions.of(request)
            if caller is None:
                raise Problem(401, "unauthorized", "you are not logged in any more; log in and send it again")
            request.state.caller = caller
            self.actions.take(caller.name, caller.rate)
            return await page(request, caller)

        return self._route(path, known, "POST")

    def _refuse_strange_host(self, request: Request) -> None:
        """Without a login, a foreign name that leads here would make a foreign page one of ours."""
        if self.hosts is None:
            return
        try:
            name = urlsplit(f"//{request.headers.get('host', '')}").hostname
        except ValueError:  # a bracket that is not closed
            name = None
        if name not in self.hosts:
            raise Problem(403, "forbidden", "without a login the console answers only to its own address")

    def _page(self, request: Request, name: str, code: int = 200, **values: Any) -> Response:
        caller = getattr(request.state, "caller", None)
        open_ = seen(self.places, caller) if caller else []
        here = {"caller": caller, "apps": [place.app.name for place in open_], "path": request.scope["path"],
                "outdated": [place for place in open_ if place.outdated], "login": self.sessions.needs_login,
                "refused": [place for place in open_ if place.refused],
                "said": SAID.get(request.query_params.get("said", ""), "")}  # fmt: skip
        return Html(self._pages.get_template(name).render(**here, **values), code)

    def _failed(self, request: Request, error: Exception) -> Response:
        problem = of_error(error)
        self._trouble.of(error)
        if problem.status == 500:
            places = "".join(traceback.format_tb(error.__traceback__)[-5:])
            logging.getLogger("stepwire").error("console: %s\n%s", type(error).__name__, places)
        reasons = problem.extra.get("errors", [])
        response = self._page(request, "problem.html", problem.status, problem=problem, reasons=reasons)
        response.headers.update(problem.headers)
        return response

    async def _nowhere(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = "there is no such page here"
        if takes := (error.headers or {}).get("Allow"):
            said = f"this address takes {takes}, not {request.method}: a page's own buttons and links send that"
        found = self._failed(request, Problem(error.status_code, "not-found", said, headers=error.headers))
        found.headers.update(HEADERS)
        return found

    # -- runs and graph

    async def runs(self, request: Request, caller: Caller) -> Response:
        """The list, or straight to the run whose id begins so."""
        asked = request.query_params
        names = ("app", "state", "since", "q", "page")
        app, state, span, search, wanted = (asked.get(name, "").strip()[:200] for name in names)
        page = int(wanted) if wanted.isascii() and wanted.isdigit() else 1
        page, state = min(max(page, 1), look.DEEPEST), state if state in STATES else ""
        places = seen(self.places, caller, app)
        if len(search) >= 6 and (name := self._named(places, search)):
            return RedirectResponse(f"/runs/{quote(name, '')}", 303)
        found = look.runs(places, state, span, search, page)
        chosen = {"app": app, "state": state, "since": span, "q": search}
        links = {number: "/?" + urlencode({**chosen, "page": number}) for number in (page - 1, page + 1)}
        return self._page(request, "runs.html", found=found, chosen=chosen, states=STATES, page=page, links=links,
                          spans=look.SPANS, searched=look.SEARCHED, filtered=any(chosen.values()),
                          entry=next((name for place in places for name in place.entries), "EventName"))  # fmt: skip

    def _named(self, places: list[Place], prefix: str) -> str | None:
        for place in places:
            name = History(place.bus.store).run_named(prefix)
            if name is not None and (view := place.runs.view(name)) and (view.lines or view.open):
                return name
        return None

    async def run(self, request: Request, caller: Caller) -> Response:
        """One run, step by step."""
        place, view = find(self.places, caller, request.path_params["run"])
        result = None if view.result is None else (type(view.result).__name__, masked(view.result, shorten=False))
        return self._page(request, "run.html", app=place.app.name, view=view, steps=look.steps(view), result=result,
                          cost=look.cost(view), idle=unattended(place.app, place.bus, [view]))  # fmt: skip

    async def graph(self, request: Request, caller: Caller) -> Response:
        """An app's graph with what its newest runs came to."""
        place = self._place(caller, request.path_params["app"])
        counts, of = look.counts(place)
        drawn = sketch(place.app)
        return self._page(request, "graph.html", app=place.app.name, chart=chart.chart(drawn, counts), of=of,
                          steps=drawn.steps, counts=counts, chart_size=chart)  # fmt: skip

    def _place(self, caller: Caller, app: str) -> Place:
        if not caller.may("viewer", app):
            raise Problem(404, "not-found", "there is no such app that you may see")
        return self.places[app]

    # -- gates

    async def gates(self, request: Request, caller: Caller) -> Response:
        """Everything that waits for a person."""
        waiting, whole = await look.gates(self._aside, seen(self.places, caller))
        return self._page(request, "gates.html", waiting=waiting, whole=whole)

    async def _waiting(self, request: Request, caller: Caller) -> tuple[Place, Any]:
        place, handler = self._place(caller, request.path_params["app"]), request.query_params.get("handler", "")
        return place, await look.gate(self._aside, place, request.path_params["id"], handler)

    async def gate(self, request: Request, caller: Caller) -> Response:
        """One of them, with its event as a form."""
        place, waiting = await self._waiting(request, caller)
        fields = forms.fields_of(waiting.event) if waiting.event is not None else []
        return self._page(request, "gate.html", app=place.app.name, waiting=waiting, fields=fields,
                          kind=type(waiting.event).__name__, may=caller.may("approver", place.app.name))  # fmt: skip

    async def decide(self, request: Request, caller: Caller) -> Response:
        """What a person decided."""
        place, waiting = await self._waiting(request, caller)
        form = await forms.read(request)
        body: dict[str, Any] = {"decision": form.get("decision", ""), "why": form.get("why", "")}
        if waiting.event is not None and (edited := forms.changed(waiting.event, form)):
            body["edited"] = edited
        if body["decision"] == "done":
            body |= {"type": form.get("type", ""), "event": forms.read_object(form.get("event", ""))}
        said = await self.decisions.decide(caller, waiting.id, body, Only(place.app.name, waiting.handler))
        return RedirectResponse(f"/runs/{quote(said.run, '')}?said={said.decision}", 303)

    # -- dead letters

    async def letters(self, request: Request, caller: Caller) -> Response:
        """Those that nobody replayed or dropped."""
        letters, whole = await look.letters(self._aside, seen(self.places, caller))
        return self._page(request, "letters.html", letters=letters, whole=whole)

    async def _letter(self, request: Request, caller: Caller) -> tuple[Place, DeadLetters, Any]:
        place, handler = self._place(caller, request.path_params["app"]), request.query_params.get("handler", "")
        letter = await look.letter(self._aside, place, request.path_params["id"], handler)
        return place, DeadLetters(place.app, place.bus), letter

    async def letter(self, request: Request, caller: Caller) -> Response:
        """One of them: the cause, the payload, what it holds up."""
        place, reader, letter = await self._letter(request, caller)
        payload = reader.payload(letter)
        event = payload if isinstance(payload, Event) else None
        return self._page(
            request, "letter.html", app=place.app.name, letter=reader.shown(letter), status=reader.status(letter),
            payload=None if payload is None else masked(payload, shorten=False), size=len(letter.record.value),
            fields=forms.fields_of(event) if event is not None else [], blocked=reader.blocked_by(letter),
            may=caller.may("operator", place.app.name),
            gate=any(step.signature.is_gate for step in place.app.handlers if step.name == letter.handler),
        )  # fmt: skip

    async def replay(self, request: Request, caller: Caller) -> Response:
        """Resume a delivery, with another payload if fields were changed."""
        place, reader, letter = await self._letter(request, caller)
        payload, form = reader.payload(letter), await forms.read(request)
        body = None
        if isinstance(payload, Event) and (edited := forms.changed(payload, form)):
            body = {"edited": {**payload.model_dump(mode="json"), **edited}}
        said = await self.decisions.replay(caller, letter.id, body, Only(place.app.name, letter.handler))
        return RedirectResponse(
            f"/runs/{quote(said.run, '')}?said=replay" if said.run else "/dead-letters?said=replay", 303
        )

    async def drop(self, request: Request, caller: Caller) -> Response:
        """Give a delivery up; the box must be ticked, there is no way back."""
        place, _, letter = await self._letter(request, caller)
        if (await forms.read(request)).get("sure") != "yes":
            raise Problem(422, "invalid", "tick the box: there is no way back from a drop")
        said = await self.decisions.drop(caller, letter.id, Only(place.app.name, letter.handler))
        return RedirectResponse(
            f"/runs/{quote(said.run, '')}?said=drop" if said.run else "/dead-letters?said=drop", 303
        )

    # -- coming and going

    async def login(self, request: Request) -> Response:
        """The form."""
        if await self.sessions.of(request) is not None:
            return RedirectResponse("/", 303)
        return self._login_page(request, 200, _inside(request.query_params.get("then", "/")))

    def _login_page(self, request: Request, code: int, then: str) -> Response:
        issuer, start = self.signin.host if self.signin else "", f"{START}?" + urlencode({"then": then})
        return self._page(request, "login.html", code, then=then, wrong=code == 401, issuer=issuer, start=start,
                          keys=self.sessions.takes_keys)  # fmt: skip

    async def go(self, request: Request) -> Response:
        """To the issuer."""
        assert self.signin is not None
        try:
            return await self.signin.go(_inside(request.query_params.get("then", "/")))
        except Problem as problem:
            return self._not_signed_in(request, problem)

    async def back(self, request: Request) -> Response:
        """From the issuer, into a session or to a page that says why not."""
        assert self.signin is not None
        try:
            self.signin.begun(request)  # before it counts: nobody but who began a login uses up an address's share
            self.logins.take("issuer " + (request.client.host if request.client else ""))
            return await self.signin.back(request)
        except Problem as problem:
            response = self._not_signed_in(request, problem)
            if problem.status not in (400, 429):  # a code that was sent cannot be sent again
                forget(response)
            return response

    def _not_signed_in(self, request: Request, problem: Problem) -> Response:
        headers = {name: text for name, text in problem.headers.items() if name == "retry-after"}
        response = self._page(request, "signin.html", problem.status, problem=problem)
        response.headers.update(headers)
        return response

    async def enter(self, request: Request) -> Response:
        """Log in with a key. Raises Problem 429 for an address that fails too often; a key that fits always opens."""
        form = await forms.read(request)
        then = _inside(form.get("then", "/"))
        response = RedirectResponse(then, 303)
        if self.sessions.begin(request, form.get("key", ""), response):
            return response
        self.logins.take(request.client.host if request.client else "")
        return self._login_page(request, 401, then)

    async def leave(self, _: Request, caller: Caller) -> Response:
        """Log out."""
        del caller
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response

    async def static(self, request: Request) -> Response:
        """The style sheet and the script."""
        name = request.path_params["name"]
        if name not in STATIC:
            raise Problem(404, "not-found", "there is no such file here")
        return Response((HERE / "static" / name).read_bytes(), media_type=STATIC[name],
                        headers={"cache-control": "no-cache"})  # fmt: skip

    async def livez(self, _: Request) -> Response:
        """The event loop answers."""
        return PlainTextResponse("ok")

    async def readyz(self, _: Request) -> Response:
        """Every bus is in reach."""
        bad = self._trouble.damaged or any(not place.watch.reachable for place in self.places.all)
        return PlainTextResponse("failed" if bad else "ok", 503 if bad else 200)


def _inside(then: str) -> str:
    """A path of this console, whatever was asked for."""
    ok = then.startswith("/") and not then.startswith(("//", "/\\")) and then.isprintable()
    return then if ok else "/"

"""docs/security.md keeps its word: what it lists as open to everybody is all that is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.routing import Route
from tests.door.doors import ROOT
from tests.door.shop import APP

from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.console.application import Console
from stepwire_handlers.services.console.measures import Measures
from stepwire_handlers.services.console.process import signin_of
from stepwire_handlers.services.console.session import Sessions
from stepwire_handlers.services.door.access import Access, new_key
from stepwire_handlers.services.door.limits import for_callers
from stepwire_handlers.services.health import Probes, _application
from stepwire_handlers.services.tools.calls import Calls
from stepwire_handlers.services.tools.process import application_of
from stepwire_handlers.telemetry.metrics import Metrics

ROW = re.compile(r"^\| (door|console|console inner|tools|inner|worker) \| (GET|POST) `(\S+)` \|", re.MULTILINE)
LOGIN = {"client": "console", "url": "https://console.example"}
ACCESS = Access.model_validate({
    "keys": [{"name": "k", "hash": new_key()[1], "roles": {"*": ["viewer"]}}],
    "oidc": {"issuer": "http://127.0.0.1:9", "audience": "stepwire", "login": LOGIN},  # nobody listens there
})  # fmt: skip
ADDRESS = "http://127.0.0.1"  # the tools look at the name they are called by
OWN = {"sec-fetch-site": "same-origin"}  # so that a form is refused for who sends it, not for where it comes from


async def _open(application: Starlette) -> set[tuple[str, str]]:
    """Method and path of the routes that serve somebody without credentials. Every route is called."""
    found = set()
    transport = httpx2.ASGITransport(application)
    async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS, headers=OWN) as client:
        assert application.routes
        for route in application.routes:
            assert isinstance(route, Route), f"look at {route} by hand"
            path = re.sub(r"\{(\w+)\}", "x", route.path).replace("/static/x", "/static/console.css")
            for method in (route.methods or {"GET", "POST"}) - {"HEAD"}:
                answer = await client.request(method, path)
                login = answer.status_code == 303 and answer.headers["location"].startswith("/login")
                if answer.status_code not in (401, 403) and not login:
                    found.add((method, route.path))
    return found


async def test_only_what_the_page_lists_is_open(opened: Callable[..., Any]) -> None:
    """With an access file, every route of every application asks who calls, but for those in the page's table."""
    async with opened(ACCESS) as inside:
        door, metrics = inside.door, Metrics(APP)
        worker = Worker(APP, inside.bus)
        metrics.watch(worker)
        assert metrics.backlog is not None
        free = for_callers(ACCESS, time.monotonic)
        sessions = Sessions(ACCESS, b"s" * 32)
        signin = signin_of(Configuration(), ACCESS, sessions, door.places)
        console = Console(door.places, sessions, door.decisions, free, free, Measures(), None, signin)
        applications = {
            "door": door.application(),
            "inner": door.inner(),
            "console": console.application(),
            "console inner": console.inner(),
            "tools": application_of(Calls(door, 1.0, "", None).server(), door, (), 1024),
            "worker": _application(Probes(worker, metrics.backlog), metrics),
        }
        really = {(name, *each) for name, app in applications.items() for each in await _open(app)}
    said = ROW.findall((ROOT / "docs" / "security.md").read_text("utf-8"))
    assert len(set(said)) == len(said)
    assert set(said) == really

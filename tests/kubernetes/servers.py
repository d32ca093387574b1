"""The console and the tools of a release, as people and models use them, each step a function as in `steps`.

In: a `Stage` whose release `support` has both. Out: a line for the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.brokers.asking import wait_until
from tests.kubernetes.release import NAMESPACE
from tests.kubernetes.steps import Failed, Stage, reached

from stepwire_handlers.services.console.session import COOKIE

TOOL, CUSTOMER = "support_TicketOpened", "Bea"
NAME = f"support-stepwire-mcp.{NAMESPACE}"  #: what clients in the cluster call it by
COMPONENTS = ("door", "console", "mcp")
PATIENCE = 60  #: seconds until a run stands on a page
WAIT = 90.0  #: seconds for an answer; a tool's waits for its run


def tools(stage: Stage) -> str:
    """The server asks who calls and by what name; it lists the flow, and a call of it ends in a result."""
    with reached(stage, "service/support-stepwire-mcp") as url:
        headers = {"Host": NAME, "X-API-Key": stage.key}
        for said, status in (({"Host": NAME}, 401), (headers | {"Host": "elsewhere.example"}, 421)):
            answer = httpx2.post(f"{url}/mcp", json={}, headers=said, timeout=WAIT)
            if answer.status_code != status:
                raise Failed(f"the tools answered {said} with {answer.status_code}, not {status}: {answer.text[:300]}")
        names, stage.run = asyncio.run(_call(f"{url}/mcp", headers))
    return f"{', '.join(names)}; {TOOL}: run {stage.run[:12]} is answered; 401 without a key, 421 for another name"


async def _call(url: str, headers: dict[str, str]) -> tuple[list[str], str]:
    """The tools' names, and the run that a call began and ended."""
    async with (
        httpx2.AsyncClient(headers=headers, timeout=WAIT) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        names = sorted(tool.name for tool in (await client.list_tools()).tools)
        if TOOL not in names:
            raise Failed(f"the tools are {names}")
        found = await client.call_tool(TOOL, {"customer": CUSTOMER, "body": "I was charged twice."})
        said: dict[str, Any] = found.structured_content or {}
        if found.is_error or (said.get("result") or {}).get("customer") != CUSTOMER:
            raise Failed(f"{TOOL} answered {found}")
        return names, str(said["run"])


def console(stage: Stage) -> str:
    """Nobody sees anything without a login; with one, the tool's run is in the list, and its page says its result."""
    with _console(stage) as browser:
        first, form = browser.get("/"), browser.get("/login")
        if first.status_code != 303 or form.status_code != 200 or 'name="key"' not in form.text:
            raise Failed(f"without a login: {first.status_code} at /, {form.status_code} at /login: {form.text[:300]}")
        if (wrong := _enter(browser, "sw_nobody")) != 401:
            raise Failed(f"a key that there is not: {wrong}")
        if (right := _enter(browser, stage.key)) != 303 or COOKIE not in browser.cookies:
            raise Failed(f"the door's key: {right}, cookies {list(browser.cookies)}")
        _shows(browser, stage.run)
        if f'href="/runs/{stage.run}"' not in browser.get("/", params={"app": "support"}).text:
            raise Failed(f"the list has no {stage.run}")
        stage.session = browser.cookies[COOKIE]
    return f"login, list, run {stage.run[:12]} completed, of {CUSTOMER}; 401 for a strange key"


def outlived(stage: Stage) -> str:
    """After the pods of upgrade and rollback: the same session, and the same run from a copy made anew."""
    with _console(stage) as browser:
        browser.cookies.set(COOKIE, stage.session)
        _shows(browser, stage.run)
    return f"the session of before the upgrade shows run {stage.run[:12]}"


def probes(stage: Stage) -> str:
    """On a port of their own they say yes; no container was started again; the port of people has no metrics."""
    told = []
    for component in COMPONENTS:
        stage.kubectl.settled("support", component, 1)
        (pod,) = stage.kubectl.pods("support", component)
        if restarts := sum(each["restartCount"] for each in pod["status"]["containerStatuses"]):
            raise Failed(f"{component} was started again {restarts} times: {stage.kubectl('describe', 'pods')[-3000:]}")
        with reached(stage, f"pod/{pod['metadata']['name']}", 9090) as inner:
            codes = {path: _get(inner + path) for path in ("/livez", "/readyz")}
            scraped = httpx2.get(f"{inner}/metrics", timeout=WAIT).text
        with reached(stage, f"service/support-stepwire-{component}") as outer:
            public = _get(f"{outer}/metrics", Host=f"support-stepwire-{component}")
        if set(codes.values()) != {200} or public not in (401, 404) or "stepwire_" not in scraped:
            raise Failed(f"{component}: {codes}, {public} for metrics by the Service, and {scraped[:300]!r}")
        told.append(f"{component} {scraped.count('# TYPE stepwire_')}")
    return f"livez, readyz, no restart; metrics of ours: {', '.join(told)}"


def _get(url: str, **headers: str) -> int:
    return httpx2.get(url, headers=headers, timeout=WAIT).status_code


@contextmanager
def _console(stage: Stage) -> Iterator[httpx2.Client]:
    with (
        reached(stage, "service/support-stepwire-console") as url,
        httpx2.Client(base_url=url, timeout=WAIT) as browser,
    ):
        yield browser


def _enter(browser: httpx2.Client, key: str) -> int:
    """The form, as a browser sends it."""
    origin = str(browser.base_url).rstrip("/")
    return browser.post("/login", data={"key": key}, headers={"origin": origin}).status_code


def _shows(browser: httpx2.Client, run: str) -> None:
    """Its page says what it came to."""

    def complete() -> bool:
        page = browser.get(f"/runs/{run}")
        return page.status_code == 200 and "completed" in page.text and CUSTOMER in page.text

    if not wait_until(complete, PATIENCE):
        page = browser.get(f"/runs/{run}")
        raise Failed(f"the console shows for {run}: {page.status_code} {page.text[:500]}")

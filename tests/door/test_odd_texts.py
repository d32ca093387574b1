"""Errors say anything: markup, half a surrogate pair, what turns writing round. No list is lost, no markup counts."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from tests.door.doors import STEPWIRE

from stepwire import App, Event, Reject, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.console.process import console_of
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.door.rest import Rest
from stepwire_handlers.services.door.stream import stream
from stepwire_handlers.services.tools.answers import answer

MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> javascript:alert(1) \u202e\x00"
FILE = "caf\udce9.pdf"  #: the name of a file that is no UTF-8, as Python gives it


class Odd(Event, topic="odd.in"):
    n: int


class Done(Event, topic="odd.out", result=True):
    n: int


@handler()
async def refuses(odd: Odd) -> Done:
    raise Reject(f"no such file: {FILE} {MARKUP} \udc80")


@handler(effect="once")
async def unsure(odd: Odd) -> None:
    raise ConnectionError(FILE + MARKUP)


APP = App("odd", [refuses, unsure])


class There(AsyncExitStack):
    """A door and a console to a run whose steps failed so."""

    async def fill(self, folder: Path) -> None:
        path = folder / "bus.db"
        bus, other = LocalBus(str(path)), LocalBus(str(path))
        for each in (bus, other):
            await each.open()
            self.push_async_callback(each.close)
        values = Configuration(bus=f"sqlite:///{path}", blobs=str(folder / "blobs"), log="json")
        self.places = await places_of(self, [(APP, bus)])
        door, console = door_of(values, self.places, None, 1_000), console_of(values, self.places, None, "console")
        await self.enter_async_context(door.blobs)
        clients = [
            httpx2.AsyncClient(transport=httpx2.ASGITransport(served.application()), base_url=f"http://{name}")
            for name, served in (("door", door), ("console", console))
        ]
        self.door, self.console = [await self.enter_async_context(client) for client in clients]
        self.run = (await self.door.post("/apps/odd/Odd", json={"n": 1})).json()["run"]
        worker = Worker(APP, other)
        await worker.start()
        await worker.settle()
        await worker.stop()


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[There]:
    async with There() as found:
        await found.fill(tmp_path)
        yield found


async def test_every_list_and_page_shows_it(there: There) -> None:
    """At the door and in the console; what has no UTF-8 is a question mark, and markup is text."""
    (letter,) = (await there.door.get("/dead-letters")).json()["dead_letters"]
    (gate,) = (await there.door.get("/gates")).json()["gates"]
    assert "caf?.pdf" in letter["message"] and "caf?.pdf" in gate["why"]
    for path in (f"/dead-letters/{letter['id']}", f"/runs/{there.run}", "/runs"):
        assert (await there.door.get(path)).status_code == 200, path
    messages = stream(there.places["odd"], there.run, {}, Rest())
    told = [await anext(messages), await anext(messages), await anext(messages)]  # when to come again, event, state
    assert b"caf?.pdf" in told[-1]
    await messages.aclose()
    shown = [f"/dead-letters/odd/{letter['id']}", f"/gates/odd/{gate['id']}", f"/runs/{there.run}"]
    for path in ("/", "/apps/odd", "/gates", "/dead-letters", *shown):
        page = await there.console.get(path)
        assert page.status_code == 200, path
        assert not any(markup in page.text for markup in ("<script>alert", "<img", 'href="javascript')), path
    for path in shown:
        assert "&lt;script&gt;alert(1)" in (await there.console.get(path)).text, path


async def test_a_tool_answers_with_it(there: There) -> None:
    """Its answer can be sent, in data and in text."""
    place = there.places["odd"]
    told = answer(place, place.runs.view(there.run), "").model_dump_json()
    assert "caf?.pdf" in json.loads(told)["structuredContent" if "structuredContent" in told else "structured_content"][
        "dead_letters"
    ][0]["message"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", [["dlq", "list"], ["dlq", "list", "--json"], ["gates", "list"], ["runs", "list"]])
async def test_the_command_line_prints_it(there: There, tmp_path: Path, command: list[str]) -> None:
    """To a pipe that takes UTF-8 only."""
    where = ["--app", "tests.door.test_odd_texts:APP", "--bus", f"sqlite:///{tmp_path / 'bus.db'}"]
    told = await asyncio.to_thread(subprocess.run, [*STEPWIRE, *command, *where], capture_output=True, check=False)
    assert told.returncode == 0, told.stderr.decode()
    assert b"Traceback" not in told.stderr
    assert b"caf?" in told.stdout or command[0] == "runs"
    told.stdout.decode()

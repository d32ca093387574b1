"""What a person sees when something is wrong, and what became of the event; docs/failures.md comes from here.

Each case really happens: a command in this process on a file of its own, or a run whose model, tool or database fails.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import pytest
from pydantic import BaseModel
from tests.cli.shell import APP, HERE, Shell
from tests.steps.messages_server import Reply, fails, messages_server, says
from tests.tools.surroundings import own

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.worker import Worker
from stepwire_handlers.mcp_servers.postgres import Rows
from stepwire_handlers.steps.claude import Claude
from stepwire_handlers.steps.tool import Tool, Tools

PAGE = Path(__file__).parents[2] / "docs" / "failures.md"
GOOD = '{"text": "fine"}'
Seen = tuple[str, str]  #: the message, and what became of the event

CASES: dict[str, Callable[[Shell], Seen]] = {}


def case(make: Callable[[Shell], Seen]) -> Callable[[Shell], Seen]:
    """Register a case; its docstring says what is wrong. It asserts that nothing is lost."""
    CASES[make.__name__] = make
    return make


class Ask(Event, topic="failures.asked"):
    text: str = "keep me"


class Answer(Event, topic="failures.answers", result=True):
    text: str


class Fields(BaseModel):
    text: str


# -- a command


def refused(shell: Shell, *arguments: str, code: int = 2) -> Seen:
    """A publish that is refused: nothing lies on the bus, not even a file."""
    said = shell("publish", *arguments, code=code)
    assert said.out == "" and not shell.path.exists()
    return said.err, f"exit {code}, nothing was published"


def events(shell: Shell) -> int:
    with closing(sqlite3.connect(shell.path)) as database:
        (count,) = database.execute("SELECT count(*) FROM events").fetchone()
    return int(count)


@case
def a_malformed_event(shell: Shell) -> Seen:
    """An event with a wrong field."""
    return refused(shell, "Order", "--json-data", '{"n": "many"}')


@case
def no_json(shell: Shell) -> Seen:
    """An event that is no JSON."""
    return refused(shell, "Order", "--json-data", '{"n": 1')


@case
def an_unknown_type(shell: Shell) -> Seen:
    """An event of an unknown type."""
    return refused(shell, "Ordre", "--json-data", '{"n": 1}')


@case
def a_large_payload(shell: Shell) -> Seen:
    """An event of 20 MB."""
    (shell.folder / "large.json").write_text(json.dumps({"what": "x" * 20_000_000}))
    said = shell("publish", "Wish", "--json-data", f"@{shell.folder / 'large.json'}", code=2).err
    assert events(shell) == 0
    return said, "exit 2, nothing was published"


@case
def bytes_of_another_producer(shell: Shell) -> Seen:
    """Bytes on a topic that are no event."""
    shell.order(1)

    async def plant() -> None:
        bus = LocalBus(str(shell.path))
        await bus.open()
        await bus.publish([Out("market.orders", b"", {}, b"\xff\x00 garbage", 0)])
        await bus.close()

    asyncio.run(plant())
    shell.work()
    (letter,) = shell("dlq", "list", "--json", schema="dlq-list").data
    assert [r["state"] for r in shell("runs", "list", "--json").data] == ["completed"]
    with closing(sqlite3.connect(shell.path)) as database:
        assert database.execute("SELECT count(*) FROM events WHERE value = ?", (b"\xff\x00 garbage",)).fetchone() == (
            2,
        )
    return f"{letter['error']}: {letter['message']}", "a dead letter with the original bytes; the next event is handled"


@case
def a_corrupt_file(shell: Shell) -> Seen:
    """A damaged bus file."""
    shell.order(1)
    data = shell.path.read_bytes()
    damaged = data[:4096] + b"\x5a" * (len(data) - 4096)
    shell.path.write_bytes(damaged)
    said = shell("runs", "list", code=1).err
    assert shell.path.read_bytes() == damaged  # a rescue finds what there was
    return said, "exit 1, the file is left as it is"


@case
def a_text_file(shell: Shell) -> Seen:
    """Another file in the place of the bus."""
    shell.path.write_text("a letter to somebody\n")
    said = shell("publish", "Order", "--json-data", '{"n": 1}', code=1).err
    assert shell.path.read_text() == "a letter to somebody\n"
    return said, "exit 1, the file is left as it is"


@case
def a_locked_file(shell: Shell) -> Seen:
    """A bus file that another program has locked."""
    shell.order(1)
    with patch("stepwire_handlers.cli.target.PATIENCE", 0.2), closing(sqlite3.connect(shell.path)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        said = shell("publish", "Order", "--json-data", '{"n": 2}', code=1).err
        holder.rollback()
    assert events(shell) == 1
    return said, "exit 1, nothing was published; what lay there is there"


@contextmanager
def small_disk() -> Iterator[None]:
    """A disk that is full once the next page is written; SQLite itself says so."""
    connect = sqlite3.connect

    def full(*arguments: Any, **more: Any) -> sqlite3.Connection:
        found = connect(*arguments, **more)
        (pages,) = found.execute("PRAGMA page_count").fetchone()
        found.execute(f"PRAGMA max_page_count={pages}")
        return found

    with patch("sqlite3.connect", full):
        yield


@case
def a_full_disk(shell: Shell) -> Seen:
    """A full disk, at a publish."""
    shell.order(1)
    with small_disk():
        said = shell("publish", "Wish", "--json-data", json.dumps({"what": "x" * 100_000}), code=1).err
    assert events(shell) == 1
    return said, "exit 1, nothing was published; what lay there is there"


@case
def a_full_disk_under_a_worker(shell: Shell) -> Seen:
    """A full disk, under a worker."""
    for _ in range(40):
        shell.order(1)

    async def run() -> str:
        from market import app  # type: ignore[import-not-found]  # as the commands import it

        bus = LocalBus(str(shell.path))
        await bus.open()
        worker = Worker(app, bus)
        await worker.start()
        (pages,) = bus.store.db.execute("PRAGMA page_count").fetchone()
        bus.store.db.execute(f"PRAGMA max_page_count={pages}")
        while not (said := [d.committer.trouble for d in worker.dispatchers if d.committer.trouble]):
            await asyncio.sleep(0.01)
        bus.store.db.execute("PRAGMA max_page_count=1073741823")  # somebody made room
        await worker.settle()
        await worker.stop()
        await bus.close()
        return said[0]

    said = asyncio.run(run())
    states = {run["state"] for run in shell("runs", "list", "--limit", "50", "--json").data}
    assert states == {"completed"}
    return said, "the worker waits, says so in the log and in `/readyz`, and completes every run once there is room"


@case
def no_module(shell: Shell) -> Seen:
    """An app that is not there."""
    return refused(shell, "Order", "--app", "nowhere:app")


@case
def kafka(shell: Shell) -> Seen:
    """Brokers without a port."""
    return refused(shell, "Order", "--json-data", '{"n": 1}', "--bus", "kafka://broker")


@case
def a_setting(shell: Shell) -> Seen:
    """A misspelt setting."""
    with patch.dict("os.environ", {"STEPWIRE_PAYLAOD": "off"}):
        return refused(shell, "Order", "--json-data", '{"n": 1}')


@case
def a_port_that_is_taken(shell: Shell) -> Seen:
    """A port for /metrics that is taken."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        said = shell("run", APP, "--http-port", str(taken.getsockname()[1]), code=2).err
    return said.splitlines()[-1], "exit 2 before anything is consumed"


# -- a run


def failed(step: Any, resource: Any, mend: bool = False) -> Seen:
    """A run that fails: its event lies whole in the dead letter, and a replay completes it once the cause is mended."""

    async def run() -> str:
        async with await App("failures", [step], [resource]).run(Ask()) as run:
            await run.advance(3_600)
            (dead,) = run.dead_letters
            assert json.loads(dead.record.value) == {"text": "keep me"}
            if mend:
                await run.replay(dead)
                assert run.result == Answer(text="fine")
            return f"{dead.error}: {dead.message}"

    return asyncio.run(run()), "a dead letter with the whole event" + ("; its replay completes the run" if mend else "")


def asked(shell: Shell, *replies: Reply) -> Seen:
    """A step that asks a provider that answers so, and well at last."""
    (shell.folder / "ask.md").write_text("Read this.\n\n{{text}}\n")

    @handler()
    async def step(ask: Ask, llm: Claude) -> Answer:
        return Answer(text=(await llm(Fields, "ask.md", text=ask.text)).text)

    with messages_server(*replies, says(GOOD)) as server:
        llm = Claude(["small"], api_key="sk-not-a-real-key-0123456789", base_url=server.url, prompts=shell.folder)
        return failed(step, llm, mend=True)


@case
def an_invalid_key(shell: Shell) -> Seen:
    """An invalid key."""
    return asked(shell, fails(401, "authentication_error", "invalid x-api-key"))


@case
def garbage_of_a_provider(shell: Shell) -> Seen:
    """A provider that answers something else than was asked for, twice."""
    return asked(shell, says("banana"), says('{"txet": 3}'))


@case
def a_server_that_is_no_provider(shell: Shell) -> Seen:
    """An address that is no provider's."""
    return asked(shell, Reply(200, b"<html>hello</html>", {"content-type": "text/html"}))


@handler()
async def look_up(ask: Ask, query: Annotated[Tool[dict[str, Any], Rows], "postgres.query"]) -> Answer:
    return Answer(text=str((await query(sql="SELECT $1", params=[ask.text])).rows))


@case
def a_missing_mcp_server(shell: Shell) -> Seen:
    """An MCP server that is not there."""
    return failed(look_up, Tools({"postgres": {"command": "/nonexistent/server"}}))


@case
def a_dead_database(shell: Shell) -> Seen:
    """A database that is down."""
    url = "postgresql://nobody@127.0.0.1:9/none"
    return failed(look_up, Tools({"postgres": own("postgres", DATABASE_URL=url)}))


# -- the page


def told(name: str, folder: Path) -> Seen:
    """The case, as it stands on the page: without what differs from run to run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(HERE)
        patched.setattr(sys, "path", [str(HERE), *sys.path])
        shell = Shell(folder)
        for variable, value in shell.environment.items():
            if variable.startswith("STEPWIRE_"):
                patched.setenv(variable, value)
        said, kept = CASES[name](shell)
    said = said.strip().replace(str(folder), "…").replace(str(HERE), "…").replace("\n", " ")
    return re.sub(r"127\.0\.0\.1:\d{2,}", "127.0.0.1:PORT", said), kept


def title(name: str) -> str:
    return (CASES[name].__doc__ or "").rstrip(".")


def row(name: str, seen: Seen) -> str:
    said = seen[0].replace("|", "\\|")
    return f"| {title(name)} | {said} | {seen[1]} |"


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_said_clearly_and_nothing_is_lost(name: str, tmp_path: Path) -> None:
    """The message of docs/failures.md is the one that a person sees; write it anew with `make docs`."""
    seen = told(name, tmp_path)
    assert "Traceback" not in seen[0] and len(seen[0]) > 20
    assert row(name, seen) in PAGE.read_text().splitlines()


def test_the_page_has_these_rows_and_no_others() -> None:
    """A case that is gone leaves the page too."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0] for line in rows] == [f"| {title(name)}" for name in CASES]


def page() -> str:
    """The table of all cases."""
    lines = [
        "# Failures", "",
        "What you see when something is wrong, and what becomes of the event. Made by",
        "`tests/failures/test_failures.py`, which lets each of them happen; wrong wirings: [refusals.md](refusals.md).",
        "",
        "| what is wrong | what you see | what became of it |", "|---|---|---|",
    ]  # fmt: skip
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(row(name, told(name, Path(folder))))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())

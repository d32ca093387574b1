"""Servers as processes, with the SDK's own client: both transports, a kill, a stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters
from tests.door.doors import ROOT
from tests.flow_tools.servers import Servers, asking

from stepwire.bus.local import LocalBus
from stepwire_handlers.services.door.access import new_key
from stepwire_handlers.services.history import History

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]


async def stored(path: Path, runs: list[str]) -> dict[str, int]:
    """How many events of a run there are, on the file itself."""
    bus = LocalBus(str(path))
    await bus.open()
    try:
        return {run: len(History(bus.store).of_run(run)) for run in runs}
    finally:
        await bus.close()


async def test_a_flow_is_a_tool_over_stdio(servers: Servers) -> None:
    """A client starts the server, a worker does the work: progress, result, gate, error; stdin's end ends it."""
    servers.worker()
    told: list[str] = []

    async def progress(_: float, __: float | None, message: str | None) -> None:
        told.append(message or "")

    async with servers.stdio("--wait", "30") as client:
        assert {"till_Order", "files_Scan"} <= {tool.name for tool in (await client.list_tools()).tools}
        done = await client.call_tool("till_Order", {"n": 3}, progress_callback=progress)
        gate = await client.call_tool("till_Order", {"n": 300})
        failed = await client.call_tool("till_Order", {"n": -3})
    assert (done.structured_content["result"]["n"], len(told)) == (3, 3)
    assert (gate.structured_content["state"], failed.is_error) == ("waiting", True)


async def test_the_page_s_client_reaches_a_project_from_its_own_folder(tmp_path: Path) -> None:
    """What docs/mcp.md says to write into a client, which starts the server in / and with an environment of its own."""
    (block,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "mcp.md").read_text("utf-8"), re.DOTALL)
    (told,) = json.loads(block)["mcpServers"].values()
    assert told.keys() == {"command", "args"} and told["command"].endswith(".venv/bin/stepwire")
    (tmp_path / "support").mkdir()
    (tmp_path / "support" / "app.py").write_text(
        "from stepwire import App, Event, handler\n"
        "class Asked(Event, topic='support.asked'): ...\n"
        "@handler()\nasync def answer(asked: Asked) -> None: ...\n"
        "app = App('support', [answer])\n"
    )
    (tmp_path / "stepwire.toml").write_text('bus = "sqlite:///here.db"\n')
    arguments = [word.replace("/srv/support", str(tmp_path)) for word in told["args"]]
    program = Path(sys.executable).with_name("stepwire")
    async with Client(StdioServerParameters(command=str(program), args=arguments, env={}, cwd="/")) as client:
        assert "support_Asked" in {tool.name for tool in (await client.list_tools()).tools}
    assert (tmp_path / "here.db").exists()


HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}


def test_a_signal_ends_a_server_whose_client_is_silent(servers: Servers) -> None:
    """Garbage on stdin is passed over; SIGTERM answers the call that waits, and ends the process with 0."""
    process = servers.begin("mcp", "tests.flow_tools.shop:APP", "--wait", "60", pipes=True)
    assert process.stdin is not None and process.stdout is not None

    def say(text: str) -> None:
        process.stdin.write(text + "\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]

    say("garbage")
    say("[]")
    say(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}))
    assert json.loads(process.stdout.readline())["id"] == 1
    say(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
    params = {"name": "till_Order", "arguments": {"n": 1}, "_meta": {"progressToken": 1}}
    say(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}))
    assert json.loads(process.stdout.readline())["method"] == "notifications/progress"
    process.send_signal(signal.SIGTERM)
    answer = json.loads(process.stdout.readline())
    assert (answer["id"], answer["result"]["structuredContent"]["state"]) == (2, "running")
    assert process.wait(20) == 0


async def test_a_flow_is_a_tool_over_http(servers: Servers, tmp_path: Path) -> None:
    """With a key; several calls at once, each with its own result; SIGTERM answers who waits and ends with 0."""
    key, hash_ = new_key()
    access = tmp_path / "access.toml"
    access.write_text(f'[[keys]]\nname = "crm"\nhash = "{hash_}"\nroles = {{ "*" = ["operator"] }}\n')
    servers.worker()
    process, url = servers.http("--access", str(access), "--wait", "30")
    with pytest.raises(BaseExceptionGroup):
        async with asking(url) as client:
            await client.list_tools()
    async with asking(url, **{"x-api-key": key}) as client:
        calls = [client.call_tool("till_Order", {"n": n}) for n in range(10)]
        assert [one.structured_content["result"]["n"] for one in await asyncio.gather(*calls)] == [*range(10)]
        written = asyncio.Event()

        async def progress(_: float, __: float | None, ___: str | None) -> None:
            written.set()

        call = client.call_tool("till_Order", {"n": 1, "slow": 5}, progress_callback=progress)
        waiting = asyncio.create_task(call)
        await written.wait()
        process.send_signal(signal.SIGTERM)
        found = await waiting
        assert found.structured_content["state"] == "running"
    assert await asyncio.to_thread(process.wait, 20) == 0


async def test_a_killed_server_loses_nothing_that_it_told(servers: Servers, tmp_path: Path) -> None:
    """Every run that was answered or told as progress is on the bus; a repeat at the next server finds it."""
    process, url = servers.http("--insecure", "--wait", "0.2", apps=("tests.flow_tools.shop:APP",))
    known: dict[str, str] = {}

    async def ask(client: Any, key: str) -> None:
        async def progress(_: float, __: float | None, message: str | None) -> None:
            if message and "(run " in message:
                known[key] = message.partition("(run ")[2].rstrip(")")
                if len(known) == 30:
                    process.kill()

        with contextlib.suppress(MCPError):
            await client.call_tool("till_Order", {"n": 1, "idempotency_key": key}, 20, progress)

    with contextlib.suppress(BaseExceptionGroup):
        async with asking(url) as client, asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(ask(client, f"k{number}"))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(known) >= 30
    counts = await stored(tmp_path / "bus.db", [*known.values()])
    assert set(counts.values()) == {1}
    _, url = servers.http("--insecure", "--wait", "0", apps=("tests.flow_tools.shop:APP",))
    async with asking(url) as client:
        for key, run in known.items():
            found = await client.call_tool("till_Order", {"n": 1, "idempotency_key": key})
            assert (found.structured_content["run"], found.structured_content["repeated"]) == (run, True)
    assert await stored(tmp_path / "bus.db", [*known.values()]) == counts

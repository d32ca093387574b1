"""Calls that wait: each caller has a share of them, and gives it back with the call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.flow_tools.test_entrance import KEY, KEYS, OTHER, PLAIN, call, post, served

from stepwire_handlers.services.door.access import Access
from stepwire_handlers.services.door.limits import Shares

pytestmark = pytest.mark.anyio
MODERN = "2026-07-28"


async def test_one_caller_s_waiting_calls_leave_room_for_another_s(tmp_path: Path) -> None:
    """Beyond its share a caller is answered at once, where the run is; another one's call still waits for its run."""
    shares = Shares(3, 2)
    async with served(tmp_path, Access(keys=KEYS), 60.0, shares) as client:
        many = [asyncio.create_task(post(client, call("till_Order", n=1), x_api_key=KEY)) for _ in range(5)]
        while sum(each.done() for each in many) < 3:
            await asyncio.sleep(0.01)
        one = asyncio.create_task(post(client, call("till_Order", n=1), x_api_key=OTHER))
        while shares.open < 3:
            await asyncio.sleep(0.01)
            assert not one.done()
        answers = [each.result().text for each in many if each.done()]
        assert len(answers) == 3 and all("goes on by itself" in said for said in answers)
        for each in (*many, one):
            each.cancel()
        await asyncio.gather(*many, one, return_exceptions=True)
        assert shares.open == 0


@pytest.mark.parametrize("version", ["", "2025-11-25", MODERN])
async def test_a_client_that_goes_away_gives_its_share_back(tmp_path: Path, version: str) -> None:
    """At once, not when the call's time is up, whatever the protocol's version."""
    shares = Shares(3, 2)
    async with served(tmp_path, Access(keys=KEYS), 600.0, shares) as client:
        request = _request(client, version)
        bodies, gone = [request.content], asyncio.Event()

        async def receive() -> dict[str, Any]:
            if bodies:
                return {"type": "http.request", "body": bodies.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(_: Any) -> None:
            """Nobody listens."""

        scope = {
            "type": "http", "method": "POST", "path": "/mcp", "query_string": b"", "http_version": "1.1",
            "headers": [(name.lower(), value) for name, value in request.headers.raw], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        transport: Any = client._transport
        asking = asyncio.create_task(transport.app(scope, receive, send))
        while shares.open < 1:
            await asyncio.sleep(0.01)
            assert not asking.done()
        gone.set()
        async with asyncio.timeout(20):
            await asking
            while shares.open:
                await asyncio.sleep(0.01)


def _request(client: httpx2.AsyncClient, version: str) -> httpx2.Request:
    body, headers = call("till_Order", n=1), {**PLAIN, "x-api-key": KEY}
    if version:
        headers["mcp-protocol-version"] = version
    if version == MODERN:
        headers |= {"mcp-method": "tools/call", "mcp-name": "till_Order"}
        told = {"protocolVersion": version, "clientInfo": {"name": "x", "version": "1"}, "clientCapabilities": {}}
        body["params"]["_meta"] = {f"io.modelcontextprotocol/{name}": value for name, value in told.items()}
    return client.build_request("POST", "/mcp", json=body, headers=headers)


async def test_no_stream_is_opened_on_which_nothing_would_come(tmp_path: Path) -> None:
    """A GET is 405, as the protocol has it for a server that tells nothing of its own; a key is asked for before."""
    async with served(tmp_path, Access(keys=KEYS)) as client, asyncio.timeout(20):
        assert (await client.get("/mcp", headers=PLAIN)).status_code == 401
        for version in ({}, {"mcp-protocol-version": "2025-11-25"}):
            answer = await client.get("/mcp", headers={**PLAIN, "x-api-key": KEY, **version})
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

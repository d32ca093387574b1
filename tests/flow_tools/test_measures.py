"""What an MCP server tells Prometheus: what it counts itself, and nothing in a door's name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
from mcp import Client
from tests.door.shop import FILES
from tests.flow_tools.shop import APP

from stepwire.bus.local import LocalBus
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.tools.calls import Calls
from stepwire_handlers.services.tools.process import LOCAL, inner
from stepwire_handlers.telemetry import door as of_door
from stepwire_handlers.telemetry import runs as of_runs
from stepwire_handlers.telemetry import tools as of_tools


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[Client, httpx2.AsyncClient]]:
    """A client of a server in this process, and who scrapes it."""
    bus = LocalBus(str(folder / "bus.db"))
    values = Configuration(bus=f"sqlite:///{folder / 'bus.db'}", blobs=str(folder / "blobs"), log="json")
    async with AsyncExitStack() as stack:
        await bus.open()
        stack.push_async_callback(bus.close)
        door = door_of(values, await places_of(stack, [(APP, bus), (FILES, bus)]), None, 64 * 1024)
        await stack.enter_async_context(door.blobs)
        calls = Calls(door, 0.0, "", LOCAL)
        client = await stack.enter_async_context(Client(calls.server()))
        transport = httpx2.ASGITransport(inner(door, calls.measures))
        scraper = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://inner"))
        yield client, scraper


async def test_a_server_is_no_door(tmp_path: Path) -> None:
    """Its events are counted from 0, repeated ones apart; every name is one of its own, on the page of metrics."""
    async with watched(tmp_path) as (client, scraper):
        before = (await scraper.get("/metrics")).text
        assert 'stepwire_mcp_events_total{app="till",outcome="published"} 0.0' in before
        for _ in range(2):
            await client.call_tool("till_Order", {"n": 1, "idempotency_key": "one"})
        text = (await scraper.get("/metrics")).text
        assert (await scraper.get("/livez")).status_code == (await scraper.get("/readyz")).status_code == 200
    assert 'stepwire_mcp_events_total{app="till",outcome="published"} 1.0' in text
    assert 'stepwire_mcp_events_total{app="till",outcome="repeated"} 1.0' in text
    assert re.search(r'^stepwire_mcp_build_info\{version="[^"]+"\} 1\.0$', text, re.MULTILINE)
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names == {"stepwire_mcp_events_total", "stepwire_mcp_build_info"}
    others = {family.name for family in (*of_door.FAMILIES, *of_runs.FAMILIES)}
    assert not others & {family.name for family in of_tools.FAMILIES}

"""A door on a bus of its own, asked over ASGI in this process; and doors in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.door.doors import Doors, Inside
from tests.door.shop import APP, ASKING, FILES

from stepwire.bus.local import LocalBus
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.access import Access
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.telemetry.publishing import Publishing

MOST = 64 * 1024


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., object]:
    """Opens a door in this process, with a worker's view of the same file."""

    @asynccontextmanager
    async def open_(
        access: Access | None = None, tracer: Publishing | None = None, most: int = MOST, **settings: object
    ) -> AsyncIterator[Inside]:
        path = tmp_path / "bus.db"
        told = {"bus": f"sqlite:///{path}", "blobs": str(tmp_path / "blobs"), "log": "json"} | settings
        values = Configuration(**told)  # type: ignore[arg-type]
        async with AsyncExitStack() as stack:
            bus, other = LocalBus(str(path)), LocalBus(str(path))
            for each in (bus, other):
                await each.open()
                stack.push_async_callback(each.close)
            apps = [(app, bus) for app in (APP, FILES, ASKING)]
            door = door_of(values, await places_of(stack, apps, tracer), access, most, tracer)
            await stack.enter_async_context(door.blobs)
            transport = httpx2.ASGITransport(door.application(), raise_app_exceptions=False)
            client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://door"))
            yield Inside(door, client, other)
            await asyncio.sleep(0.001)  # the log writes once a turn

    return open_


@pytest.fixture
async def inside(opened: Callable[..., object]) -> AsyncIterator[Inside]:
    """A door that lets everybody in."""
    async with opened() as found:  # type: ignore[attr-defined]
        yield found


@pytest.fixture
def doors(tmp_path: Path) -> object:
    """Doors and workers in processes of their own, on one file."""
    found = Doors(tmp_path)
    yield found
    found.close()

"""Servers that end with the test; a server in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from tests.door.shop import FILES
from tests.flow_tools.servers import Servers
from tests.flow_tools.shop import APP

from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.tools.calls import Calls
from stepwire_handlers.services.tools.process import LOCAL


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path)
    yield found
    found.close()


@pytest.fixture
def inside(tmp_path: Path) -> Callable[..., Any]:
    """Opens a client of a server in this process; with `work`, a worker of the app runs beside it."""

    @asynccontextmanager
    async def open_(*, wait: float = 10.0, work: bool = True) -> AsyncIterator[Client]:
        path = tmp_path / "bus.db"
        values = Configuration(bus=f"sqlite:///{path}", blobs=str(tmp_path / "blobs"), log="json")
        async with AsyncExitStack() as stack:
            bus, other = LocalBus(str(path)), LocalBus(str(path))
            for each in (bus, other):
                await each.open()
                stack.push_async_callback(each.close)
            door = door_of(values, await places_of(stack, [(APP, bus), (FILES, bus)]), None, 64 * 1024)
            await stack.enter_async_context(door.blobs)
            if work:
                for app in (APP, FILES):
                    worker = Worker(app, other)
                    await worker.start()
                    stack.push_async_callback(worker.stop)
            server = Calls(door, wait, "https://door.example", LOCAL).server()
            yield await stack.enter_async_context(Client(server))

    return open_

"""A console on a bus of its own, asked over ASGI in this process, and a worker's view of the same file."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.console.office import OFFICE, Invoice

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.console.application import Console
from stepwire_handlers.services.console.process import console_of
from stepwire_handlers.services.door.access import Access, new_key
from stepwire_handlers.services.door.process import places_of
from stepwire_handlers.services.door.releases import watch_keys

KEYS = {name: new_key() for name in ("eye", "crm", "boss", "stranger", "feed")}
ROLES = {"eye": ["viewer"], "crm": ["operator"], "boss": ["approver", "operator"], "feed": ["publisher"]}
ACCESS = Access.model_validate({"keys": [
    *({"name": name, "hash": KEYS[name][1], "roles": {"office": roles}} for name, roles in ROLES.items()),
    {"name": "stranger", "hash": KEYS["stranger"][1], "roles": {"other": ["viewer", "approver", "operator"]}},
]})  # fmt: skip


class Desk:
    """A console, a browser without a screen, and the bus as a worker sees it."""

    def __init__(self, console: Console, client: httpx2.AsyncClient, bus: LocalBus) -> None:
        self.console, self.client, self.bus = console, client, bus

    async def publish(self, customer: str, amount: int, iban: str = "") -> str:
        """Put an invoice on the bus; its run."""
        event = Invoice(customer=customer, amount=amount, iban=iban)
        out, run = OFFICE.record(event, now=time.time())
        await self.bus.publish([out])
        return run

    async def work(self, key: str = "") -> None:
        """A worker that does what there is, and leaves; with a decision key it takes what is signed with it."""
        worker = Worker(OFFICE, self.bus, decision_key=key)
        await worker.start()
        await worker.settle()
        await worker.stop()

    async def login(self, name: str) -> None:
        """Log in with a key."""
        self.client.cookies.clear()
        answer = await self.post("/login", key=KEYS[name][0])
        assert answer.status_code == 303, answer.text

    async def get(self, path: str, status: int = 200) -> str:
        """A page's HTML."""
        answer = await self.client.get(path)
        assert answer.status_code == status, (answer.status_code, answer.headers, answer.text)
        return answer.text

    async def post(self, path: str, origin: str = "http://console", **fields: str) -> httpx2.Response:
        """Send a form, as a browser does."""
        return await self.client.post(path, data=fields, headers={"origin": origin})

    async def link(self, listing: str, prefix: str) -> str:
        """The one address on a page that begins so."""
        (found,) = set(re.findall(rf'href="({prefix}[^"]+)"', await self.get(listing)))
        return found


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., object]:
    """Opens a console in this process."""

    @asynccontextmanager
    async def open_(
        access: Access | None = ACCESS, base: str = "http://console", apps: Sequence[App] = (OFFICE,), **more: Any
    ) -> AsyncIterator[Desk]:
        path = tmp_path / "bus.db"
        values = Configuration(bus=f"sqlite:///{path}", blobs=str(tmp_path / "blobs"), log="json", **more)
        async with AsyncExitStack() as stack:
            bus, other = LocalBus(str(path)), LocalBus(str(path))
            for each in (bus, other):
                await each.open()
                stack.push_async_callback(each.close)
            places = await places_of(stack, [(app, bus) for app in apps])
            stack.callback(asyncio.create_task(watch_keys(places)).cancel)
            console = console_of(values, places, access, "console")
            transport = httpx2.ASGITransport(console.application(), raise_app_exceptions=False)
            client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=base))
            yield Desk(console, client, other)
            await asyncio.sleep(0.001)  # the log writes once a turn

    return open_

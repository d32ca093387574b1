"""Before the tools on HTTP: no key, no entry; no rebound name, no page of somebody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.door.shop import FILES
from tests.flow_tools.shop import APP

from stepwire.bus.local import LocalBus
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.access import Access, Key, new_key
from stepwire_handlers.services.door.limits import Shares
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.tools.calls import Calls
from stepwire_handlers.services.tools.process import application_of

pytestmark = pytest.mark.anyio
PLAIN = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
KEY, HASH = new_key()
VIEWER, VIEWERS = new_key()
OTHER, OTHERS = new_key()
LIST: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {**LIST, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


KEYS = (
    Key(name="crm", hash=HASH, roles={"till": frozenset({"operator"})}),
    Key(name="guest", hash=VIEWERS, roles={"*": frozenset({"viewer"})}),
    Key(name="slow", hash=OTHERS, roles={"*": frozenset({"operator"})}, rate=1.0),
)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody on this machine, to a server that is also called tools.example.org."""
    async with served(tmp_path, Access(keys=KEYS)) as found:
        yield found


@asynccontextmanager
async def served(
    folder: Path, access: Access, wait: float = 0.0, shares: Shares | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A server in this process, behind its entrance; calls wait so long, so many at once."""
    path = folder / "bus.db"
    values = Configuration(bus=f"sqlite:///{path}", blobs=str(folder / "blobs"), log="json")
    async with AsyncExitStack() as stack:
        bus = LocalBus(str(path))
        await bus.open()
        stack.push_async_callback(bus.close)
        door = door_of(values, await places_of(stack, [(APP, bus), (FILES, bus)]), access, 64 * 1024)
        await stack.enter_async_context(door.blobs)
        door.rest.shares = shares or door.rest.shares
        server = Calls(door, wait, "", None).server()
        application = application_of(server, door, ["tools.example.org"], 64 * 1024)
        await stack.enter_async_context(server.session_manager.run())
        transport = httpx2.ASGITransport(application)
        yield await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8090"))


async def post(client: httpx2.AsyncClient, body: Mapping[str, Any], **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/mcp", json=body, headers={**PLAIN, **named})


async def test_without_a_key_nobody_comes_in(client: httpx2.AsyncClient) -> None:
    """401 with a challenge for no key or a wrong one, whatever is asked for; a bearer key is as good as a header."""
    for headers in ({}, {"x_api_key": "sw_wrong"}, {"authorization": "Bearer sw_wrong"}, {"authorization": "Basic x"}):
        for body in (LIST, call("till_Order", n=1)):
            answer = await post(client, body, **headers)
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
            assert "Bearer" in answer.headers["www-authenticate"]
    assert (await client.get("/mcp", headers=PLAIN)).status_code == 401
    assert (await client.delete("/mcp")).status_code == 401
    for headers in ({"x_api_key": KEY}, {"authorization": f"Bearer {KEY}"}):
        assert (await post(client, LIST, **headers)).status_code == 200


async def test_a_caller_sees_and_calls_what_their_roles_allow(client: httpx2.AsyncClient) -> None:
    """Tools of apps where they are no operator are neither listed nor begun; a foreign run is none."""
    mine = (await post(client, LIST, x_api_key=KEY)).text
    assert "till_Order" in mine and "files_Scan" not in mine
    guests = (await post(client, LIST, x_api_key=VIEWER)).text
    assert "stepwire_run" in guests and "till_Order" not in guests
    for key, name in ((KEY, "files_Scan"), (VIEWER, "till_Order")):
        said = (await post(client, call(name, n=1), x_api_key=key)).text
        assert '"isError":true' in said and "is no operator of" in said
    assert '"isError":false' in (await post(client, call("till_Order", n=1), x_api_key=KEY)).text


async def test_a_rebound_name_or_a_foreign_page_is_refused(client: httpx2.AsyncClient) -> None:
    """A browser that was led to this address sends its own Host or Origin: refused before anything else, key or not."""
    for host, origin, status in (
        ("127.0.0.1:8090", None, 200), ("localhost:8090", "http://localhost:3000", 200),
        ("tools.example.org", "https://tools.example.org", 200), ("evil.example", None, 421),
        ("127.0.0.1.evil.example:8090", None, 421), ("tools.example.org.evil", None, 421),
        ("localhost:8090", "https://evil.example", 403), ("localhost:8090", "null", 403),
        ("localhost:8090", "http://localhost.evil.example", 403),
    ):  # fmt: skip
        headers = {"host": host, "x_api_key": KEY, **({"origin": origin} if origin else {})}
        assert (await post(client, LIST, **headers)).status_code == status, (host, origin)


async def test_too_many_requests_are_told_when_to_come_again(client: httpx2.AsyncClient) -> None:
    """The door's limits, for each caller."""
    answers = [await post(client, LIST, x_api_key=OTHER) for _ in range(4)]
    assert [answer.status_code for answer in answers][:2] == [200, 200]
    assert (answers[-1].status_code, "retry-after" in answers[-1].headers) == (429, True)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"jsonrpc":"2.0"}', b'{"jsonrpc":"1.0","id":1,"method":"x"}',
             b"[" * 100_000, b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}',
             b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"till_Order","arguments":[]}}'],
)  # fmt: skip
async def test_what_is_no_request_is_refused(client: httpx2.AsyncClient, body: bytes) -> None:
    """A client's mistake is told as one, never an error of ours."""
    answer = await client.post("/mcp", content=body, headers={**PLAIN, "x-api-key": KEY})
    assert answer.status_code < 500
    assert "Traceback" not in answer.text
    assert answer.status_code >= 400 or '"error"' in answer.text


async def test_a_body_above_the_limit_is_not_read(client: httpx2.AsyncClient) -> None:
    """413."""
    answer = await client.post("/mcp", content=b"x" * 5_000_000, headers={**PLAIN, "x-api-key": KEY})
    assert answer.status_code == 413

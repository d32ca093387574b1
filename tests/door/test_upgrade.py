"""A client that offers HTTP/2 with its first request, the body right behind: Java's own does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from stepwire_handlers.services.health import listen, serving

OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)
HEAD = b"POST /apps/shop/Order HTTP/1.1\r\nHost: door\r\nContent-Type: application/json\r\n"
CHUNKED = b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"n": 8}\r\n0\r\n\r\n'


async def _answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """The status and the JSON of the next answer on a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


@pytest.mark.parametrize("parts", [[b'{"n": 7}'], [b'{"n"', b": 7}"]], ids=["with its head", "in two pieces"])
async def test_an_offer_to_upgrade_costs_no_body(opened: Callable[..., Any], parts: list[bytes]) -> None:
    """The door does not take the offer, reads the whole body, and the connection goes on with the next request."""
    listening = listen("127.0.0.1", 0)
    async with opened() as inside, asyncio.timeout(10):
        with listening:
            async with serving(inside.door.application(), listening):
                reader, writer = await asyncio.open_connection(*listening.getsockname())
                try:
                    writer.write(HEAD + OFFER + b"Content-Length: 8\r\n\r\n" + parts[0])
                    for more in parts[1:]:
                        await writer.drain()
                        writer.write(more)
                    status, told = await _answer(reader)
                    assert status == 202, told
                    writer.write(HEAD + OFFER + CHUNKED)
                    status, other = await _answer(reader)
                    assert (status, other["run"] != told["run"]) == (202, True), other
                finally:
                    writer.close()
                    await writer.wait_closed()

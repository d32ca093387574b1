"""Connections that keep a server waiting for a request's head are closed; slow answers and slow bodies are not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stepwire_handlers.services import patience
from stepwire_handlers.services.health import serving

HEAD = 0.2
WHOLE = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\nok"


async def echo(request: Request) -> PlainTextResponse:
    """Answers its body, later than anybody may keep us waiting for a head."""
    body = await request.body()
    await asyncio.sleep(2 * HEAD)
    return PlainTextResponse(body)


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Of a server that waits a fifth of a second for a head."""
    monkeypatch.setattr(patience, "HEAD", HEAD)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        async with serving(Starlette(routes=[Route("/", echo, methods=["POST"])]), listening):
            yield listening.getsockname()[1]


async def connected(port: int, first: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose first bytes are there before the server's clock begins: no busy machine can be late."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(first)
    return await asyncio.open_connection(sock=client)


@pytest.mark.parametrize("begun", [b"", b"POST / HT", WHOLE[:-6]])
async def test_a_head_that_is_not_whole_in_time_ends_its_connection(port: int, begun: bytes) -> None:
    """Also of the second request of a connection, whose first one was answered."""
    reader, writer = await connected(port, WHOLE if begun else b"")
    async with asyncio.timeout(20):
        if begun:
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(begun)
        assert await reader.read() == b""
    writer.close()


async def test_a_slow_body_and_a_slow_answer_are_waited_for(port: int) -> None:
    """Only the head is in a hurry."""
    reader, writer = await connected(port, WHOLE[:-2])
    async with asyncio.timeout(20):
        for letter in b"ok":
            await asyncio.sleep(2 * HEAD)
            writer.write(bytes([letter]))
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    writer.close()

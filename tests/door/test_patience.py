"""Connections that keep a server waiting for a head, or send on after their answer, are closed; slow ones are not."""

from __future__ import annotations

import asyncio
import contextlib
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


async def refuse(_: Request) -> PlainTextResponse:
    """Answers without a look at the body."""
    return PlainTextResponse("no", 401)


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Of a server that waits a fifth of a second for a head."""
    monkeypatch.setattr(patience, "HEAD", HEAD)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        async with serving(
            Starlette(routes=[Route("/", echo, methods=["POST"]), Route("/no", refuse, methods=["POST"])]), listening
        ):
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


REFUSED = b"POST /no HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"


async def _sends(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Until the other side has closed."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(HEAD / 10 if len(piece) < 10 else 0)


@pytest.mark.parametrize(
    ("limit", "value", "piece"),
    [("REST", HEAD, b"1\r\nx\r\n"), ("MOST", 500_000, b"4000\r\n" + 0x4000 * b"x" + b"\r\n")],
)
async def test_a_body_that_goes_on_after_its_answer_has_an_end(
    port: int, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, piece: bytes
) -> None:
    """Slow or large: whoever was refused, without a key too, holds no connection with a body that nobody reads."""
    monkeypatch.setattr(patience, limit, value)
    reader, writer = await connected(port, REFUSED + piece)
    sending = asyncio.create_task(_sends(writer, piece))
    async with asyncio.timeout(20):
        assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 401")
        await sending
    writer.close()


async def test_who_sends_the_whole_body_before_reading_goes_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is there still, and the connection takes the next request, however long that one takes."""
    monkeypatch.setattr(patience, "REST", 10 * HEAD)
    reader, writer = await connected(port, REFUSED)
    async with asyncio.timeout(20):
        assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 401")
        writer.write(b"1\r\nx\r\n0\r\n\r\n" + WHOLE)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(10 * HEAD)
        writer.write(WHOLE)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    writer.close()

"""The network between one worker and the brokers, which can be cut: a relay for each broker.

In: the brokers' ports. Out: a port for each, to be used in its place. Promise: what is cut is silent, as a broken
network is: connections stay open, new ones hang, and what was on its way arrives late once the network is mended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import Self

PAGE = 1 << 16  #: bytes
LONGEST = 5.0  #: seconds that a broker may take to accept


class Relay:
    """Passes bytes on, on 127.0.0.1 only."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._brokers = list(ports)
        self._whole = asyncio.Event()
        self._whole.set()
        self._servers: list[asyncio.Server] = []
        self._lines: set[asyncio.Task[None]] = set()
        self.detour: dict[int, int] = {}  #: from a broker's port to the relay's
        self.held = 0  #: how often something had to wait because of a cut

    def cut(self) -> None:
        """Nothing passes any more."""
        self._whole.clear()

    def mend(self) -> None:
        """All that waited passes, and what comes."""
        self._whole.set()

    async def __aenter__(self) -> Self:
        for broker in self._brokers:

            async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = broker) -> None:
                line = asyncio.ensure_future(self._line(reader, writer, port))
                self._lines.add(line)
                line.add_done_callback(self._lines.discard)

            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            self._servers.append(server)
            self.detour[broker] = server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        """One connection, both ways, until either side closes it."""
        with contextlib.closing(writer):
            await self._whole.wait()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(LONGEST):
                    there, back = await asyncio.open_connection("127.0.0.1", port)
                with contextlib.closing(back):
                    ways = [
                        asyncio.ensure_future(self._pass(reader, back)),
                        asyncio.ensure_future(self._pass(there, writer)),
                    ]
                    try:
                        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for way in ways:
                            way.cancel()
                        await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PAGE):
            self.held += not self._whole.is_set()
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
        await self._whole.wait()  # that it was closed is news too

"""HTTP connections that must say what they want in time: each keeps one of the process's files.

In: bytes. Out: uvicorn's own protocol, and one thing more: a connection on which the head of a request is not whole
`HEAD` seconds after it was made, or after the first byte of the next request, is closed without an answer. How long a
body may take is the application's business, until it has answered: what comes of the body then is thrown away, and not
for longer than `REST` seconds, nor more of it than `MOST`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 20.0  #: seconds; a phone that loses packets needs few, and a proxy before us none
REST = 20.0  #: seconds for the rest of a body whose request is answered: most clients read only when they have sent it
MOST = 256 * 1024 * 1024  #: bytes of such a rest


class PatientProtocol(H11Protocol):
    """Closes connections that keep us waiting for a head."""

    _timer: asyncio.TimerHandle | None = None
    _ending: asyncio.TimerHandle | None = None  #: a body goes on to come after its answer
    _left = 0  #: bytes that it may bring still

    def connection_made(self, transport: Any) -> None:
        """Its first request is waited for."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD, self._closed)

    def data_received(self, data: bytes) -> None:
        """A head that is whole ends the wait; the first piece of the next one begins another."""
        super().data_received(data)
        if self._ending is not None:
            self._left -= len(data)
            if self.conn.their_state is not h11.SEND_BODY:
                self._whole()
            elif self._left < 0:
                self.transport.close()
        if self.conn.their_state is not h11.IDLE:
            self._rest()
        elif self._timer is None and self.conn.trailing_data[0]:
            self._timer = self.loop.call_later(HEAD, self._closed)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for."""
        self._rest()
        self._whole()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Nobody reads the rest of the body: without an end it would hold the connection, and our one thread."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._left = MOST
            self._ending = self.loop.call_later(REST, self.transport.close)

    def _whole(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _closed(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()

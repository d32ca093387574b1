"""A Messages API that says what a test tells it to, one reply for each request, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What is sent back for one request."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


def says(text: str, stop_reason: str = "end_turn", *, model: str | None = None, **usage: Any) -> Reply:
    """An answer; `model` is by default the one that was asked."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model or "ASKED",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 1000, "output_tokens": 100, **usage},
    }
    return Reply(200, json.dumps(body).encode())


def fails(status: int, kind: str, message: str = "no", *, code: str | None = None, **headers: str) -> Reply:
    """An error in the API's shape; `retry_after="7"` becomes the header retry-after."""
    details = {"details": {"error_code": code}} if code else {}
    body = {"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_1"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(body).encode(), {"request-id": "req_1", **named})


def hangs() -> Reply:
    """No answer until the server closes."""
    return Reply(200, b"", hangs=True)


def breaks_off(kind: str) -> Reply:
    """A stream that begins well and ends in an error."""
    start = json.loads(says("").body) | {"content": [], "model": "m", "stop_reason": None}
    events = [
        ("message_start", {"type": "message_start", "message": start}),
        ("error", {"type": "error", "error": {"type": kind, "message": "no"}}),
    ]
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return Reply(200, text.encode(), {"content-type": "text/event-stream"})


class MessagesServer:
    """The running server: its address, and what it was asked."""

    def __init__(self, replies: tuple[Reply, ...]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.closing = threading.Event()
        self._replies = iter(replies)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @property
    def models(self) -> list[str]:
        """Which model each request asked."""
        return [request["model"] for request in self.requests]

    def run(self) -> None:
        self._http.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def next_reply(self) -> Reply:
        return next(self._replies, fails(400, "invalid_request_error", "the script of this test is over"))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.requests.append(request)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                reply = server.next_reply()
                if reply.hangs:
                    server.closing.wait(10)
                    return
                body = reply.body.replace(b'"ASKED"', json.dumps(request["model"]).encode())
                self.send_response(reply.status)
                usual = {"content-type": "application/json", "content-length": str(len(body))}
                for name, value in {**usual, **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
                """Say nothing."""

        return Handler


@contextmanager
def messages_server(*replies: Reply) -> Iterator[MessagesServer]:
    """A server with this script, for the length of a test."""
    server = MessagesServer(replies)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()

"""The Slack Web API, stood in for: `chat.postMessage` and `auth.test`, as far as a bot that posts needs them.

In: requests as Slack takes them, JSON or form.  Out: answers in Slack's shape, and each message as a
Markdown file.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stepwire_handlers.standins.faults import Fault, Faults
from stepwire_handlers.standins.kept import Kept

_CHANNEL = re.compile(r"#?[\w.-]+")


class SlackApi:
    """A workspace where every channel exists.

    Args:
        kept: where the messages go.
        token: the one token that is valid.
        faults: what to answer instead.
    """

    def __init__(self, kept: Kept, token: str, faults: Faults) -> None:
        self._kept = kept
        self._token, self._faults = token, faults

    def routes(self) -> list[Route]:
        """The paths of the API, and `/slack/messages`, which lists what was received."""
        return [
            Route("/api/{method}", self.call, methods=["POST"]),
            Route("/slack/messages", self.messages),
        ]

    async def call(self, request: Request) -> Response:
        """A method of the API."""
        return await self._faults.answer("slack", lambda: self._answer(request), _faulty)

    async def messages(self, _: Request) -> Response:
        """What was received, in order."""
        return JSONResponse([_read(number, path) for number, path in self._kept.files()])

    async def _answer(self, request: Request) -> Response:
        return JSONResponse(await self._done(request))

    async def _done(self, request: Request) -> dict[str, Any]:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            given = "authorization" in request.headers
            return {"ok": False, "error": "invalid_auth" if given else "not_authed"}
        match request.path_params["method"]:
            case "auth.test":
                return {"ok": True, "team": "stand-in", "user": "stepwire", "user_id": "U0001"}
            case "chat.postMessage":
                return self._post(await _fields(request))
            case _:
                return {"ok": False, "error": "unknown_method"}

    def _post(self, fields: dict[str, Any]) -> dict[str, Any]:
        channel, text = fields.get("channel"), fields.get("text")
        if not isinstance(channel, str) or not _CHANNEL.fullmatch(channel):
            return {"ok": False, "error": "channel_not_found"}
        if not isinstance(text, str) or not text:
            return {"ok": False, "error": "no_text"}
        seconds = int(time.time())

        def written(number: int) -> bytes:
            head = {"channel": channel, "ts": f"{seconds}.{number:06d}", "thread_ts": fields.get("thread_ts")}
            lines = [f"{name}: {value}" for name, value in head.items() if value]
            return "\n".join([*lines, "", text, ""]).encode()

        number, _ = self._kept.add(channel, written)
        ts = f"{seconds}.{number:06d}"
        message = {"type": "message", "text": text, "ts": ts, "user": "U0001"}
        return {"ok": True, "channel": channel, "ts": ts, "message": message}


async def _fields(request: Request) -> dict[str, Any]:
    body = await request.body()
    if not request.headers.get("content-type", "").startswith("application/json"):
        return dict(parse_qsl(body.decode()))
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _read(number: int, path: Path) -> dict[str, Any]:
    head, _, text = path.read_text("utf-8").partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    return {"number": number, "file": path.name, **fields, "text": text.removesuffix("\n")}


def _faulty(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    error = fault.error or ("ratelimited" if fault.status == 429 else "internal_error")
    return JSONResponse({"ok": False, "error": error}, fault.status, headers)

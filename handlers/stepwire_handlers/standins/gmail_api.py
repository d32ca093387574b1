"""The Gmail API, stood in for: creating, listing and getting drafts.

In: requests as Gmail takes them, the message base64url-encoded.  Out: answers in Gmail's shape, and each
draft as an `.eml` file that a mail program opens.
"""

from __future__ import annotations

import base64
import binascii
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stepwire_handlers.standins.faults import Fault, Faults
from stepwire_handlers.standins.kept import Kept

_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


class GmailApi:
    """One mailbox.

    Args:
        kept: where the drafts go.
        token: the one access token that is valid.
        faults: what to answer instead.
    """

    def __init__(self, kept: Kept, token: str, faults: Faults) -> None:
        self._kept = kept
        self._token, self._faults = token, faults

    def routes(self) -> list[Route]:
        """The paths of the API, and `/gmail/drafts`, which lists what was received."""
        return [
            Route("/gmail/v1/users/{user}/drafts", self.drafts, methods=["GET", "POST"]),
            Route("/gmail/v1/users/{user}/drafts/{id}", self.draft),
            Route("/gmail/drafts", self.received),
        ]

    async def drafts(self, request: Request) -> Response:
        """Create a draft, or list them."""
        return await self._faults.answer("gmail", lambda: self._answer(request), _faulty)

    async def draft(self, request: Request) -> Response:
        """One draft, with its message."""
        if not self._admits(request):
            return _refused(401, "the access token is not valid", "authError")
        for number, path in self._kept.files():
            if f"r-{number:04d}" == request.path_params["id"]:
                raw = base64.urlsafe_b64encode(path.read_bytes()).decode()
                draft = _draft(number)
                return JSONResponse(draft | {"message": draft["message"] | {"raw": raw}})
        return _refused(404, "there is no such draft", "notFound")

    async def received(self, _: Request) -> Response:
        """What was received, in order."""
        return JSONResponse([_read(number, path) for number, path in self._kept.files()])

    async def _answer(self, request: Request) -> Response:
        if not self._admits(request):
            return _refused(401, "the access token is not valid", "authError")
        if request.method == "GET":
            newest_first = [_draft(number) for number, _ in reversed(self._kept.files())]
            limit = request.query_params.get("maxResults", "100")
            if not limit.isdigit():
                return _refused(400, "maxResults is not a number", "invalidArgument")
            return JSONResponse({"drafts": newest_first[: int(limit)], "resultSizeEstimate": len(newest_first)})
        try:
            body = await request.json()
            raw = body["message"]["raw"]
            mime = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
        except (ValueError, KeyError, TypeError, binascii.Error):
            return _refused(400, "message.raw is not base64url", "invalidArgument")
        number, _ = self._kept.add(_header(mime, "To") or "nobody", lambda _: mime)
        return JSONResponse(_draft(number))

    def _admits(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self._token}"


def _draft(number: int) -> dict[str, Any]:
    message = {"id": f"m-{number:04d}", "threadId": f"t-{number:04d}", "labelIds": ["DRAFT"]}
    return {"id": f"r-{number:04d}", "message": message}


def _read(number: int, path: Path) -> dict[str, Any]:
    mime = path.read_bytes()
    body = message_from_bytes(mime, policy=default).get_body(("plain", "html"))
    return {
        "number": number,
        "file": path.name,
        "id": f"r-{number:04d}",
        "to": _header(mime, "To"),
        "subject": _header(mime, "Subject"),
        "body": body.get_content() if body is not None else "",
    }


def _header(mime: bytes, name: str) -> str:
    # Not by the modern policy, whose parser of addresses fails on some texts that are none.
    raw = str(message_from_bytes(mime)[name] or "")
    try:
        return str(make_header(decode_header(raw)))
    except (ValueError, LookupError):
        return raw


def _refused(status: int, message: str, reason: str, headers: dict[str, str] | None = None) -> Response:
    error = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
        "status": _STATUS.get(status, "INTERNAL"),
    }
    return JSONResponse({"error": error}, status, headers)


def _faulty(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return _refused(fault.status, "a fault that was asked for", fault.error or "backendError", headers)

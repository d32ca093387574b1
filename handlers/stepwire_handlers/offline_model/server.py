"""The offline model's HTTP side: the Messages API on one port, answered by `answer`.

`POST /v1/messages`, streaming or not, and `POST /v1/messages/count_tokens`; errors have the provider's shape. Any
key is accepted, none is refused, as the provider does. Every response says what it is: the header
`stepwire-offline-model: 1`, and in each answer the model's name. No file is read.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from stepwire_handlers.offline_model.answer import answer
from stepwire_handlers.offline_model.messages import Counted, Request, failure, message, problem, stream

Body = TypeVar("Body", bound=Counted)
LARGEST = 32 * 1024 * 1024  # bytes of a request, the provider's own limit
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 413: "request_too_large"}


def application() -> Starlette:
    """The server, with a count of its own for the identities it gives."""
    numbers = itertools.count(1)

    def identity(prefix: str) -> str:
        return f"{prefix}_offline_{next(numbers):08d}"

    async def create(http: HttpRequest) -> Response:
        request = await _checked(http, Request.model_validate_json)
        answered = await run_in_threadpool(answer, request)  # it computes; others must not wait
        usage = {"input_tokens": request.input_tokens, "output_tokens": answered.output_tokens}
        if not request.stream:
            body = message(identity("msg"), answered.text, answered.stop_reason, usage)
            return JSONResponse(body, headers=_headers(identity("req")))
        events = stream(identity("msg"), answered.text, answered.stop_reason, **usage)
        return StreamingResponse(
            _paced(list(events)), media_type="text/event-stream", headers=_headers(identity("req"))
        )

    async def count(http: HttpRequest) -> Response:
        counted = await _checked(http, Counted.model_validate_json)
        return JSONResponse({"input_tokens": counted.input_tokens}, headers=_headers(identity("req")))

    async def failed(_: HttpRequest, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = error.detail if isinstance(error, HTTPException) else "the offline model failed"
        request_id = identity("req")
        body = failure(ERRORS.get(status, "api_error"), text, request_id)
        return JSONResponse(body, status, headers=_headers(request_id))

    return Starlette(
        routes=[
            Route("/v1/messages", create, methods=["POST"]),
            Route("/v1/messages/count_tokens", count, methods=["POST"]),
        ],
        exception_handlers={HTTPException: failed, Exception: failed},
    )


async def _checked(http: HttpRequest, parse: Callable[[bytes], Body]) -> Body:
    """The request's body. Raises HTTPException with what the provider would say."""
    if not (http.headers.get("authorization") or http.headers.get("x-api-key")):
        raise HTTPException(401, "no key: send any, as `Authorization: Bearer anything`")
    if not http.headers.get("anthropic-version"):
        raise HTTPException(400, "anthropic-version: header is required")
    body = await http.body()
    if len(body) > LARGEST:
        raise HTTPException(413, f"the request is larger than {LARGEST} bytes")
    try:
        parsed = parse(body)
    except ValidationError as error:
        raise HTTPException(400, problem(error)) from error
    if parsed.messages[0].role != "user" or parsed.messages[-1].role != "user":
        raise HTTPException(400, "messages: the first and the last must be the user's")
    return parsed


def _headers(request_id: str) -> dict[str, str]:
    return {"stepwire-offline-model": "1", "request-id": request_id}


async def _paced(events: list[str]) -> AsyncIterator[str]:
    for event in events:
        yield event

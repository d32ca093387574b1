"""Errors as RFC 9457 problem details: what a caller did wrong, or why the door cannot serve them now.

In: a `Problem` that somebody raised, or an error of ours. Out: a response of `application/problem+json`. A detail never
holds a value from the request: what is wrong with a field is said by its place and its kind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse

from stepwire.errors import BusError, DecodeError, OutcomeUnknown, PublishError, SettingsError, Signal, StepwireError
from stepwire_handlers.services.fields import Unfit, known
from stepwire_handlers.telemetry.mask import MASK, SHORTEST

MEDIA = "application/problem+json"
RETRY = 2  #: seconds that a caller is asked to wait while the bus is away; a failover takes about so long
SHOWN = 20  #: faults of one body that are told; more help nobody


class Problem(StepwireError):
    """Something that ends a request.

    Args:
        status: the HTTP status.
        kind: a stable word; the problem's `type` is `urn:stepwire:problem:<kind>`.
        detail: what is wrong and what to do about it, for a person.
        headers: of the response, such as Retry-After.
        extra: members beside the five of the RFC, such as `errors`.
    """

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers, self.extra = dict(headers or {}), extra

    def body(self, instance: str) -> dict[str, Any]:
        """The problem details object."""
        return {
            "type": f"urn:stepwire:problem:{self.kind}", "title": HTTPStatus(self.status).phrase,
            "status": self.status, "detail": self.detail, "instance": instance, **self.extra,
        }  # fmt: skip

    def response(self, instance: str) -> JSONResponse:
        """What is sent."""
        return JSONResponse(self.body(instance), self.status, self.headers, MEDIA)


def of_error(error: Exception) -> Problem:
    """What an error of ours means to who asked; None of them tells a value."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, OutcomeUnknown):
        return unavailable("whether it was written is not known; repeat it with the same Idempotency-Key or event id")
    if isinstance(error, BusError | sqlite3.Error):
        # not "nothing was written": of a batch over two apps on Kafka, the other one's part may be there
        return unavailable("the bus does not take anything now; repeat it with the same Idempotency-Key or event ids")
    if isinstance(error, DecodeError):
        return Problem(422, "invalid", error.reason)
    if isinstance(error, PublishError | SettingsError):
        return Problem(422, "invalid", str(error))
    if isinstance(error, Signal):
        return unavailable("the blob store does not take files now; nothing was published, so repeat it")
    if isinstance(error, StepwireError):
        return Problem(409, "conflict", str(error))
    return Problem(500, "internal", "the door failed; it is logged under this instance")


def unavailable(why: str) -> Problem:
    """503 with Retry-After."""
    return Problem(503, "unavailable", why, headers={"retry-after": str(RETRY)})


def invalid(error: ValidationError, kind: type[BaseModel]) -> Problem:
    """422 with pydantic's reasons: where and what, without any value."""
    foreign = any(issue["type"] == "extra_forbidden" for issue in error.errors(include_url=False, include_input=False))
    its = f"; its fields are {', '.join(kind.model_fields)}" if foreign else ""
    name = kind.model_config.get("title") or kind.__name__
    return Problem(422, "invalid", f"this is no {name}{its}", errors=reasons(error))


def unfit(error: Unfit) -> Problem:
    """422 with every mistake, names that the event does not have first; the detail says which it has."""
    faults = [{"pointer": f"/{_escaped(name)}", "reason": "there is no such field"} for name in error.unknown[:SHOWN]]
    if error.error is not None:
        faults += reasons(error.error)
    its = f"; its fields are {', '.join(known(error.kind))}" if error.unknown else ""
    return Problem(422, "invalid", f"this is no {error.kind.__name__}{its}", errors=faults[:SHOWN])


def reasons(error: ValidationError) -> list[dict[str, str]]:
    """Each fault as a JSON pointer and a reason; whatever a reason quotes of the input is masked."""
    found = []
    for issue in error.errors(include_url=False, include_context=False)[:SHOWN]:
        said = "there is no such field" if issue["type"] == "extra_forbidden" else issue["msg"]
        if issue["type"] in ("value_error", "assertion_error", "union_tag_invalid") or issue["type"].endswith(
            "_custom"
        ):
            for text in sorted(set(_leaves(issue["input"])), key=len, reverse=True):
                said = said.replace(text, MASK)
        found.append({"pointer": "".join(f"/{_escaped(part)}" for part in issue["loc"]), "reason": said})
    return found


def _escaped(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from _leaves(item)
    elif len(text := str(value)) >= SHORTEST:
        yield text

"""Faults: what a stand-in answers instead of working, for as many calls as a test asks for.

In: `POST /faults?api=slack&times=2&status=429&retry_after=1.5`.  Out: the answers of the next calls.

`status` is the HTTP status, `error` a word for the body, `stored=true` does the work all the same (as when an
answer is lost), `seconds` lets the caller wait for the answer. `stored=true&status=200` is just slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response


class Fault(BaseModel):
    """What to answer instead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: Literal["slack", "gmail"]
    times: int = Field(default=1, ge=1)  #: calls
    status: int = Field(default=500, ge=200, le=599)
    error: str | None = None
    retry_after: float | None = Field(default=None, ge=0)  #: seconds
    stored: bool = False
    seconds: float = Field(default=0.0, ge=0)


class Faults:
    """Faults that wait for their calls, first come first served."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let the next calls of an API meet a fault."""
        self._waiting.append(fault)

    async def answer(
        self, api: str, work: Callable[[], Awaitable[Response]], bad: Callable[[Fault], Response]
    ) -> Response:
        """The answer to a call that comes in now.

        Args:
            api: the API that is called.
            work: does what the call asks for.
            bad: the answer in the API's shape for a fault.
        """
        fault = self._take(api)
        if fault is None:
            return await work()
        done = await work() if fault.stored else None
        await asyncio.sleep(fault.seconds)
        return done if done is not None and fault.status == 200 else bad(fault)

    def _take(self, api: str) -> Fault | None:
        for place, fault in enumerate(self._waiting):
            if fault.api == api:
                rest = fault.model_copy(update={"times": fault.times - 1})
                self._waiting[place : place + 1] = [rest] if rest.times else []
                return fault
        return None

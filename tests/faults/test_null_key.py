"""A record without a key, as upstream systems write them, is kept, parked and claimed like any other."""

from __future__ import annotations

from typing import Any

import pytest
from tests.properties.life import Life

from stepwire import App, Context, Event, Handler, NotDone, RetryLater, Settings, handler
from stepwire.bus.protocol import Out


class Asked(Event, topic="asked"):
    n: int


class Done(Event, topic="done", terminal=True):
    n: int


def step(**options: Any) -> Handler[..., Any]:
    """Done at the third attempt."""

    @handler(**options)
    async def work(asked: Asked, ctx: Context) -> Done:
        if ctx.attempt < 3:
            raise RetryLater(60.0, "not now") if "effect" not in options else NotDone("not now")
        return Done(n=asked.n)

    return work


@pytest.mark.parametrize("options", [{}, {"order": "n"}, {"dedupe": 3_600.0}, {"effect": "once"}], ids=str)
async def test_it_may_wait_more_than_once(options: dict[str, Any]) -> None:
    """Also over a restart in between."""
    settings = Settings(attempts=5, attempts_unknown=5, backoff=60.0)
    app = App("x", [step(**options)])
    async with Life(app, settings) as life:
        await life.bus.publish([Out("asked", None, {}, b'{"n": 7}')])
        await life.settle()
        for _ in range(6):
            await life.advance(600.0)
            await life.kill()
            await life.start(app)
            await life.settle()
        assert await life.events(Done) == [Done(n=7)]
        assert not await life.dead("work")

"""A small app that does everything telemetry tells of, and a worker that is listened to."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from stepwire import App, Context, Event, Reject, Sensitive, Transient, handler
from stepwire.bus.local import LocalBus
from stepwire.clock import VirtualClock
from stepwire.memory import Run
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.telemetry import Metrics, build
from stepwire_handlers.telemetry.spans import Spans


class Card(BaseModel):
    number: Annotated[str, Sensitive()]
    holder: str = "someone"


class Order(Event, topic="order"):
    n: int
    card: Annotated[str, Sensitive()] = "4711-0815"
    spare: Annotated[str, Sensitive()] | None = "4711-0816"
    others: list[Card] = Field([Card(number="4711-0817")])
    names: list[Annotated[str, Sensitive()]] = Field(["4711-0818"])
    quoted: Annotated[str, Sensitive()] = "it's\n4711-0819"
    text: str = ""


class Checked(Event, topic="checked"):
    n: int


class Done(Event, topic="done", result=True):
    n: int


@handler()
async def check(order: Order, ctx: Context) -> Checked:
    ctx.log.info("looking at %s", order.n)
    ctx.log.info("it is %s, paid by %s, %r", order, order.card, order.quoted)
    ctx.note("looked", card=order.card, order=order, cards={order.card: (order.card, order.names, 1)})
    if order.n < 0:
        raise Reject(f"the card {order.card} is refused")
    return Checked(n=order.n)


@handler()
async def pay(checked: Checked, ctx: Context) -> Done:
    if checked.n == 7 and ctx.attempt == 1:
        raise Transient("the bank is busy")
    ctx.note(
        "model", asked="small", model="small-20251001", seconds=0.5, input_tokens=100, output_tokens=20,
        cache_read_tokens=5, cost_usd=0.25,
    )  # fmt: skip
    ctx.note("model", model="small", seconds=0.1, error="RateLimitError")
    ctx.note("tool", tool="bank.pay", server="bank", seconds=0.02, outcome="ok")
    return Done(n=checked.n)


APP = App("shop", [check, pay])


class Heard:
    """What a worker told."""

    def __init__(self, stream: io.TextIOWrapper, metrics: Metrics, run: Run, worker: Worker) -> None:
        self._stream, self._metrics, self.run, self.worker = stream, metrics, run, worker
        self.backlog = metrics.backlog

    @property
    def text(self) -> str:
        return self._stream.buffer.getvalue().decode()  # type: ignore[attr-defined,no-any-return]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    async def scrape(self, accept: str = "") -> str:
        return (await self._metrics.scrape(accept))[0].decode()


@asynccontextmanager
async def listened(
    monkeypatch: pytest.MonkeyPatch, values: Configuration, spans: Spans | None = None, app: App = APP
) -> AsyncIterator[Heard]:
    """A worker in memory with log and metrics on, and traces if there is a tracer."""
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stderr", stream)
    metrics, clock = Metrics(app), VirtualClock()
    bus = LocalBus(clock=clock)
    await bus.open()
    worker = Worker(app, bus, clock=clock, telemetry=build(values, app, metrics, spans))
    metrics.watch(worker)
    await worker.start()
    run = Run(app, worker, bus, clock, "")
    try:
        yield Heard(stream, metrics, run, worker)
    finally:
        await run.close()

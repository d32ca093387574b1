"""What another service answers and nobody can read is a dead letter at its correlator, as everywhere; work goes on."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from pydantic import AfterValidator
from tests.properties.life import Life

from stepwire import App, Event, external, handler
from stepwire.bus.protocol import Out


def readable(state: str) -> str:
    if state == "broken":
        raise ValueError("broken")
    return state


State = Annotated[str, AfterValidator(readable)]


class Order(Event, topic="order"):
    number: str
    state: str = "fine"


class Ask(Event, topic="ask"):
    number: str
    state: State = "fine"


class Answer(Event, topic="answer"):
    number: str
    state: State = "fine"


class Offer(Event, topic="offer", terminal=True):
    number: str


@handler()
async def begin(order: Order) -> Ask:
    return Ask.model_construct(number=order.number, state=order.state)


@handler()
async def offer(answer: Answer) -> Offer:
    return Offer(number=answer.number)


SHOP = App("shop", [begin, offer, external(Ask, Answer, name="shop", match="number")])


def answer(number: str, state: str, **headers: str) -> Out:
    """A record as another service writes it."""
    about = {"ce_specversion": "1.0", "ce_id": number + state, "ce_source": "them", "ce_type": "answer.Answer.v1"}
    return Out("answer", None, {**about, **headers}, json.dumps({"number": number, "state": state}).encode())


async def goes_on(life: Life) -> None:
    """Another order comes to its offer all the same."""
    await life.publish(Order(number="after"))
    await life.bus.publish([answer("after", "fine")])
    await life.settle()
    assert "after" in [event.number for event in await life.events(Offer)]


@pytest.mark.parametrize("echoes", [False, True])
async def test_an_answer_that_nobody_can_read(echoes: bool) -> None:
    """It is a dead letter, whether it echoes our headers or not."""
    async with Life(SHOP) as life:
        run = await life.publish(Order(number="7"))
        await life.settle()
        await life.bus.publish([answer("7", "broken", **({"ce_swrun": run} if echoes else {}))])
        await life.settle()
        (dead,) = await life.dead("shop")
        assert dead.headers["kafka_dlt-exception-fqcn"].endswith("DecodeError")
        await goes_on(life)


@pytest.mark.parametrize("end", ["mended", "dropped"])
@pytest.mark.parametrize("which", ["ask", "answer"])
async def test_it_is_replayed_or_dropped(which: str, end: str) -> None:
    """Replayed as it should be, ask and answer meet; dropped, nothing comes of it."""
    async with Life(SHOP) as life:
        await life.publish(Order(number="7", state="broken" if which == "ask" else "fine"))
        await life.settle()
        await life.bus.publish([answer("7", "broken" if which == "answer" else "fine")])
        await life.settle()
        (dead,) = await life.dead("shop")
        await life.answer(dead, drop=end == "dropped", edited=None if end == "dropped" else b'{"number": "7"}')
        assert [event.number for event in await life.events(Offer)] == (["7"] if end == "mended" else [])
        await goes_on(life)

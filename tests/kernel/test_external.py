"""Steps that somebody else's service does: it echoes our headers, or both events carry a field."""

from __future__ import annotations

import pytest

from stepwire import App, Event, WiringError, external, handler
from stepwire.bus.protocol import Out
from stepwire.memory import Run


class Order(Event, topic="order"):
    number: str


class Ask(Event, topic="ask"):
    number: str


class Answer(Event, topic="answer"):
    number: str
    price: int


class Offer(Event, topic="offer", result=True):
    price: int


@handler()
async def begin(order: Order) -> Ask:
    return Ask(number=order.number)


@handler()
async def offer(answer: Answer) -> Offer:
    return Offer(price=answer.price)


def foreign(answer: Answer, **headers: str) -> Out:
    """A record as another service writes it."""
    about = {"ce_specversion": "1.0", "ce_id": "x1", "ce_source": "their-service", "ce_type": "answer.Answer.v1"}
    return Out("answer", None, {**about, **headers}, answer.model_dump_json().encode())


async def answered(run: Run, out: Out) -> None:
    await run._bus.publish([out])
    await run._settle()


async def test_an_answer_that_echoes_our_headers_goes_on_with_the_run() -> None:
    """The run waits for the service; its echoed headers say where the answer belongs."""
    async with await App("shop", [begin, offer, external(Ask, Answer)]).run(Order(number="7")) as run:
        assert run.result is None
        await answered(run, foreign(Answer(number="7", price=3), ce_swrun=run.id))
        assert run.result == Offer(price=3)


async def test_an_answer_is_matched_by_a_field() -> None:
    """Without our headers, ask and answer meet by the field they share, whichever comes first."""
    app = App("shop", [begin, offer, external(Ask, Answer, match="number")])
    async with await app.run(Order(number="7")) as run:
        await answered(run, foreign(Answer(number="7", price=3)))
        assert run.result == Offer(price=3)
        assert run.state == "completed"


async def test_an_answer_that_names_no_run_is_a_dead_letter() -> None:
    """Neither header nor field: NoRun, with what to do about it."""
    async with await App("shop", [begin, offer, external(Ask, Answer)]).run(Order(number="7")) as run:
        await answered(run, foreign(Answer(number="7", price=3)))
        assert [dead.error for dead in run.dead_letters] == ["NoRun"]
        assert "match=" in run.dead_letters[0].message


def test_a_field_that_an_event_lacks_is_refused() -> None:
    """match= names a field of both events."""
    with pytest.raises(WiringError, match="SW120"):
        external(Ask, Offer, match="number")

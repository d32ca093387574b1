"""What other people's services answer: an answer that nobody can read, an ask that came from another app."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import AfterValidator
from tests.properties.life import Life

from stepwire import App, Event, external, handler
from stepwire.bus.protocol import Out


def _readable(state: str) -> str:
    if state == "broken":
        raise ValueError("broken")
    return state


class Begin(Event, topic="begin"):
    pass


class Ask(Event, topic="ask"):
    n: int


class Answer(Event, topic="answer"):
    n: int
    state: Annotated[str, AfterValidator(_readable)] = "fine"


class Noted(Event, topic="noted"):
    n: int


class Checked(Event, topic="checked"):
    n: int


class Total(Event, topic="total", terminal=True):
    items: list[int]


class Pair(Event, topic="pair", terminal=True):
    n: int
    noted: int


@handler()
async def scatter(begin: Begin) -> list[Ask]:
    return [Ask(n=n) for n in range(3)]


@handler()
async def check(answer: Answer) -> Checked:
    return Checked(n=answer.n)


@handler()
async def total(checked: list[Checked]) -> Total:
    return Total(items=[c.n for c in checked])


@handler()
async def total_of_answers(answers: list[Answer]) -> Total:
    return Total(items=[answer.n for answer in answers])


async def serve(life: Life, broken: int | None = None) -> None:
    """The service answers everything, echoing our headers."""
    for ask in await life.records("ask"):
        n = Ask.model_validate_json(ask.value).n
        said = Answer.model_construct(n=n, state="broken" if n == broken else "fine")
        headers = {
            "ce_specversion": "1.0",
            "ce_id": str(ask.offset),
            "ce_source": "service",
            "ce_type": Answer.spec.type,
        }
        headers |= {name: value for name, value in ask.headers.items() if name.startswith("ce_sw")}
        await life.bus.publish([Out("answer", None, headers, said.model_dump_json().encode())])
    await life.settle()


SHAPES = {
    "a step before the gather": ([scatter, check, total], "check"),
    "the gather itself": ([scatter, total_of_answers], "total_of_answers"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("drop", [True, False])
async def test_an_answer_that_nobody_can_read(shape: str, drop: bool) -> None:
    """An answer's place is its ask's, readable or not: dropped, its item is absent; mended, it is there."""
    steps, reader = SHAPES[shape]
    async with Life(App("asks", [*steps, external(Ask, Answer)])) as life:
        await life.publish(Begin())
        await life.settle()
        await serve(life, broken=1)
        (dead,) = await life.dead(reader)
        assert await life.events(Total) == []
        mended = None if drop else Answer(n=1).model_dump_json().encode()
        await life.answer(dead, drop=drop, edited=mended)
        assert await life.events(Total) == [Total(items=[0, 2] if drop else [0, 1, 2])]
        assert life.stored() == {}


@handler()
async def note(ask: Ask) -> Noted:
    return Noted(n=ask.n)


@handler()
async def pair(answer: Answer, noted: Noted) -> Pair:
    return Pair(n=answer.n, noted=noted.n)


async def test_asks_that_another_app_scattered() -> None:
    """An ask that came from a foreign place: its answer stands there too, and meets what else comes of that ask."""
    async with Life(App("asks", [note, pair, external(Ask, Answer)])) as life:
        for n in range(3):
            out, _ = life.app.record(Ask(n=n), id=str(n), source="stepwire:other/split", now=life.clock.now())
            headers = {**out.headers, "ce_swrun": "one", "ce_swscope": f"f00.{n}", "ce_swhandler": "split"}
            await life.bus.publish([out._replace(headers=headers)])
        await life.settle()
        await serve(life)
        assert await life.events(Pair) == [Pair(n=n, noted=n) for n in range(3)]
        assert life.stored() == {}


@handler()
async def asks(begin: Begin) -> list[Ask]:
    return [Ask(n=n) for n in range(2)]


@handler()
async def answers(ask: Ask) -> Answer:
    return Answer(n=ask.n)


@pytest.mark.parametrize("scope", [None, "", "x", "f00.x", "f00.1.", "a@b", "check@x/f.1"])
@pytest.mark.parametrize("source", ["x", "stepwire:asks/answers"])
@pytest.mark.parametrize("kind", [Checked, Answer])
@pytest.mark.parametrize("value", [b'{"n": 1}', b'{"n": "?"}', b"{"])
async def test_an_event_that_stands_nowhere(scope: str | None, source: str, kind: type[Event], value: bytes) -> None:
    """Whoever writes to a topic below a scatter, and whatever place it claims: a dead letter, and the app goes on."""
    async with Life(App("asks", [asks, answers, check, total])) as life:
        headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": source, "ce_type": kind.spec.type}
        headers |= {"ce_swrun": "r"} | ({"ce_swscope": scope} if scope is not None else {})
        await life.bus.publish([Out(kind.spec.topic, None, headers, value)])
        await life.settle()
        (dead,) = await life.dead("total" if kind is Checked else "check")
        await life.publish(Begin())
        await life.answer(dead, drop=True)
        assert await life.events(Total) == [Total(items=[0, 1])]
        assert life.stored() == {}


@pytest.mark.parametrize("shape", SHAPES)
async def test_answers_without_headers_below_a_scatter(shape: str) -> None:
    """A service that echoes nothing makes dead letters NoRun, and stops nobody."""
    steps, reader = SHAPES[shape]
    async with Life(App("asks", [*steps, external(Ask, Answer)])) as life:
        await life.publish(Begin())
        await life.settle()
        headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "service", "ce_type": Answer.spec.type}
        await life.bus.publish([Out("answer", None, headers, b'{"n": 1}')])
        await life.settle()
        (dead,) = await life.dead(reader)
        assert dead.headers["kafka_dlt-exception-fqcn"].endswith("NoRun")
        await life.answer(dead, drop=True)
        await serve(life)
        assert await life.events(Total) == [Total(items=[0, 1, 2])]

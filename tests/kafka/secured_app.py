"""An app for a worker in a process of its own; an answer is as long as was asked."""

from __future__ import annotations

from pydantic import Field

from stepwire import App, Event, Settings, handler


class Asked(Event, topic="secured.asked", entry=True):
    n: int
    text: str = ""
    times: int = 0


class Answer(Event, topic="secured.answers", terminal=True):
    n: int
    text: str = Field("", exclude_if=lambda text: not text)


@handler()
async def answer(asked: Asked) -> Answer:
    return Answer(n=asked.n, text="x" * asked.times)


app = App("secured", [answer], settings=Settings(partitions=2, control_partitions=2, session=6.0, drain=5.0))

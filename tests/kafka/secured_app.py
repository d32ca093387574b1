"""The app of test_secured.py."""

from __future__ import annotations

from stepwire import App, Event, Settings, handler


class Asked(Event, topic="secured.asked", entry=True):
    n: int


class Answer(Event, topic="secured.answers", terminal=True):
    n: int


@handler()
async def answer(asked: Asked) -> Answer:
    return Answer(n=asked.n)


app = App("secured", [answer], settings=Settings(partitions=2, control_partitions=2, session=6.0, drain=5.0))

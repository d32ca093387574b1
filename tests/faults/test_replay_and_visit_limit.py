"""A replay of a letter that is no VisitLimit does not grant a visit beyond the limit: `on_limit` takes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from stepwire import App, Event, handler


def whole(state: str) -> str:
    if state == "broken":
        raise ValueError("broken")
    return state


class Start(Event, topic="start", entry=True):
    lap: int = 0


class Again(Event, topic="again"):
    lap: int
    state: Annotated[str, AfterValidator(whole)] = "whole"


class Over(Event, topic="over", result=True):
    lap: int


@handler()
async def check(start: Start) -> Again | Over:
    if start.lap > 5:
        return Over(lap=-1)
    return Again.model_construct(lap=start.lap + 1, state="broken" if start.lap == 1 else "whole")


def give_up(again: Again) -> Over:
    return Over(lap=again.lap)


@handler(max_visits=1, on_limit=give_up)
async def go_round(again: Again) -> Start:
    return Start(lap=again.lap)


async def test_the_limit_holds() -> None:
    """A replay of a letter that is no VisitLimit does not grant a visit beyond the limit: `on_limit` takes it."""
    run = await App("x", [check, go_round]).run(Start())
    (dead,) = run.dead_letters
    assert dead.error == "DecodeError"
    await run.replay(dead, Again(lap=2))
    visits = [e.lap for e in run.events if isinstance(e, Start)]
    result = run.result
    await run.close()
    assert visits == [0, 1], f"max_visits=1, but it went round {len(visits) - 1} times"
    assert result == Over(lap=2)

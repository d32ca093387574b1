"""Five apps around one step `work`, for tests of what happens to joins when that step ends in an unusual way."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from stepwire import App, Event, Handler, handler


def _readable(state: str) -> str:
    if state == "broken":
        raise ValueError("broken")
    return state


class Begin(Event, topic="begin"):
    pass


class Start(Event, topic="start"):
    lap: int = 1


class Again(Event, topic="again"):
    lap: int


class Group(Event, topic="group"):
    n: int


class Task(Event, topic="task"):
    """What `work` takes; number 1 is the one that goes wrong."""

    n: int
    lap: int = 1
    state: Annotated[str, AfterValidator(_readable)] = "fine"


class Other(Event, topic="other"):
    n: int


class Result(Event, topic="result"):
    """What `work` returns, a part of the join behind it."""

    n: int
    lap: int = 1
    filler: str = ""
    state: Annotated[str, AfterValidator(_readable)] = "fine"


class Pair(Event, topic="pair"):
    n: int


class Subtotal(Event, topic="subtotal"):
    items: list[int]


class Total(Event, topic="total", terminal=True):
    items: list[int]


def task(n: int, state: str, lap: int = 1) -> Task:
    """Task 1 has the state that the test asks for, the others are fine."""
    return Task.model_construct(n=n, lap=lap, state=state if n == 1 else "fine")


def _merge(state: str) -> list[Handler[..., Any]]:
    @handler()
    async def split(begin: Begin) -> tuple[Task, Other]:
        return task(1, state), Other(n=1)

    @handler()
    async def meet(result: Result, other: Other) -> Total:
        return Total(items=[result.n])

    return [split, meet]


def _gather(state: str) -> list[Handler[..., Any]]:
    @handler()
    async def scatter(begin: Begin) -> list[Task]:
        return [task(n, state) for n in range(3)]

    @handler()
    async def collect(results: list[Result]) -> Total:
        return Total(items=[result.n for result in results])

    return [scatter, collect]


def _nested(state: str) -> list[Handler[..., Any]]:
    @handler()
    async def groups(begin: Begin) -> list[Group]:
        return [Group(n=n) for n in (0, 10)]

    @handler()
    async def scatter(group: Group) -> list[Task]:
        return [task(group.n + n, state) for n in range(2)]

    @handler()
    async def collect(results: list[Result]) -> Subtotal:
        return Subtotal(items=[result.n for result in results])

    @handler()
    async def total(subtotals: list[Subtotal]) -> Total:
        return Total(items=[n for subtotal in subtotals for n in subtotal.items])

    return [groups, scatter, collect, total]


def _loop(state: str) -> list[Handler[..., Any]]:
    @handler()
    async def begin(begin: Begin) -> Start:
        return Start()

    @handler()
    async def scatter(start: Start) -> list[Task]:
        return [task(n, state, start.lap) for n in range(3)]

    @handler()
    async def collect(results: list[Result]) -> Again | Total:
        if results[0].lap == 1:
            return Again(lap=1)
        return Total(items=[result.n for result in results])

    @handler(max_visits=2)
    async def again(again: Again) -> Start:
        return Start(lap=again.lap + 1)

    return [begin, scatter, collect, again]


def _merge_in_a_scatter(state: str) -> list[Handler[..., Any]]:
    @handler()
    async def groups(begin: Begin) -> list[Group]:
        return [Group(n=n) for n in range(3)]

    @handler()
    async def split(group: Group) -> tuple[Task, Other]:
        return task(group.n, state), Other(n=group.n)

    @handler()
    async def meet(result: Result, other: Other) -> Pair:
        return Pair(n=result.n)

    @handler()
    async def total(pairs: list[Pair]) -> Total:
        return Total(items=[pair.n for pair in pairs])

    return [groups, split, meet, total]


SHAPES = {
    "merge": (_merge, None),
    "gather": (_gather, [0, 2]),
    "nested": (_nested, [0, 10, 11]),
    "in a loop": (_loop, [0, 2]),
    "merge in a scatter": (_merge_in_a_scatter, [0, 2]),
}  #: name -> how it is made, and the total without task 1 (None: no total at all)
WHOLE = {
    "merge": [1],
    "gather": [0, 1, 2],
    "nested": [0, 1, 10, 11],
    "in a loop": [0, 1, 2],
    "merge in a scatter": [0, 1, 2],
}
JOINS = {
    "merge": "meet",
    "gather": "collect",
    "nested": "collect",
    "in a loop": "collect",
    "merge in a scatter": "meet",
}


def app(shape: str, work: Handler[..., Any], state: str = "fine") -> App:
    """The shape around `work`, whose task 1 is in that state."""
    return App("shape", [*SHAPES[shape][0](state), work])

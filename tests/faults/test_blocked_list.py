"""R8: who should have scattered lies in a dead letter; the join of its items and of something else waits for it."""

from __future__ import annotations

import pytest
from tests.properties.life import Life

from stepwire import App, Context, Event, Handler, Join, Reject, handler


class Begin(Event, topic="begin", entry=True):
    pass


class Head(Event, topic="head"):
    pass


class Item(Event, topic="item"):
    n: int


class Total(Event, topic="total"):
    items: list[int]
    missing: tuple[str, ...] = ()


class Over(Event, topic="over", terminal=True):
    heads: int


class Other(Event, topic="other"):
    pass


broken = [True]


@pytest.fixture(autouse=True)
def breaks() -> None:
    """The scatter fails until somebody mends it."""
    broken[0] = True


@handler()
async def begin(begin: Begin) -> tuple[Head, Other]:
    return Head(), Other()


@handler()
async def scatter(begin: Begin) -> list[Item]:
    if broken[0]:
        raise Reject("not now")
    return [Item(n=n) for n in range(3)]


@handler()
async def collect(head: Head, items: list[Item]) -> Total:
    return Total(items=[item.n for item in items])


@handler(name="collect", join=Join(on_missing="partial"))
async def collect_what_is_there(head: Head, items: list[Item], ctx: Context) -> Total:
    return Total(items=[item.n for item in items], missing=ctx.missing)


@handler()
async def meet(total: Total, other: Other) -> Over:
    return Over(heads=len(total.items))


def app(join: Handler[..., object] = collect) -> App:
    """Two joins behind one another."""
    return App("x", [begin, scatter, join, meet])


def blocked(life: Life) -> dict[str, list[str]]:
    """What blocks the joins of each step."""
    return {name: list(join.blocked) for name, mailbox in life.mailboxes() for join in mailbox.joins.values()}


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_replayed_scatter_is_gathered(restarted: bool) -> None:
    """Blocked, past every deadline and a restart, and so is what waits for it; then called once, with all items."""
    async with Life(app()) as life:
        await life.publish(Begin())
        await life.settle()
        await life.advance(8 * 86_400.0)
        assert blocked(life) == {"collect": ["#list"], "meet": ["total"]}
        assert [name for name in life.app.wiring.handlers if await life.dead(name)] == ["scatter"]
        if restarted:
            await life.kill()
            await life.start(app())
            await life.settle()
        broken[0] = False
        await life.answer((await life.dead("scatter"))[0], drop=False, times=2)
        assert [event.items for event in await life.events(Total)] == [[0, 1, 2]]
        assert [event.heads for event in await life.events(Over)] == [3]
        assert life.stored() == {}
        assert life.memory_is_what_is_stored()


async def test_a_dropped_scatter_is_absent() -> None:
    """Then the join ends uncalled, and so does what waits for it."""
    async with Life(app()) as life:
        await life.publish(Begin())
        await life.settle()
        await life.answer((await life.dead("scatter"))[0], drop=True, times=2)
        assert not await life.events(Total)
        assert not await life.events(Over)
        assert life.stored() == {}
        assert life.memory_is_what_is_stored()


async def test_a_join_that_goes_without_is_called_with_no_items() -> None:
    """`on_missing="partial"`: it does not wait, says what is missing, and what comes of a replay is too late."""
    async with Life(app(collect_what_is_there)) as life:
        await life.publish(Begin())
        await life.settle()
        assert [(event.items, event.missing) for event in await life.events(Total)] == [([], ("items",))]
        broken[0] = False
        await life.answer((await life.dead("scatter"))[0], drop=False)
        assert [event.items for event in await life.events(Total)] == [[]]
        assert life.memory_is_what_is_stored()

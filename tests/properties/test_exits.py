"""Settlement on unusual exits: whatever a step's delivery ends in, every join that waits for it closes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.properties import shapes
from tests.properties.life import Life
from tests.properties.shapes import Begin, Result, Task, Total

from stepwire import Handler, Reject, handler
from stepwire.memory import replay

SHAPES = list(shapes.SHAPES)
PER_RUN = {"in a loop": 2}  #: how often task 1 comes along
LIVES = 12  #: more than a delivery may cost
LONGER = 8 * 86_400.0  #: seconds; a join that is blocked by nothing is given up before


def done(task: Task) -> Result:
    return Result(n=task.n, lap=task.lap)


@handler()
async def work(task: Task) -> Result:
    return done(task)


def failing(how: Callable[[], Awaitable[Result]], **options: Any) -> Handler[..., Any]:
    """The step `work`, which does `how` with task 1."""

    @handler(name="work", **options)
    async def fails(task: Task) -> Result:
        return await how() if task.n == 1 else done(task)

    return fails


async def reject() -> Result:
    raise Reject("no")


async def blow_up() -> Result:
    return Result(n=1, filler="x" * 5_000)


async def close(life: Life, shape: str, error: str) -> None:
    """Drop the dead letters of `work` as they come; then everything is closed, and task 1 is absent."""
    for number in range(PER_RUN.get(shape, 1)):
        dead = await life.dead("work")
        assert [d.headers["kafka_dlt-exception-fqcn"].rpartition(".")[2] for d in dead] == [error] * (number + 1)
        await blocked(life, "work")
        await life.answer(dead[-1], drop=True, times=2)
    await closed(life, shape)


async def blocked(life: Life, by: str) -> None:
    """R8: the joins that need what is dead wait for it, past their deadlines, and write no dead letter of their own."""
    await life.advance(LONGER)
    assert [name for name in life.app.wiring.handlers if await life.dead(name)] == [by]
    assert life.stored(), "the joins that need it are blocked by it, not fired"


async def closed(life: Life, shape: str, extra: int | None = None) -> None:
    expected = shapes.SHAPES[shape][1]
    total = [event.items for event in await life.events(Total)]
    assert total == ([] if expected is None else [sorted([*expected, *([extra] if extra is not None else [])])])
    assert life.stored() == {}
    assert life.memory_is_what_is_stored()


@pytest.mark.parametrize("shape", SHAPES)
async def test_undecodable(shape: str) -> None:
    """An event that cannot be read blocks the joins behind it; dropped, it is absent."""
    async with Life(shapes.app(shape, work, "broken")) as life:
        await life.publish(Begin())
        await life.settle()
        await close(life, shape, "DecodeError")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["dropped", "mended"])
async def test_undecodable_part(shape: str, how: str) -> None:
    """A part that its join cannot read blocks it; dropped, it is absent; replayed as it should be, it is there."""
    broken = Result.model_construct(n=1, state="broken")

    async def unreadable() -> Result:
        return broken

    async with Life(shapes.app(shape, failing(unreadable))) as life:
        await life.publish(Begin())
        await life.settle()
        join = shapes.JOINS[shape]
        for number in range(PER_RUN.get(shape, 1)):
            dead = await life.dead(join)
            assert [d.headers["kafka_dlt-exception-fqcn"].rpartition(".")[2] for d in dead] == ["DecodeError"] * (
                number + 1
            )
            await blocked(life, join)
            mended = None if how == "dropped" else done(Task(n=1, lap=number + 1)).model_dump_json().encode()
            await life.answer(dead[-1], drop=how == "dropped", times=2, edited=mended)
        if how == "dropped":
            await closed(life, shape)
        else:
            assert [event.items for event in await life.events(Total)] == [shapes.WHOLE[shape]]
            assert life.stored() == {}


@pytest.mark.parametrize("shape", SHAPES)
async def test_rejected_and_dropped(shape: str) -> None:
    """A dropped dead letter is absent."""
    async with Life(shapes.app(shape, failing(reject))) as life:
        await life.publish(Begin())
        await life.settle()
        await close(life, shape, "Reject")


@pytest.mark.parametrize("shape", SHAPES)
async def test_too_many_outputs(shape: str) -> None:
    """A result beyond the limit is a dead letter; dropped, it is absent."""
    async with Life(shapes.app(shape, failing(blow_up))) as life:
        await life.publish(Begin())
        await life.settle()
        await close(life, shape, "TooManyOutputs")


@pytest.mark.parametrize("shape", SHAPES)
async def test_timeout(shape: str) -> None:
    """Calls that never return are cut off, then a dead letter; dropped, it is absent."""

    async def hang() -> Result:
        await life.hang()
        raise AssertionError("nobody wakes it")

    async with Life() as life:
        await life.start(shapes.app(shape, failing(hang, timeout=5)))
        await life.publish(Begin())
        await life.settle()
        await close(life, shape, "HandlerTimeout")


@pytest.mark.parametrize("shape", SHAPES)
async def test_visit_limit(shape: str) -> None:
    """A loop without on_limit ends in a dead letter; dropped, it is absent."""

    @handler(name="work", max_visits=1)
    async def goes_round(task: Task) -> Result | Task:
        return task if task.n == 1 else done(task)

    async with Life(shapes.app(shape, goes_round)) as life:
        await life.publish(Begin())
        await life.settle()
        await close(life, shape, "VisitLimit")


@pytest.mark.parametrize("shape", SHAPES)
async def test_crash_loop(shape: str) -> None:
    """A delivery that kills its worker again and again is called alone, then a dead letter; dropped, it is absent."""

    async def dies() -> Result:
        await life.hang()
        raise AssertionError("nobody wakes it")

    async with Life() as life:
        app = shapes.app(shape, failing(dies, timeout=1e6))
        await life.start(app)
        await life.publish(Begin())
        for number in range(PER_RUN.get(shape, 1)):
            for _ in range(LIVES):
                await life.until_only_hanging()
                if len(await life.dead("work")) > number:
                    break
                if life.hanging:
                    await life.kill()
                    await life.start(app)
            dead = await life.dead("work")
            assert len(dead) == number + 1
            assert dead[-1].headers["kafka_dlt-exception-fqcn"].endswith("CrashLoop")
            await blocked(life, "work")
            await life.post("work", replay(dead[-1], drop=True))
            await life.until_only_hanging()
        await closed(life, shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("again", [False, True])
async def test_dropped_after_a_replay(shape: str, again: bool) -> None:
    """Replayed in vain and then dropped; or replayed from two shells at once: settled once all the same."""
    async with Life(shapes.app(shape, failing(reject))) as life:
        await life.publish(Begin())
        await life.settle()
        for _ in range(PER_RUN.get(shape, 1)):
            await life.answer((await life.dead("work"))[-1], drop=False, times=2 if again else 1)
            await life.answer((await life.dead("work"))[-1], drop=True, times=2 if again else 1)
        assert len(await life.dead("work")) == 2 * PER_RUN.get(shape, 1)
        await closed(life, shape)


@pytest.mark.parametrize("shape", SHAPES)
async def test_retired(shape: str) -> None:
    """A retired step calls nothing and settles all it owes as absent, parts that it left behind included."""
    retired = failing(reject, retired=True)
    async with Life(shapes.app(shape, retired)) as life:
        await life.publish(Begin())
        await life.settle()
        assert await life.events(Total) == []
        assert await life.dead("work") == []
        assert life.stored() == {}


@pytest.mark.parametrize("shape", SHAPES)
async def test_retired_with_a_dead_letter_left(shape: str) -> None:
    """A dead letter of a step that was retired meanwhile can still be dropped, and closes its run."""
    async with Life(shapes.app(shape, failing(reject))) as life:
        await life.publish(Begin())
        await life.settle()
        await life.stop()
        await life.start(shapes.app(shape, failing(reject, retired=True)))
        await life.answer((await life.dead("work"))[0], drop=True)
        assert life.stored() == {}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("verdict", ["drop", "done", "done with nothing"])
async def test_decided_unknown(shape: str, verdict: str) -> None:
    """An unknown outcome owes its slots until a person says: dropped, done with an event, or done without one."""

    @handler(name="work", effect="once")
    async def works(task: Task) -> Result | None:
        if task.n == 1:
            raise RuntimeError("was it done?")
        return done(task)

    async with Life(shapes.app(shape, works)) as life:
        await life.publish(Begin())
        await life.settle()
        for lap in range(PER_RUN.get(shape, 1)):
            ((name, id_),) = life.unknown()
            said = Result(n=1, lap=lap + 1) if verdict == "done" else None
            await life.resolve(name, id_, verdict.split(maxsplit=1)[0], said)
        if verdict == "done" and shape == "merge":
            assert await life.events(Total) == [Total(items=[1])]
            assert life.stored() == {}
        else:
            await closed(life, shape, extra=1 if verdict == "done" else None)


async def test_decided_with_more_than_may_be_written() -> None:
    """What a person says was returned has its limits too: beyond them it is a dead letter, and the worker goes on."""

    @handler(name="work", effect="once")
    async def works(task: Task) -> Result:
        raise RuntimeError("was it done?")

    async with Life(shapes.app("merge", works)) as life:
        await life.publish(Begin())
        await life.settle()
        ((name, id_),) = life.unknown()
        await life.resolve(name, id_, "done", Result(n=1, filler="x" * 5_000))
        await close(life, "merge", "TooManyOutputs")

"""Steps that a release adds, retires and drops, while others publish all the time: on every bus."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from stepwire import App, Event, Join, RetryLater, Settings, SettingsError, handler
from stepwire.worker import Worker, prepare

SETTINGS = Settings(partitions=1, control_partitions=1, session=6.0, drain=5.0)


class Came(Event, topic="came"):
    n: int


class Late(Event, topic="late"):
    n: int


class Kept(Event, topic="kept", terminal=True):
    n: int


@handler()
async def keep(came: Came) -> Kept:
    return Kept(n=came.n)


@handler(name="tell")
async def tell(came: Came) -> None: ...


@handler(name="tell", retired=True)
async def told(came: Came) -> None: ...


def release(*handlers: Any) -> App:
    return App("gone", [*handlers], settings=SETTINGS)


BASE, MORE, FEWER = release(keep), release(keep, tell), release(keep, told)


async def works(bus: Any, app: App, *, until: bool = True) -> None:
    """A worker of this release starts, and does what is there to do."""
    worker = Worker(app, bus, settings=SETTINGS)
    await worker.start()
    if until:
        await worker.settle()
    await worker.stop()


async def publish(bus: Any, app: App, n: int) -> None:
    await bus.publish([app.record(Came(n=n), now=time.time())[0]])


async def test_a_step_that_was_retired_and_dropped_never_stops_a_worker_again(where: Any) -> None:
    """Events go on to come on its topic, for nobody; neither a restart nor the next release asks about them."""
    await works(where, MORE)
    await publish(where, MORE, 1)
    await works(where, FEWER)
    await publish(where, FEWER, 2)
    for n in (3, 4):
        await works(where, BASE)
        await publish(where, BASE, n)
    await works(where, release(keep, handler(name="count")(tell.function)))


async def test_a_release_starts_anew_though_a_newer_one_is_prepared_or_has_worked(where: Any) -> None:
    """A pod that restarts during a rollout, and a rollback, find events of a step that they do not have."""
    await works(where, BASE)
    await prepare(MORE, where, SETTINGS)
    await publish(where, BASE, 1)
    await works(where, BASE)
    await works(where, MORE)
    await publish(where, BASE, 2)
    for n in (3, 4):
        await works(where, BASE)
        await publish(where, BASE, n)


async def test_a_step_with_work_left_is_not_dropped_before_it_was_retired(
    where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused while it has events; once it has none, a warning says what a new name does during a rollout."""
    await works(where, MORE)
    await publish(where, MORE, 1)
    with pytest.raises(SettingsError, match=r"gone from gone, but with events or entries left: tell \([12]\)\."):
        await works(where, BASE)
    await works(where, MORE)
    with caplog.at_level(logging.WARNING, "stepwire"):
        await works(where, BASE)
    assert "tell of the release before is gone, and was not retired" in caplog.text


async def test_what_a_step_keeps_is_not_left_by_going_back_and_forth(where: Any) -> None:
    """Rolled back, it parks a call; neither the release that dropped it nor a third one starts over that."""

    @handler(name="tell")
    async def waits(came: Came) -> None:
        if came.n > 1:
            raise RetryLater(600, "later")

    more = release(keep, waits)
    await works(where, more)
    await works(where, BASE)
    await works(where, more)
    await publish(where, BASE, 2)
    await works(where, more)
    for other in (BASE, release(keep, handler(name="count")(tell.function))):
        with pytest.raises(SettingsError, match=r"left: tell \(1\)"):
            await works(where, other)


async def test_a_release_starts_anew_though_joins_of_a_newer_one_are_open(where: Any, caplog: Any) -> None:
    """What a step that it lacks waits for stops no restart and no rollback; that it waits is said."""

    @handler(name="meet", join=Join(timeout=3_600))
    async def meet(came: Came, late: Late) -> None: ...

    more = release(keep, meet)
    await works(where, BASE)
    await works(where, more)
    await publish(where, BASE, 1)
    await works(where, more)
    with caplog.at_level(logging.WARNING, "stepwire"):
        await works(where, BASE)
        await publish(where, BASE, 2)
        await works(where, BASE)
    assert "gone: steps of a newer release keep entries for it: meet (" in caplog.text
    await works(where, more)

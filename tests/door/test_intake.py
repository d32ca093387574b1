"""Plain JSON and files through the door: what is taken, under which run, and what is refused with which problem."""

from __future__ import annotations

import pytest
from tests.door.doors import Inside
from tests.door.shop import APP, FILES


async def test_an_event_becomes_a_run(inside: Inside) -> None:
    """202 with the run's address; there it is running, and after a worker came by, it has its result."""
    answer = await inside.order(7)
    assert answer.status_code == 202
    run = answer.headers["location"]
    assert run == f"/runs/{answer.json()['run']}"
    assert (await inside.get(run))["state"] == "running"
    await inside.work(APP)
    found = await inside.get(run)
    assert (found["state"], found["result"]["n"], found["app"]) == ("completed", 7, "shop")

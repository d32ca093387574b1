"""What an answer of a foreign service says of runs and scopes is its word: it breaks no worker and hides no run."""

from __future__ import annotations

import json

import pytest
from tests.door.doors import Inside
from tests.door.shop import APP, ASKING

STRUCTURED = {"content-type": "application/cloudevents+json"}
ODD = ["", "x", "/", "[]", "{", "a:0", '[["a",0]]', f"{'a' * 32}:0", f"{'a' * 32}:{'9' * 20}", "\u202e", "x" * 2_000]


async def answer(inside: Inside, kind: str, number: int, **echoed: str) -> None:
    """An answer that nobody asked for."""
    event = {"specversion": "1.0", "source": "svc", "id": str(number), "type": kind, "data": {"number": "7"}} | echoed
    taken = await inside.client.post("/events", content=json.dumps(event), headers=STRUCTURED)
    assert taken.status_code in (202, 400, 422), taken.text


async def test_odd_attributes_break_no_worker(inside: Inside) -> None:
    """Scope, cause, handler and run of an answer may be garbage or another run's: workers and other runs go on."""
    mine = (await inside.client.post("/apps/asking/Wish", json={"number": "7"})).json()["run"]
    other = (await inside.order(5)).json()["run"]
    await inside.work(ASKING)
    number = 0
    for name in ("swscope", "swcause", "swhandler", "swrun"):
        for odd in ODD:
            for run in (mine, other, "foreign"):
                number += 1
                said = {"swrun": run, "swcause": "c", "swscope": "", "swhandler": "ask"} | {name: odd}
                await answer(inside, "asking.answered.Answered.v2", number, **said)
    await inside.work(ASKING)
    await inside.work(APP)
    assert (await inside.get(f"/runs/{other}"))["result"]["n"] == 5
    assert (await inside.get(f"/runs/{mine}"))["state"] == "waiting"


@pytest.mark.parametrize("first", ["shop", "asking"])
async def test_an_answer_in_another_apps_run_does_not_stand_for_it(inside: Inside, first: str) -> None:
    """Who may answer one app cannot put a result of it in the place of another app's run, whichever app comes first."""
    places = inside.door.places
    places.all = tuple(sorted(places.all, key=lambda place: place.app.name != first))
    run = (await inside.order(500)).json()["run"]
    await inside.work(APP)
    await answer(inside, "asking.answered.Answered.v2", 1, swrun=run, swscope="")
    await answer(inside, "asking.found.Found.v1", 2, swrun=run, swscope="")
    await inside.work(ASKING)
    told = await inside.get(f"/runs/{run}")
    assert (told["app"], told["state"], told["result"]) == ("shop", "waiting", None)

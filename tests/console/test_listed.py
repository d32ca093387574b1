"""What a run's page says of each step, and what the filters of the list leave."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from tests.console.office import OFFICE, STORE, Parcel, checked

USAGE = "a-model 1200 in 340 out $0.0123"
Opened = Callable[..., Any]


async def test_a_step_shows_what_it_took_gave_and_cost(opened: Opened) -> None:
    """Its inputs, its outputs, its tokens and dollars, each under its name; and the run's dollars."""
    async with opened() as desk:
        records, run = checked(USAGE, amount=11, booked=12)
        await desk.bus.publish(records)
        await desk.login("eye")
        page = await desk.get(f"/runs/{run}")
        (step,) = [step for step in page.split("<li class=") if "<strong>check</strong>" in step]
        shown = dict(re.findall(r"<summary>(.*?)</summary><pre[^>]*>(.*?)</pre>", step, re.DOTALL))
        assert {name: re.findall(r"amount&#34;: (\d+)", text) for name, text in shown.items()} == {
            "in: Invoice": ["11"], "out: Booked": ["12"],
        }  # fmt: skip
        assert USAGE in step and "<dt>Cost</dt><dd>$0.0123</dd>" in page


async def test_the_list_is_filtered_by_app_and_time(opened: Opened) -> None:
    """Only runs of that app, and only those that began within that time; without a filter all are there."""
    async with opened(None, apps=(OFFICE, STORE)) as desk:
        old, young = await desk.publish("Ada", 1), await desk.publish("Bob", 1)
        out, parcel = STORE.record(Parcel(weight=3), now=time.time())
        await desk.bus.publish([out])
        database, number = desk.bus.store.db, desk.bus.store.find_run(old)
        assert database.execute("UPDATE events SET time = time - 7200 WHERE run = ?", (number,)).rowcount == 1
        for query, expected in (
            ("", {young, old, parcel}), ("app=store", {parcel}), ("app=office", {young, old}),
            ("since=1h", {young, parcel}), ("since=24h", {young, old, parcel}), ("since=1h&app=office", {young}),
        ):  # fmt: skip
            assert set(re.findall(r'href="/runs/(\w+)"', await desk.get(f"/?{query}"))) == expected, query

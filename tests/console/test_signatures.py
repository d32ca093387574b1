"""The console in front of workers that take signed decisions only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.console.office import OFFICE
from tests.door.forgery import forged

from stepwire_handlers.services.signing import UNCHECKED, UNSIGNED, tell

KEY, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
Opened = Callable[..., Any]


@pytest.mark.parametrize("key", [None, OTHER])
async def test_a_console_that_workers_would_not_believe_decides_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    """A page that says what to set, and every page says it before anybody tries; not a record more."""
    monkeypatch.setattr("stepwire_handlers.services.door.releases.LOOK", 0.01)
    async with opened(decision_key=key) as desk:
        run = await desk.publish("ann", 500)
        await desk.work(KEY)
        await tell(desk.bus, OFFICE, KEY)
        async with asyncio.timeout(10):
            while not desk.console.places["office"].refused:
                await asyncio.sleep(0.01)
        await desk.login("boss")
        gate = await desk.link("/gates", "/gates/office/")
        assert "Gates of office cannot be decided here: the workers of office" in await desk.get(gate)
        before = desk.bus.store.db.execute("SELECT count(*) FROM events").fetchone()
        answer = await desk.post(gate, decision="approve")
        assert (answer.status_code, "Set STEPWIRE_DECISION_KEY" in answer.text) == (409, True)
        assert desk.bus.store.db.execute("SELECT count(*) FROM events").fetchone() == before
        assert "approved by" not in await desk.get(f"/runs/{run}")


async def test_a_forged_decision_is_shown_as_what_it_is(opened: Opened) -> None:
    """As a claim, with the workers' key and without; the true one beside it where it can be checked."""
    async with opened(decision_key=KEY) as keyed, opened() as keyless:
        run = await keyed.publish("ann", 500)
        await keyed.work(KEY)
        await tell(keyed.bus, OFFICE, KEY)
        for desk in (keyed, keyless):
            await desk.login("boss")
        gate = await keyed.link("/gates", "/gates/office/")
        id_ = gate.split("/")[3].partition("?")[0]
        await keyed.bus.publish(forged("office", "approve", run, id_))
        await keyed.work(KEY)
        assert (await keyed.post(gate, decision="decline")).status_code == 303
        await keyed.work(KEY)
        for desk, true in ((keyed, "declined by key:boss"), (keyless, f"{UNCHECKED}: declined by key:boss")):
            said = re.findall(
                r'<p class="(said[^"]*)">([^:<]*(?:: \w+ by key:boss|key:boss)).*?</p>', await desk.get(f"/runs/{run}")
            )
            assert said == [
                ("said claimed", f"{UNSIGNED}: approved by key:boss"),
                ("said" if desk is keyed else "said claimed", true),
            ]  # fmt: skip

"""A console, or a door, whose release is not the workers'."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.console.conftest import OFFICE

from stepwire_handlers.services.door import releases

SAYS = f"Workers of {OFFICE.name} run another release than this console"


async def test_a_release_that_is_not_the_workers_is_said_until_it_is(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On every page, and in the log once; whoever looks at an older release's gates learns that there may be more."""
    monkeypatch.setattr(releases, "LOOK", 0.0)
    async with opened(access=None) as desk:
        own = OFFICE.wiring.table()

        async def until(said: bool) -> None:
            async with asyncio.timeout(20):
                while (SAYS in await desk.get("/gates")) is not said:
                    await asyncio.sleep(0)

        await until(False)
        await desk.bus.remember(OFFICE.name, {**own, "office.New.v1": ["check.new"]})
        await until(True)
        await desk.bus.remember(OFFICE.name, own)
        await until(False)
    said = capsys.readouterr().err
    assert said.count(f"workers of {OFFICE.name} run another release than this process") == 1
    assert said.count(f"workers of {OFFICE.name} run the release of this process again") == 1

"""A command that is told to end does so, whatever its steps are waiting for."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes import run

pytestmark = pytest.mark.slow  # for what it imports
NO_STAGE: Any = None


def test_nobody_waits_for_a_step_that_does_not_hear() -> None:
    """Helm waits for its five minutes; the command is over before, and its namespace gone."""
    begun, told = threading.Event(), threading.Event()

    def deaf(*_: object) -> None:
        begun.set()
        told.wait(20)

    async def command() -> None:
        steps = asyncio.create_task(run.aside(deaf, NO_STAGE, Path()))
        while not begun.is_set():
            await asyncio.sleep(0)
        steps.cancel()
        with pytest.raises(asyncio.CancelledError):
            await steps

    before = time.monotonic()
    asyncio.run(command())
    assert time.monotonic() - before < 10
    told.set()


def test_what_went_wrong_in_a_step_comes_out() -> None:
    """The thread is no place for an error to stay in."""

    def wrong(*_: object) -> None:
        raise run.Failed("a step")

    with pytest.raises(run.Failed, match="a step"):
        asyncio.run(run.aside(wrong, NO_STAGE, Path()))

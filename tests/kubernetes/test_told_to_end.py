"""A command that is told to end does so, whatever its steps are waiting for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes import run

pytestmark = pytest.mark.slow  # for what it imports
NO_STAGE: Any = None
ROOT = Path(__file__).parents[2]
BACKGROUND = """
import asyncio, os, signal, sys, time
from tests.kubernetes import run
signal.signal(signal.SIGINT, signal.SIG_IGN)
def deaf(*_):
    print("begun", flush=True)
    time.sleep(60)
async def command():
    try:
        await run.aside(deaf, None, None)
    finally:
        print("closed", flush=True)
os.environ.pop("KUBECONFIG", None)
run.on_this_machine = lambda home: asyncio.run(command())
sys.argv = ["run"]
sys.exit(run.main())
"""


def test_nobody_waits_for_a_step_that_does_not_hear() -> None:
    """Helm waits for its five minutes; the command is over before, and its namespace gone."""
    begun, told = threading.Event(), threading.Event()

    def deaf(*_: object) -> None:
        begun.set()
        told.wait(60)

    async def command() -> None:
        steps = asyncio.create_task(run.aside(deaf, NO_STAGE, Path()))
        while not begun.is_set():
            await asyncio.sleep(0)
        steps.cancel()
        with pytest.raises(asyncio.CancelledError):
            await steps

    before = time.monotonic()
    asyncio.run(command())
    assert time.monotonic() - before < 30
    told.set()


def test_sigterm_cleans_up_also_in_the_background() -> None:
    """A shell's background job ignores Ctrl-C; SIGTERM ends the steps and closes what was opened all the same."""
    with subprocess.Popen([sys.executable, "-c", BACKGROUND], cwd=ROOT, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "begun\n"
        command.terminate()
        said = command.stdout.read()
    assert said.startswith("closed\n") and "KeyboardInterrupt" in said and "FAIL after" in said
    assert command.returncode == 1


def test_what_went_wrong_in_a_step_comes_out() -> None:
    """The thread is no place for an error to stay in."""

    def wrong(*_: object) -> None:
        raise run.Failed("a step")

    with pytest.raises(run.Failed, match="a step"):
        asyncio.run(run.aside(wrong, NO_STAGE, Path()))

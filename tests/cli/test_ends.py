"""A command that is done ends, whatever a library left open: uvloop's loop waits for it while it closes."""

from __future__ import annotations

import subprocess
import sys

import pytest

STUCK = """
import asyncio, time, typer
from stepwire_handlers.cli.target import execute

class Loop(asyncio.SelectorEventLoop):
    def close(self):
        time.sleep(40)

class Policy(asyncio.DefaultEventLoopPolicy):
    _loop_factory = Loop

async def main():
    print("done")
    return 4

asyncio.set_event_loop_policy(Policy())
typer.run(lambda: execute(main))
"""


@pytest.mark.slow
def test_a_loop_that_does_not_close_keeps_no_process() -> None:
    """Its code, and what it printed, are there."""
    run = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, timeout=30, check=False)
    assert (run.returncode, run.stdout) == (4, b"done\n"), run.stderr

"""A chain whose second step kills its worker once, as soon as the first step's span was exported."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from stepwire import App, Event, handler


class Begin(Event, topic="begin"):
    n: int


class Middle(Event, topic="middle"):
    n: int


class End(Event, topic="end", result=True):
    n: int


@handler()
async def first(begin: Begin) -> Middle:
    return Middle(n=begin.n)


@handler()
async def second(middle: Middle) -> End:
    died, exported = (Path(os.environ["CRASH_FOLDER"]) / name for name in ("died", "exported"))
    if not died.exists():
        while not exported.exists():
            await asyncio.sleep(0.01)
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return End(n=middle.n)


app = App("crashing", [first, second])

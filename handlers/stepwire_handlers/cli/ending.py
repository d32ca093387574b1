"""The end of a command: all is done and written, and the process goes.

In: the code it ends with. Out: a watch that ends the process if the event loop does not close within `ENDING`: uvloop's
waits for connections that a library left open.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

ENDING = 5.0  #: seconds that a command's loop may take to close


@contextmanager
def ending(command: Callable[[], Coroutine[Any, Any, int]]) -> Iterator[Callable[[], Coroutine[Any, Any, int]]]:
    """The command, watched from when it is done until the block is left."""
    watches: list[threading.Timer] = []

    async def watched() -> int:
        code = await command()
        watches.append(_watch(code))
        return code

    try:
        yield watched
    finally:
        for watch in watches:
            watch.cancel()


def _watch(code: int) -> threading.Timer:
    def cut_off() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    timer = threading.Timer(ENDING, cut_off)
    timer.daemon = True
    timer.start()
    return timer

"""What makes the worker of `stepwire dev` end with it, also when it was killed and could tell nobody.

In: a pipe that `stepwire dev` holds open and never writes into; the worker has its other end. Out: the worker's own
SIGTERM once the pipe is closed, by whatever ended its parent. Promise: it is gone within DRAIN + PARTING seconds.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stepwire.errors import SettingsError

DRAIN = 3.0  #: seconds for calls to finish: the model that they ask may have ended with the parent
PARTING = 2.0  #: seconds to hand back what ran, before the process ends as it is
CUT_OFF = 130


@contextmanager
def leash() -> Iterator[int]:
    """The end of a pipe for the child, to be passed on; it closes with this process, or with the context."""
    theirs, ours = os.pipe()  # neither is inherited by a child that it is not passed to
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


def end_with(descriptor: int) -> None:
    """Watch the child's end, in a thread: imports or a handler may keep the event loop busy. Raises SettingsError."""
    try:
        os.set_inheritable(descriptor, False)
    except OSError as error:
        raise SettingsError(f"--leash {descriptor}: {error.strerror}; it is for `stepwire dev`, leave it out") from None
    threading.Thread(target=_watch, args=(descriptor,), name="leash", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 64):
        continue
    for seconds in (DRAIN, PARTING):  # the first signal drains, the second one cuts off
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(seconds)
    os._exit(CUT_OFF)

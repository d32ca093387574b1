"""A command that ends with the process that started it, also when that one is killed and can clean nothing up.

In: a command. Out: the same command behind this file, which keeps its pid: a signal to the pid reaches the command.
Promise: on Linux the system itself sends the command SIGKILL when its parent is gone. Elsewhere nobody does.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def leashed(command: list[str]) -> list[str]:
    """The command to start instead; from the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            f"{command[0]} would be killed when this thread ends: the leash is tied to the thread that starts it. "
            "Start it in the main thread (it returns at once) and wait for it elsewhere"
        )
    return [sys.executable, "-S", "-E", __file__, str(os.getpid()), *command]


def hold() -> None:
    """Put this process on the leash."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)


def _main(parent: int, command: list[str]) -> None:
    hold()
    if os.getppid() != parent:  # it died before the leash was on
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2:])

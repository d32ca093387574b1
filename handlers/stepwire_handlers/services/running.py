"""How a process that runs a worker is set up.

In: nothing. Out: a fast event loop, and a collector of garbage that leaves alone what stays.
"""

from __future__ import annotations

import gc

import uvloop

GARBAGE = (100_000, 50, 100)  #: allocations before a collection; Python's 700 walk every record in flight over and over


def prepare_process() -> None:
    """Set this process up; once, before its event loop is made."""
    uvloop.install()
    gc.collect()
    gc.freeze()  # modules, classes, wiring: alive until the end, so never looked through again
    gc.set_threshold(*GARBAGE)

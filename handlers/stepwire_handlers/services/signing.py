"""Whether the workers of an app take signed decisions only, for commands on the same file that have no key.

In: a bus's file, an app. Out: a mark beside the file, which a worker with a decision key leaves and one without takes
away. A decision without signature would be written, skipped by the worker, and its person be none the wiser. On Kafka
there is no such place, so there nobody knows.
"""

from __future__ import annotations

from pathlib import Path

from stepwire.bus.local import LocalBus


def _mark(path: str, app: str) -> Path:
    return Path(path + ".locks") / f"signed.{app}"


def tell(bus: LocalBus, app: str, *, signed: bool) -> None:
    """A worker says what it takes. Raises OSError."""
    if bus.path == ":memory:":
        return
    mark = _mark(bus.path, app)
    if signed:
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
    else:
        mark.unlink(missing_ok=True)


def required(bus: LocalBus, app: str) -> bool:
    """Did the last worker that began say so?"""
    return bus.path != ":memory:" and _mark(bus.path, app).exists()

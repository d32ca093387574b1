"""One line of the doctor's screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

State = Literal["ok", "note", "failed"]
FORMER = "former steps"


class Line(NamedTuple):
    """What was looked at, and how it is."""

    what: str
    state: State  #: note: it works, and one should know this
    found: str
    cure: str = ""


def ok(what: str, found: str) -> Line:
    """It is as it should be."""
    return Line(what, "ok", found)


def note(what: str, found: str, cure: str = "") -> Line:
    """It works, and one should know this."""
    return Line(what, "note", found, cure)


def failed(what: str, found: str, cure: str) -> Line:
    """The process cannot do its job."""
    return Line(what, "failed", found, cure)


def left_over(steps: Mapping[str, int]) -> list[Line]:
    """Steps that are gone and have something left, a line for each: `run` would refuse to start."""
    return [
        failed(
            FORMER,
            f"{step} is gone and has {count} events or entries left",
            f"give its successor name={step!r}; or, where no gate and no join waits: stepwire groups move {step} NEW; "
            f"or give up what it keeps: put it back with @handler(retired=True)",
        )
        for step, count in sorted(steps.items())
    ]

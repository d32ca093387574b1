"""A run as data, in the form of `--json`: what commands show, and what a door tells them.

In: a `RunView`. Out: plain data. What is sensitive is masked: a run is shown to others than who published it. Texts of
its events are cut where they are long, its result is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from stepwire_handlers.services.runs import RunView, summary
from stepwire_handlers.services.timeline import Step, timeline
from stepwire_handlers.telemetry.mask import masked

DOLLARS = re.compile(r"\$([0-9]{1,12}(?:\.[0-9]{1,12})?)$", re.ASCII)
Data = dict[str, Any]


def brief(view: RunView) -> Data:
    """How it stands, and since when."""
    data = summary(view)
    if view.result is not None:
        data["result"] = {"type": type(view.result).__name__, **masked(view.result, shorten=False)}
    return data | {"started": view.started}


def dollars(stamps: Iterable[Mapping[str, str]]) -> float | None:
    """What steps cost together, if any stamped that. A stamp is a header, and a header may say anything."""
    said = [DOLLARS.search(each.get("usage", "")) for each in stamps]
    return sum(float(each[1]) for each in said if each) if any(said) else None


def waits(view: RunView) -> list[str]:
    """What it waits for, such as `gate: approve`."""
    return sorted({f"{item.kind}: {item.handler}" for item in view.open})


def whole(view: RunView) -> Data:
    """A run with its events, its steps and what is open."""
    events = [
        {"time": line.time, "handler": line.handler, "type": type(line.event).__name__, "identity": line.identity,
         "event": masked(line.event)}
        for line in view.lines
    ]  # fmt: skip
    steps, open_ = [_step(step) for step in timeline(view)], [item._asdict() for item in view.open]
    return brief(view) | {"events": events, "steps": steps, "open": open_}


def _step(step: Step) -> Data:
    return {
        "handler": step.handler or None, "id": step.id, "outcome": step.outcome, "begun": step.begun,
        "ended": step.ended, "seconds": step.seconds, "attempts": step.attempts,
        "inputs": [{"type": type(line.event).__name__, "identity": line.identity} for line in step.inputs],
        "outputs": [{"type": type(line.event).__name__, "identity": line.identity} for line in step.outputs],
        "about": step.about, "last_error": step.last_error, "due": step.due, "stamps": dict(step.stamps),
        "said": [said.data() for said in step.said],
    }  # fmt: skip

"""What people did to a run: who decided, replayed or dropped what, why, and what they changed.

In: an answer that a person gives. Out: a record for `<app>.runs`, published together with the answer, and the same
read back. Control topics are no history: the bus deletes what is finished there. A sensitive field is masked before
it is written. A release that does not know such a record takes it for an end of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stepwire import Event
from stepwire.bus.protocol import Out
from stepwire.dispatch.step import runs_topic
from stepwire.jsontext import dump
from stepwire_handlers.telemetry.mask import masked_json, sensitive_values, without

PAST = {
    "approve": "approved", "decline": "declined", "done": "said to be done", "redo": "done again", "drop": "dropped",
    "replay": "replayed",
}  # fmt: skip


class Said(NamedTuple):
    """One thing that a person did."""

    handler: str
    id: str  #: of the delivery or join that it is about
    decision: str  #: approve | decline | done | redo | drop | replay
    by: str
    why: str = ""
    edited: Mapping[str, Any] | None = None  #: the fields that they changed, as they wanted them; None: no edit
    time: float = 0.0

    @property
    def words(self) -> str:
        """Such as: approved by key:ann."""
        edit = " with an edit" if self.decision == "replay" and self.edited is not None else ""
        return f"{PAST.get(self.decision, self.decision)}{edit}{f' by {self.by}' if self.by else ''}"

    def data(self) -> dict[str, Any]:
        """In the form of `--json`."""
        return {
            "handler": self.handler, "id": self.id, "decision": self.decision, "by": self.by, "why": self.why,
            "edited": None if self.edited is None else dict(self.edited), "time": self.time,
        }  # fmt: skip


def changed(before: Event | None, after: Event) -> dict[str, Any]:
    """The fields that an edit changed, masked; of an event that could not be read all of them."""
    data = masked_json(after)
    if type(before) is not type(after):
        return dict(data)
    return {name: value for name, value in data.items() if getattr(before, name, None) != getattr(after, name, None)}


def note(app: str, run: str, said: Said, *quoted: object) -> list[Out]:
    """The record of it, if it is known to which run it belongs; a remark may quote what is sensitive in `quoted`."""
    if not run:
        return []
    told = {
        "decision": said.decision, "handler": said.handler, "id": said.id, "by": said.by,
        "why": without(said.why, sensitive_values(list(quoted))), "edited": said.edited,
    }  # fmt: skip
    body = {"run": run, "delivery": "", "handler": "", "why": "said", "joins": [], "said": told}
    return [Out(runs_topic(app), run, {"ce_swrun": run}, dump(body))]


def told(body: Mapping[str, Any], time: float) -> Said | None:
    """What a record of `<app>.runs` says that somebody did; None for one of another kind."""
    found = body.get("said")
    return None if found is None else Said(**found, time=time)

"""What waits for a person: gates, and effects of which nobody knows whether they happened (R13).

In: stored joins and items. Out: a list of them, and the control records that decide.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from stepwire import App, Event
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.codec import Codec
from stepwire.dispatch.step import control_topic, join_rules
from stepwire.errors import DecodeError, StepwireError
from stepwire.gate import decision
from stepwire.join import JoinState, deadline
from stepwire.state import Entry, decode_entry, kept
from stepwire_handlers.services.stored import Stored


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that a person owes."""

    id: str
    handler: str
    kind: str  #: gate | unknown outcome
    run: str
    since: float
    until: float | None  #: when a gate expires
    event: Event | None
    why: str = ""


class Gates:
    """What waits for a person in one app."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self._app, self._bus, self._stored = app, bus, Stored(app, bus)

    def open(self) -> list[Waiting]:
        """All of them, oldest first."""
        found = [waiting for handler, join in self._stored.joins() if (waiting := self.of_join(handler, join))]
        for item in self._stored.items():
            if item.unknown:
                record = kept(item.entry)
                run = record.headers.get("ce_swrun") or str(item.entry.meta.get("run", ""))
                event = self._event(item.entry)
                found.append(
                    Waiting(item.id, item.handler, "unknown outcome", run, record.time, None, event, item.unknown)
                )
        return sorted(found, key=lambda waiting: waiting.since)

    def of_join(self, handler: str, join: JoinState) -> Waiting | None:
        """What a person owes a join; None if it waits for something else."""
        step = self._app.wiring.handlers.get(handler)
        if step is None or (join.call is not None and join.call.get("dead")):
            return None
        if join.call is not None and join.call.get("unknown"):
            why = str(join.call["unknown"])
            return Waiting(join.id, handler, "unknown outcome", join.run, join.opened, None, None, why)
        asked = next((part for part in step.signature.parts if part.decision), None)
        if asked is None or join.decision is not None or asked.name not in join.slots:
            return None
        until = deadline(join, join_rules(step, self._app.settings))
        event = self._event(decode_entry(join.slots[asked.name]))
        return Waiting(join.id, handler, "gate", join.run, join.opened, until, event)

    def _event(self, entry: Entry) -> Event | None:
        record = kept(entry)
        types = [event for event in self._app.wiring.events if event.spec.topic == record.topic]
        try:
            event = Codec(record.topic, types).event(record)
        except DecodeError:
            return None
        return None if isinstance(event, str) else event

    def find(self, prefix: str) -> Waiting:
        """The one whose id begins so. Raises StepwireError if there is none, or more than one."""
        found = [waiting for waiting in self.open() if waiting.id.startswith(prefix)]
        if len(found) != 1:
            what = "several things that wait for a person begin" if found else "nothing that waits for a person begins"
            raise StepwireError(f"{what} with {prefix!r} (decided already?); see: stepwire gates list --app …")
        return found[0]

    async def decide(
        self, gate: Waiting, *, approved: bool, by: str, why: str, edited: dict[str, Any] | None, key: str
    ) -> None:
        """Approve or decline; `edited` are the fields of the event as the person wants it."""
        if gate.kind != "gate":
            raise StepwireError(f"{gate.id[:12]} is an unknown outcome: use --done JSON, --redo or --drop")
        value = b""
        if edited is not None and gate.event is not None:
            whole = {**gate.event.model_dump(mode="json"), **edited}
            value = type(gate.event).model_validate(whole).model_dump_json().encode()
        entry = decision(gate.id, approved=approved, by=by, why=why, edited=value, key=key, sent=time.time())
        await self._send(gate, entry)

    async def resolve(self, waiting: Waiting, verdict: str, *, by: str, kind: str = "", data: str = "null") -> None:
        """Say what became of an unknown outcome: done (with the event it returned), redo or drop."""
        if waiting.kind != "unknown outcome":
            raise StepwireError(f"{waiting.id[:12]} is a gate: use --approve or --decline")
        json.loads(data)
        meta = {"kind": "resolve", "id": waiting.id, "verdict": verdict, "by": by, "type": kind}
        await self._send(waiting, Entry(meta, {}, data.encode()))

    async def _send(self, waiting: Waiting, entry: Entry) -> None:
        topic = control_topic(self._app.name, waiting.handler)
        await self._bus.publish([Out(topic, waiting.id, {}, entry.encode())])

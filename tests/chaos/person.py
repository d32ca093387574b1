"""The person of a chaos run: decides gates, answers dead letters, looks what became of unknown outcomes.

In: apps on a bus that others work on. Out: messages to them, as the command line sends them.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from random import Random

from tests.chaos.judge import Facts

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire_handlers.mcp_servers.claims import Claims
from stepwire_handlers.services.dead_letter import DeadLetter
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.gates import GATE, Gates

MOST_REPLAYS = 3


class Person:
    """One who answers whatever is asked."""

    def __init__(self, apps: dict[str, App], bus: LocalBus, folder: Path, dice: Random) -> None:
        self._apps, self._bus, self._folder, self._dice = apps, bus, folder, dice
        self.decided = self.resolved = self.replayed = self.dropped = 0

    async def decide(self) -> None:
        """Approve most gates, and send some back."""
        self._bus.log.refresh()
        for app in self._apps.values():
            gates = Gates(app, self._bus)
            for waiting in gates.open():
                if waiting.kind == GATE:
                    good = self._dice.random() < 0.8
                    await gates.decide(
                        waiting, approved=good, by="chaos", why="" if good else "look again", edited=None, key=""
                    )
                    self.decided += 1

    async def answer(self) -> int:
        """Say what became of every unknown outcome and dead letter; how many there were."""
        self._bus.log.refresh()
        before = self.resolved + self.replayed + self.dropped
        for app in self._apps.values():
            gates = Gates(app, self._bus)
            for waiting in gates.open():
                if waiting.kind != GATE and waiting.event is not None:
                    data = json.dumps({"n": waiting.event.n})  # type: ignore[attr-defined]
                    await gates.resolve(waiting, "done", by="chaos", kind="Sent", data=data, key="")
                    self.resolved += 1
            letters = DeadLetters(app, self._bus)
            for letter in letters.open():
                if letter.error == "Reject" or letter.number >= MOST_REPLAYS:
                    await letters.drop([letter])
                    self.dropped += 1
                    continue
                if letter.error == "ToolOutcomeUnknown":
                    self._look(app, letter)
                await letters.resume([letter])
                self.replayed += 1
        return self.resolved + self.replayed + self.dropped - before

    def _look(self, app: App, letter: DeadLetter) -> None:
        """What the back end shows decides: the claim gets its answer, or is released."""
        delivery = f"{app.name}/{letter.handler}/{letter.id}"
        claims = Claims(self._folder / "claims.db")
        try:
            for claim in claims.open_claims():
                if claim.key.startswith(delivery):
                    answer = self._seen(claim.tool, json.loads(letter.record.value))
                    if answer is None:
                        claims.release(claim.tool, claim.key)
                    else:
                        claims.answer(claim.tool, claim.key, json.dumps(answer))
        finally:
            claims.close()

    def _seen(self, tool: str, event: dict[str, dict[str, str]]) -> dict[str, str] | None:
        """The answer that the server would have given, if the effect lies outside."""
        number, customer = event["invoice"]["number"], event["customer"]
        effects = Facts(self._folder).effects()
        if tool == "slack.send":
            seen = any(e.startswith("message ") and f"invoice {number} of " in e for e in effects)
            return {"channel": customer["slack_channel"], "ts": f"seen {number}"} if seen else None
        seen = any(e.startswith("draft ") and e.endswith(f" Your invoice {number}") for e in effects)
        return {"id": f"seen {number}", "message_id": "seen"} if seen else None


def in_flight(path: Path, app: str) -> bool:
    """Has a group of this app records that it has not finished? Seen from outside."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        (behind,) = database.execute(
            "SELECT count(*) FROM progress p JOIN groups g ON g.id = p.grp WHERE g.name LIKE ? AND p.watermark <= "
            "(SELECT max(pos) FROM events WHERE pos >= (p.topic << 44) | (p.part << 36) "
            "AND pos < (p.topic << 44) | ((p.part + 1) << 36)) - ((p.topic << 44) | (p.part << 36))",
            (f"{app}.%",),
        ).fetchone()
    finally:
        database.close()
    return bool(behind)

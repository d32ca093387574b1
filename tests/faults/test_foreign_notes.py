"""Records of somebody else's on an app's own topics for ends and dead letters: who looks at runs passes over them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stepwire import App, Event, Reject, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.worker import Worker
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.gates import Gates
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.services.signing import Signing

VALUES = (
    b"", b"\xff\x00", b"{}", b"[]", b"null", b'"x"', b"{" * 5_000, b'{"said":{}}', b'{"said":"x","unsaid":1}',
    b'{"run":1,"delivery":2,"handler":3,"why":4,"joins":5}', b'{"delivery":"d","handler":"work","why":"none"}',
    b'{"delivery":"d","handler":"work","why":"none","joins":[1,null]}',
    b'{"delivery":"d","handler":"work","why":"none","joins":[],"attempts":"x","error":5}',
)  # fmt: skip


class Asked(Event, topic="asked"):
    n: int


class Done(Event, topic="done", result=True):
    n: int


@handler()
async def work(asked: Asked) -> Done:
    raise Reject("never")


APP = App("notes", [work])


@pytest.mark.parametrize("topic", ["notes.runs", "notes.work.dlt"])
async def test_nobody_who_looks_at_runs_stumbles_over_it(topic: str, tmp_path: Path) -> None:
    """The run's own dead letter is shown all the same, in its run, in the list, and with what was said about it."""
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    worker = Worker(APP, bus)
    await worker.start()
    out, run = APP.record(Asked(n=1), now=time.time())
    await bus.publish([out])
    await worker.settle()
    whole = {"ce_swrun": run, "sw_delivery": f"notes/work/{run}", "sw_replay": "many"}
    await bus.publish([Out(topic, "k", headers, v) for v in VALUES for headers in ({}, {"ce_swrun": run}, whole)])
    (letter,) = DeadLetters(APP, bus).open()
    view = Runs(APP, bus).view(run)
    assert (view.state, [each.message for each in view.dead], letter.message) == ("failed", ["never"], "never")
    assert DeadLetters(APP, bus).said(letter, Signing("notes", bus)) == []
    assert Gates(APP, bus).open() == []
    await worker.stop()
    await bus.close()

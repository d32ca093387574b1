"""Whoever may write to a control topic may write anything: nothing of it stops a worker, now or at its next start."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.profiles import budget

from stepwire import App, Decision, Event, handler
from stepwire.bus.protocol import Out
from stepwire.memory import Run

ODD: list[Any] = [
    None, True, -1, 3, 10**9, 10**400, 1.5, float("inf"), float("nan"), "", "x", "y/1", "#stub", "#call", "#decision",
    "#open", "#list", "\ud800", [], ["x"], {}, {"x": 1},
]  # fmt: skip
PLACE = {"t": "start", "p": 0, "o": 7, "at": 5.0, "k": None}
ADDRESS = {"id": "j1", "run": "r1", "scope": "", "fork": ""}
DEEP = b'{"kind":"x","id":"x","z":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
MESSAGES: dict[str, dict[str, Any]] = {
    "part": {**ADDRESS, **PLACE, "slot": "ask"},
    "absent": {**ADDRESS, "slot": "ask", "at": 5.0},
    "blocked": {**ADDRESS, "slot": "ask", "at": 5.0, "by": "x/one/1"},
    "open": {**ADDRESS, "slot": "#open", "size": 2, "at": 5.0, "trace": "", "correlation": ""},
    "decision": {"id": "j1", "slot": "#decision", "approved": True, "by": "ann", "why": "", "sent": 5.0},
    "item": {"id": "i1", "run": "r1", "order": "a", **PLACE},
    "replay": {
        "id": "i1", "replay": 1, "origin": "event", "drop": False, "edited": False, "grant": False, **PLACE, "run": "r1"
    },
    "resolve": {"id": "i1", "slot": "#resolve", "verdict": "done", "type": "Done", "by": "ann"},
}  # fmt: skip


class Start(Event, topic="start", entry=True):
    n: int = 0


class Ask(Event, topic="ask"):
    n: int


class Asked(Event, topic="asked"):
    n: int


class Part(Event, topic="part"):
    n: int


class Done(Event, topic="done", terminal=True):
    n: int


@handler(order="n")
async def split(start: Start) -> tuple[Ask, list[Part]]:
    return Ask(n=start.n), [Part(n=1), Part(n=2)]


@handler()
async def gate(ask: Decision[Ask]) -> Asked:
    return Asked(n=ask.event.n)


@handler(effect="once", timeout=5)
async def collect(asked: Asked, parts: list[Part]) -> Done:
    return Done(n=len(parts))


APP = App("x", [split, gate, collect])


@st.composite
def forged(draw: st.DrawFn) -> bytes:
    """A message as ours, of which up to three fields lack or are odd; or nothing like it."""
    kind = draw(st.sampled_from([*MESSAGES, "unknown"]))
    meta: dict[str, Any] = {"kind": kind, **MESSAGES.get(kind, {})}
    for name in draw(st.lists(st.sampled_from([*meta, "attempt", "due", "seq", "unknown", "claim"]), max_size=3)):
        if draw(st.booleans()):
            meta.pop(name, None)
        else:
            meta[name] = draw(st.sampled_from(ODD))
    headers = draw(st.sampled_from([b"", b"{}", b'{"ce_type":"Ask"}', b"[]", b"1", b'{"a":1}', b"{"]))
    value = draw(st.sampled_from([b"", b"{}", b'{"n":1}', b"\xff", b"[]"]))
    whole = draw(st.sampled_from([json.dumps(meta).encode()] * 8 + [b"[]", b"1", b"", b'{"kind":[]}', DEEP]))
    return draw(st.sampled_from([b"1", b"1", b"1", b"1", b"0"])) + whole + b"\n" + headers + b"\n" + value


async def _tell(run: Run, handler: str, message: bytes) -> None:
    await run._bus.publish([Out(f"x.{handler}.control", "k", {}, message)])
    await run._settle()


@budget(60)
@given(messages=st.lists(st.tuples(st.sampled_from(["split", "gate", "collect"]), forged()), min_size=1, max_size=6))
async def test_a_forged_message_stops_no_worker(messages: list[tuple[str, bytes]]) -> None:
    """It is skipped, or it is a dead letter; the next run goes its way, and time may go on."""
    async with await APP.run() as run:
        for name, message in messages:
            await _tell(run, name, message)
        await run.publish(Start(n=5))
        mine = next(gate for gate in run.gates if gate.event == Ask(n=5))
        await run.decide(mine)
        assert Done(n=2) in run.events
        await run.advance(40 * 86_400.0)


@pytest.mark.parametrize("kind", [*MESSAGES])
async def test_what_we_write_ourselves_is_taken(kind: str) -> None:
    """The messages that the test above damages are whole before that."""
    from stepwire.dispatch.mail import message

    raw = b"1" + json.dumps({"kind": kind, **MESSAGES[kind]}).encode() + b"\n\n"
    assert message(raw).meta["kind"] == kind

"""Two events of one run that reach one gate: refused when the app is built (SW140), or each gets its decision."""

from __future__ import annotations

from stepwire import App, Decision, Event, WiringError, handler


class Start(Event, topic="start"):
    n: int = 0


class Ask(Event, topic="ask"):
    n: int


class Done(Event, topic="done", terminal=True):
    n: int


@handler()
async def one(start: Start) -> Ask:
    return Ask(n=1)


@handler()
async def two(start: Start) -> Ask:
    return Ask(n=2)


@handler()
async def gate(ask: Decision[Ask]) -> Done:
    return Done(n=ask.event.n)


async def test_no_ask_is_dropped() -> None:
    """Two events of one run that reach one gate: refused when the app is built (SW140), or each gets its decision."""
    try:
        app = App("x", [one, two, gate])
    except WiringError:
        return
    run = await app.run(Start())
    gates = len(run.gates)
    for g in list(run.gates):
        await run.decide(g)
    done = sorted(e.n for e in run.events if isinstance(e, Done))
    state = run.state
    await run.close()
    assert done == [1, 2], f"2 asks, {gates} gate, decided {done}, run says {state}"

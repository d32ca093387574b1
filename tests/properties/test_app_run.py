"""Random wirings through `app.run`, as authors run them in tests: in memory, on a clock that stands still."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.properties import behaviour as b
from tests.properties.build import World
from tests.properties.interpreter import Interpreter
from tests.properties.profiles import budget
from tests.properties.wirings import Plan, Style, plans

from stepwire import WiringError
from stepwire.memory import Dead, Run

ODDS = b.Odds(trouble=10, kinds=("transient", "later", "reject", "raise", "many", "wrong"))


async def answer(run: Run, world: World, dead: Dead) -> None:
    """Replay or drop a dead letter, as `behaviour.healed` says."""
    key = dead.record.headers["sw_delivery"]
    if dead.error in ("DecodeError", "VisitLimit"):
        value = json.loads(dead.record.value)
        if not b.healed(world.seed, dead.handler, value["path"]):
            await run.drop(dead)
        elif dead.error == "VisitLimit":
            await run.replay(dead)
        else:
            kind = next(event for event in world.events if event.spec.type == dead.record.headers["ce_type"])
            await run.replay(dead, kind(**{**value, "state": "whole"}))
        return
    world.healed.add(key)
    if b.healed(world.seed, dead.handler, world.paths[key]):
        await run.replay(dead)
    else:
        await run.drop(dead)


async def trial(plan: Plan, seed: int) -> list[str]:
    world, dice, wrong = World(plan, seed, ODDS), Random(seed), []
    async with await world.app.run(world.event(b.Emit(0, "root")), id="1") as run:
        while run.state != "completed":
            if run.gates:
                gate = dice.choice(run.gates)
                path = str(gate.event.path)  # type: ignore[attr-defined]
                good, edited = b.approved(seed, "gate", path)
                other = gate.event.model_copy(update={"path": path + "-as-edited"}) if edited else None
                await run.decide(gate, approved=good, edited=other)
            elif run.dead_letters:
                await answer(run, world, dice.choice(run.dead_letters))
            elif run.waiting and not wrong:
                await run.advance(700.0)  # longer than any parked call waits
                wrong += ["it waits for nothing"] if run.waiting and not (run.gates or run.dead_letters) else []
            else:
                return [*wrong, f"state {run.state}, waiting {run.waiting}"]
        reference = Interpreter(plan, seed, ODDS, world.observed, [b.Published("", b.Emit(0, "root"))]).run()
        real = Counter((world.events.index(type(event)), event.path) for event in run.events)  # type: ignore[arg-type, attr-defined]
        wanted: Counter[tuple[int, str]] = Counter()
        for (kind, path, _), n in reference.emitted.items():
            wanted[kind, path] += n
        wrong += [f"too many {key} x{n}" for key, n in (real - wanted).items()]
        return wrong + [f"missing {key} x{n}" for key, n in (wanted - real).items() if key not in reference.broken]


def test_a_run_in_memory_is_completed_and_has_its_events() -> None:
    """`app.run` says "completed" exactly when nothing is open any more, and `run.events` are the run's events."""

    @given(plans(Style(timed=False)), st.integers(0, 2**16))
    @budget(120)
    def each(plan: Plan, seed: int) -> None:
        try:
            wrong = asyncio.run(trial(plan, seed))
        except WiringError:
            return
        assert not wrong, "\n".join([*wrong, str(plan)])

    each()

"""What must hold of a run that was played to its end; each judge returns what is wrong, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TypeVar

from tests.properties.interpreter import Interpreter
from tests.properties.stage import Stage

from stepwire.join import JoinState
from stepwire.state import Mailbox

K = TypeVar("K", bound=Hashable)


def reference(stage: Stage) -> Interpreter:
    """What the run must have come to."""
    world = stage.world
    return Interpreter(world.plan, world.seed, world.odds, world.observed, stage.outside.published).run()


async def everything(stage: Stage) -> list[str]:
    """What must hold whatever went wrong on the way."""
    wrong = await emitted(stage, reference(stage)) + settled_once(stage) + in_order(stage)
    wrong += await closed(stage) + await remembered(stage)
    return wrong or await forgotten(stage)


async def emitted(stage: Stage, wanted_of: Interpreter) -> list[str]:
    """Every event of the run was emitted exactly as often as the interpreter says."""
    return [*wanted_of.wrong, *_difference(await stage.emitted(), wanted_of.emitted)]


def _difference(real: Counter[K], wanted: Counter[K]) -> list[str]:
    return [f"too often: {key} x{n}" for key, n in (real - wanted).items()] + [
        f"missing: {key} x{n}" for key, n in (wanted - real).items()
    ]


def fired_once(stage: Stage, wanted_of: Interpreter) -> list[str]:
    """Every join was called to its end exactly once where the interpreter says so, and nowhere else."""
    calls = Counter({where: len(found) for where, found in stage.world.observed.calls.items()})
    given_up = stage.world.observed.dropped
    return [
        f"{where} was called {calls[where]} times, not {wanted_of.fired[where]}"
        for where in {*calls, *wanted_of.fired}
        if calls[where] != wanted_of.fired[where] and not (where in given_up and not calls[where])
    ]


def settled_once(stage: Stage) -> list[str]:
    """No slot was settled a second time but by what came twice; nothing was sent that a mailbox does not understand."""
    twice = {step.name for step in stage.world.plan.steps if stage.outside.repeated.intersection(step.taken)}
    twice |= {step.name for step in stage.world.plan.steps if step.dedupe or step.external}
    doubles = [fact for fact in stage.skipped("duplicate") if fact.handler not in twice]
    return [str(fact) for fact in (*doubles, *stage.skipped("unknown_message"))]


def dropped_once(stage: Stage, wanted_of: Interpreter) -> list[str]:
    """`dedupe=`: every handler dropped exactly what it had seen within its window."""
    drop = {step.name for step in stage.world.plan.steps if step.dedupe}
    real = Counter(fact.handler for fact in stage.skipped("duplicate") if fact.handler in drop)
    return [f"dropped by {line}" for line in _difference(real, wanted_of.dropped)]


def called_once(stage: Stage) -> list[str]:
    """No attempt of any delivery was called twice."""
    return [f"{key} was called {n} times" for key, n in stage.world.started.items() if n > 1]


def in_order(stage: Stage) -> list[str]:
    """`order=` never handles two events of one value at once; `effect="once"` is never repeated unasked."""
    return stage.world.wrong


async def closed(stage: Stage) -> list[str]:
    """Nothing waits: no join, no parked delivery; what is kept are stubs, verdicts and ids seen."""
    wrong = []
    for name, mailbox in stage.mailboxes:
        wrong += [f"{name} keeps item {id_}" for id_ in mailbox.items]
        joins = [join for join in mailbox.joins.values() if join.stored != ["#decision"]]  # of a gate that is closed
        wrong += [f"{name} keeps join {_shown(join)}" for join in joins if join.stub is None]
        wrong += [f"{name} keeps more than a stub: {_shown(j)}" for j in mailbox.joins.values() if len(j.stored) > 1]
        wrong += [f"{name} thinks it calls {id_}" for id_ in mailbox.calling]
    return wrong


async def remembered(stage: Stage) -> list[str]:
    """What is in memory equals a fresh scan of what is stored."""
    wrong = []
    groups = stage.bus.store.groups()
    for name, mailbox in stage.mailboxes:
        fresh = Mailbox(mailbox.partition)
        after = ""
        while rows := stage.bus.store.state(groups[f"p.{name}"][0], mailbox.partition, after, 1_000):
            for key, raw in rows:
                fresh.put(key, raw)
            after = rows[-1][0]
        fresh.restore_order()
        for what in ("items", "seen", "verdicts", "queues"):
            if getattr(fresh, what) != getattr(mailbox, what):
                wrong.append(f"{name}[{mailbox.partition}].{what}: {getattr(mailbox, what)} != {getattr(fresh, what)}")
        ours = {id_: _shown(join) for id_, join in mailbox.joins.items()}
        theirs = {id_: _shown(join) for id_, join in fresh.joins.items()}
        if ours != theirs:
            wrong.append(f"{name}[{mailbox.partition}]: in memory {ours}, stored {theirs}")
    return wrong


def _shown(join: JoinState) -> str:
    place = (join.run, join.scope, join.fork) if join.stub is None else ""  # that of a stub nobody asks for
    return (
        f"{sorted(join.slots)} absent {sorted(join.absent)} blocked {sorted(join.blocked)} size {join.size} "
        f"call {join.call} stub {join.stub} decided {join.decision is not None} "
        f"opened {join.opened} counted {join.settled_items, join.items_present} at {place}"
    )


async def forgotten(stage: Stage) -> list[str]:
    """After the time of keeping nothing at all is stored, and memory is empty."""
    await stage.wait(stage.settings.keep + 2 * 86_400.0)
    wrong = await remembered(stage)
    for name, mailbox in stage.mailboxes:
        if mailbox.items or mailbox.joins or mailbox.verdicts or mailbox.seen or mailbox.queues:
            left = [_shown(join) for join in mailbox.joins.values()]
            wrong.append(f"{name} still keeps {mailbox.items or ''} {left} {mailbox.verdicts} {mailbox.seen}")
    return wrong

"""The flow that is killed: chain, route, fan-out with a merge, scatter and gather in a loop, a gate, one effect.

Its shapes are those of the shipped flows, without models. Every effect outside is a line in a file, written before and
after, so that a judge can see what happened without asking anybody.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

from stepwire import App, Context, Decision, Event, Join, agreed, handler

FOLDER = Path(os.environ.get("CHAOS_FOLDER", "."))


class Ticket(Event, topic="ticket"):
    n: int


class Plain(Event, topic="plain"):
    n: int


class Facts(Event, topic="facts"):
    n: int


class Tone(Event, topic="tone"):
    n: int


class Checked(Event, topic="checked", entry=True):
    n: int
    lap: int = 0


class Ballot(Event, topic="ballot"):
    n: int
    lap: int
    juror: int


class Vote(Event, topic="vote"):
    n: int
    lap: int
    yes: bool


class Again(Event, topic="again"):
    n: int
    lap: int


class Asked(Event, topic="asked"):
    n: int


class Approved(Event, topic="approved"):
    n: int


class Sent(Event, topic="sent", result=True):
    n: int


class Shelved(Event, topic="shelved", result=True):
    n: int


def effect(name: str, key: str, what: str) -> None:
    """One line, whole, appended."""
    with (FOLDER / f"{name}.log").open("a") as file:
        file.write(f"{what} {key}\n")


async def pause() -> None:
    """As long as a quick model call."""
    await asyncio.sleep(random.uniform(0.0, 0.02))


@handler()
async def route(ticket: Ticket) -> Plain | Checked:
    await pause()
    return Plain(n=ticket.n) if ticket.n % 2 else Checked(n=ticket.n)


@handler()
async def facts(plain: Plain) -> Facts:
    await pause()
    return Facts(n=plain.n)


@handler()
async def tone(plain: Plain) -> Tone:
    await pause()
    return Tone(n=plain.n)


@handler()
async def merge(facts: Facts, tone: Tone) -> Asked | Approved:
    return Asked(n=facts.n) if facts.n % 7 == 0 else Approved(n=facts.n)


@handler()
async def jury(checked: Checked) -> list[Ballot]:
    return [Ballot(n=checked.n, lap=checked.lap, juror=juror) for juror in range(5)]


@handler()
async def vote(ballot: Ballot, ctx: Context) -> Vote:
    await pause()
    if ctx.attempt == 1 and ballot.juror == ballot.n % 11:
        raise ConnectionError("a provider that is down for a moment")
    return Vote(n=ballot.n, lap=ballot.lap, yes=ballot.lap >= ballot.n % 3)


@handler(join=Join(until=agreed(3, by=lambda vote: vote.yes)))
async def count(votes: list[Vote]) -> Approved | Again:
    first = votes[0]
    yes = sum(vote.yes for vote in votes) > len(votes) / 2
    return Approved(n=first.n) if yes else Again(n=first.n, lap=first.lap)


def give_up(again: Again) -> Shelved:
    """Enough."""
    return Shelved(n=again.n)


@handler(max_visits=3, on_limit=give_up)
async def revise(again: Again) -> Checked:
    await pause()
    return Checked(n=again.n, lap=again.lap + 1)


@handler()
async def approve(asked: Decision[Asked]) -> Approved | Shelved:
    return Approved(n=asked.event.n) if asked.approved else Shelved(n=asked.event.n)


@handler(effect="once", timeout=30)
async def send(approved: Approved, ctx: Context) -> Sent:
    effect("once", ctx.key, "begin")
    await asyncio.sleep(random.uniform(0.0, 0.4))  # kills should fall into it
    effect("once", ctx.key, "end")
    return Sent(n=approved.n)


app = App("chaos", [route, facts, tone, merge, jury, vote, count, revise, approve, send])

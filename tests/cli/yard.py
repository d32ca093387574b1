"""An app whose step gets another name, before and after; and one whose step waits for a person."""

from __future__ import annotations

from stepwire import App, Decision, Event, Reject, handler


class Load(Event, topic="yard.loads"):
    n: int


class Packed(Event, topic="yard.packed", terminal=True):
    n: int


async def pack(load: Load) -> Packed:
    if load.n == 13:
        raise Reject("thirteen")
    return Packed(n=load.n)


async def sign(load: Decision[Load]) -> Packed | None:
    return Packed(n=load.final.n) if load.approved else None


def yard(name: str) -> App:
    """The same step under another name."""
    return App("yard", [handler(name=name, dedupe=3600.0)(pack)])


before, after = yard("pack"), yard("wrap")
three = App("yard", [handler(name=name)(pack) for name in ("pack", "label", "ship")])
gate_before, gate_after = (App("yard", [handler(name=name)(sign)]) for name in ("pack", "wrap"))


async def refuse(load: Load) -> Packed:
    raise Reject("nobody takes it")


refused_twice = App("yard", [handler(name=name)(refuse) for name in ("one", "two")])

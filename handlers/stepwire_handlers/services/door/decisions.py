"""What a person decides over HTTP: gates, unknown outcomes, dead letters. Each needs the role, and is audited.

In: an id, a caller, a JSON body. Out: what was sent to the worker; and one line in the log that says who decided what.
With a decision key the door signs decisions, so that workers with the key take them. `by` is always the caller: nobody
decides in another's name. Who looks whether it still waits, and then writes, has a turn: of two at once one is answered
that it is decided already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire_handlers.services.dead_letter import DeadLetter
from stepwire_handlers.services.dead_letters import DeadLetters, Filter
from stepwire_handlers.services.door.aside import Aside
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.places import Place, Places
from stepwire_handlers.services.door.problems import Problem, invalid
from stepwire_handlers.services.door.runs import address, shown_to
from stepwire_handlers.services.gates import GATE, Gates, Waiting
from stepwire_handlers.services.mark import Mark

Audit = Callable[..., None]
B = TypeVar("B", bound=BaseModel)
MOST = 100  #: dead letters whose ids begin alike
CURE = "Set STEPWIRE_DECISION_KEY here to the workers' key and start this process anew; then decide again"


class Verdict(BaseModel):
    """The body of `POST /gates/<id>`."""

    model_config = ConfigDict(extra="forbid", title="decision")

    decision: Literal["approve", "decline", "done", "redo", "drop"]
    why: str = Field("", max_length=2_000)
    edited: dict[str, Any] | None = None  #: approve, decline: fields of the event as the person wants them
    type: str = Field("", max_length=300)  #: done: the class of the event that it returned
    event: dict[str, Any] | None = None  #: done: that event; none if it returned nothing


class Replay(BaseModel):
    """The body of `POST /dead-letters/<id>/replay`; it may be left out."""

    model_config = ConfigDict(extra="forbid", title="replay")

    edited: dict[str, Any] | None = None  #: another payload for the delivery


class Only(NamedTuple):
    """Where to look for an id: one event may wait in two handlers, and in two apps."""

    app: str = ""
    handler: str = ""


ANY = Only()


class Decided(NamedTuple):
    """What was sent to the worker."""

    app: str
    id: str
    decision: str
    by: str
    run: str

    def shown(self) -> dict[str, str | None]:
        """As data."""
        return {**self._asdict(), "url": address(self.run) or None}


class Decisions:
    """Carries out what people decide.

    Args:
        places: the apps.
        key: signs decisions about gates and unknown outcomes; empty: they are not signed.
        audit: writes the line.
    """

    def __init__(self, places: Places, key: str, audit: Audit) -> None:
        self._places, self._audit = places, audit
        for place in places.all:
            place.sign(key)
        self._aside = Aside()  # of its own: a decision does not wait behind lists

    async def decide(self, caller: Caller, id_: str, body: Any, only: Only = ANY) -> Decided:
        """Decide a gate, or say what became of an unknown outcome."""
        place, _ = await self._gate(caller, id_, only)
        caller.must("approver", place.app.name)
        verdict = _read(Verdict, body)
        async with place.turns.alone(id_):
            return await self._decided(caller, verdict, id_, only)

    async def _decided(self, caller: Caller, verdict: Verdict, id_: str, only: Only) -> Decided:
        """Look again: of two who decide at once, the second finds nothing that waits."""
        place, waiting = await self._gate(caller, id_, only)
        gates = Gates(place.app, place.bus)
        if (waiting.kind == GATE) != (verdict.decision in ("approve", "decline")):
            fits = "approve or decline" if waiting.kind == GATE else "done, redo or drop"
            raise Problem(422, "invalid", f"this is a{'n' * (waiting.kind != GATE)} {waiting.kind}: decide {fits}")
        if refusal := (await place.signing.ask()).refusal:
            raise Problem(409, "decision-key", f"nothing was decided: {refusal}. {CURE}")
        if waiting.kind == GATE:
            await gates.decide(
                waiting, approved=verdict.decision == "approve", by=caller.name, why=verdict.why,
                edited=verdict.edited, key=place.signing.key,
            )  # fmt: skip
        else:
            data = to_json(verdict.event).decode()
            await gates.resolve(
                waiting,
                verdict.decision,
                by=caller.name,
                why=verdict.why,
                kind=verdict.type,
                data=data,
                key=place.signing.key,
            )
        place.watch.stir()
        self._say(
            caller, place, verdict.decision, waiting.handler, waiting.id, waiting.run, edited=bool(verdict.edited)
        )
        return Decided(place.app.name, waiting.id, verdict.decision, caller.name, waiting.run)

    async def _gate(self, caller: Caller, id_: str, only: Only) -> tuple[Place, Waiting]:
        for place in shown_to(caller, self._places, only.app):
            (found,) = await self._aside.look([place], lambda app, bus: Gates(app, bus).named(id_))
            for waiting in found:
                if only.handler in ("", waiting.handler):
                    return place, waiting
        raise Problem(404, "not-found", "nothing of this id waits for a person; it may be decided or expired")

    async def replay(self, caller: Caller, id_: str, body: Any, only: Only = ANY) -> Decided:
        """Resume a delivery."""
        place, _ = await self._dead(caller, id_, only)
        caller.must("operator", place.app.name)
        wanted = _read(Replay, {} if body is None else body)
        edited = None if wanted.edited is None else to_json(wanted.edited)
        async with place.turns.alone(id_):
            place, letter = await self._dead(caller, id_, only)
            await DeadLetters(place.app, place.bus).resume([letter], edited, by=caller.name)
        return self._answered(caller, place, letter, "replay", edited=wanted.edited is not None)

    async def drop(self, caller: Caller, id_: str, only: Only = ANY) -> Decided:
        """Give a delivery up."""
        place, _ = await self._dead(caller, id_, only)
        caller.must("operator", place.app.name)
        async with place.turns.alone(id_):
            place, letter = await self._dead(caller, id_, only)
            await DeadLetters(place.app, place.bus).drop([letter], by=caller.name)
        return self._answered(caller, place, letter, "drop", edited=False)

    async def _dead(self, caller: Caller, id_: str, only: Only) -> tuple[Place, DeadLetter]:
        def look(app: App, bus: LocalBus) -> list[DeadLetter]:
            found = DeadLetters(app, bus).after(Mark(), MOST, Filter(only.handler), id_)
            return [letter for _, letter, _ in found if letter.id == id_]

        for place in shown_to(caller, self._places, only.app):
            (found,) = await self._aside.look([place], look)
            if found:
                return place, found[0]
        raise Problem(
            404, "not-found", "there is no open dead letter of this id; it may be replayed or dropped already"
        )

    def _answered(self, caller: Caller, place: Place, letter: DeadLetter, what: str, *, edited: bool) -> Decided:
        place.watch.stir()
        self._say(caller, place, what, letter.handler, letter.id, letter.run, edited=edited)
        return Decided(place.app.name, letter.id, what, caller.name, letter.run)

    def _say(self, caller: Caller, place: Place, what: str, handler: str, id_: str, run: str, *, edited: bool) -> None:
        """The line for whoever asks later who did this; neither remark nor edit, which may hold anything."""
        self._audit(
            "decided",
            by=caller.name,
            decision=what,
            app=place.app.name,
            handler=handler,
            id=id_,
            run=run,
            edited=edited,
        )


def _read(kind: type[B], body: Any) -> B:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise invalid(error, kind) from None

"""What commands read of a door's answers: whoever answers there may be anybody, so each is held against these.

In: data. Out: nothing, or pydantic's ValidationError. Fields that a later release adds are let through.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Moment = Annotated[float, Field(ge=0, le=250_000_000_000, allow_inf_nan=False)]  #: up to the year 9892
State = Literal["running", "waiting", "completed", "failed"]
Text = Annotated[str, Field(min_length=1)]


class Answer(BaseModel):
    """Anything that a door answers."""

    model_config = ConfigDict(strict=True, frozen=True)


class Item(Answer):
    """What is read of whatever a page lists."""

    app: str
    id: str
    handler: str
    run: str


class Gate(Item):
    """What waits for a person."""

    kind: str
    why: str
    since: Moment
    until: Moment | None
    event: dict[str, Any] | None


class Letter(Item):
    """A dead letter in a list."""

    status: str
    error: str
    message: str
    attempts: int
    replays: int
    time: Moment


class Block(Answer):
    """A slot that it holds up."""

    handler: str
    id: str
    slot: str


class Said(Answer):
    """What a person did."""

    handler: str
    id: str
    decision: str
    by: str
    why: str
    edited: dict[str, Any] | None
    time: Moment
    counts: bool = True
    doubt: str = ""


class WholeLetter(Letter):
    """A dead letter with all that is known of it."""

    headers: dict[str, str]
    payload: Any
    blocks: list[Block]
    said: list[Said]


class Failure(Answer):
    """The dead letter that a run stands at."""

    handler: str
    error: str
    message: str
    id: str


class Brief(Answer):
    """A run, and how it stands."""

    app: str
    run: Text
    state: State
    started: Moment
    result: dict[str, Any] | None


class Listed(Brief):
    """A run in a list."""

    dead_letter: Failure | None
    events: int
    waits: list[str]


class Open(Answer):
    """One thing that a run waits for."""

    handler: str
    kind: str
    id: str
    since: Moment
    due: Moment | None
    about: str


class Opened(Open):
    """The same, step by step."""

    attempt: int | None


class Event(Answer):
    """An event of a run."""

    time: Moment
    handler: str
    type: str
    identity: str
    event: dict[str, Any]


class Named(Answer):
    """An event that a step took or made."""

    type: str
    identity: str


class Step(Answer):
    """One delivery of a run."""

    handler: str | None
    id: str
    outcome: str
    begun: Moment
    ended: Moment | None
    seconds: Moment | None
    attempts: int | None
    inputs: list[Named]
    outputs: list[Named]
    about: str
    last_error: str
    due: Moment | None
    stamps: dict[str, str]
    said: list[Said]


class StepByStep(Brief):
    """A run with its events, its steps and what is open."""

    dead_letter: Failure | None
    events: list[Event]
    steps: list[Step]
    open: list[Opened]


class Waiting(Answer):
    """What a run owes to a person."""

    handler: str
    kind: str
    id: str


class Run(Brief):
    """A run as it is answered to who waits for it."""

    open: list[Open]
    gates: list[Waiting]
    dead_letters: list[Failure]


class Accepted(Answer):
    """What was published."""

    run: Text
    repeated: bool

"""A run step by step: what each delivery took, what it came to, and how long that was.

In: a `RunView`. Out: `Step`s in the order in which they began; pure. Time runs from the record of the last input to
the record of the first output, so it holds the wait for a free slot too. Attempts are those since the last replay, and
since the last worker that was killed during a call; what failed before a success is told by its last error. What a step
stamped into the envelope, such as its prompt's version or a cost, is shown with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf
from typing import NamedTuple

from stepwire.jsontext import dump
from stepwire_handlers.services.closing import Ended, Line
from stepwire_handlers.services.dead_letter import DeadLetter
from stepwire_handlers.services.runs import OpenItem, RunView
from stepwire_handlers.services.said import PAST, Said
from stepwire_handlers.services.stars import Meant

REFUSED = "the decision was not taken: is it signed with the workers' key?"
CALLED = frozenset({"none", "emitted"})  #: why a delivery ended that was called
PUBLISHED = ""  #: in place of a handler: the event came from outside


class Step(NamedTuple):
    """One delivery of a run, or one event that was published into it."""

    handler: str  #: empty: published
    id: str  #: identity of its event, or join id; of a published event its own identity
    outcome: str  #: published | emitted | ended | absent | dropped | retired | dead letter | an open item's kind
    begun: float
    ended: float | None
    inputs: Sequence[Line]
    outputs: Sequence[Line]
    attempts: int | None = None  #: calls; None: it was not called, or what it waits for does not count them
    about: str = ""  #: an error, or what it waits for
    last_error: str = ""  #: of what came to an end all the same: the last failure before
    due: float | None = None
    stamps: Mapping[str, str] = {}
    said: Sequence[Said] = ()  #: what people decided about it, oldest first

    @property
    def seconds(self) -> float | None:
        """From its last input to its first output, if both are there."""
        return max(self.ended - self.begun, 0.0) if self.handler and self.ended is not None and self.inputs else None


@dataclass(slots=True)
class _Delivery:
    outputs: list[Line] = field(default_factory=list)
    end: Ended | None = None
    letter: DeadLetter | None = None
    overcome: DeadLetter | None = None
    item: OpenItem | None = None
    said: list[Said] = field(default_factory=list)


def timeline(view: RunView) -> list[Step]:
    """Every step of a run."""
    events = {line.identity: line for line in view.lines}
    published = [_published(line) for line in events.values() if not line.cause]
    found = [
        _step(id_, handler, delivery, [events[id_]] if id_ in events else _distinct(view.parts.get(id_, ())))
        for (id_, handler), delivery in _deliveries(view).items()
    ]
    found = [step._replace(attempts=None) if step.handler in view.outside else step for step in found]
    return sorted([*published, *found], key=lambda step: (step.begun, bool(step.handler), step.ended or inf))


def _published(line: Line) -> Step:
    return Step(PUBLISHED, line.identity, "published", line.time, line.time, (), (line,))


def _edited(inputs: Sequence[Line], said: Sequence[Said]) -> Sequence[Line]:
    """What it was called with: a replay may have brought another payload, whose stars stand for what was hidden before.

    Where the record of the edit is none of ours, or of a release whose event was another, the input is as it came.
    """
    fields = {name: value for each in said if each.decision == "replay" for name, value in (each.edited or {}).items()}
    if not fields or len(inputs) != 1:
        return inputs
    event = inputs[0].event
    try:
        edited = Meant({**event.model_dump(mode="json"), **fields}, event).value
        return [inputs[0]._replace(event=type(event).model_validate_json(dump(edited)))]
    except Exception:  # noqa: BLE001 - whatever a check of the author's raises
        return inputs


def _distinct(lines: Sequence[Line]) -> list[Line]:
    return list({line.identity: line for line in lines}.values())


def _deliveries(view: RunView) -> dict[tuple[str, str], _Delivery]:
    found: dict[tuple[str, str], _Delivery] = {}

    def of(id_: str, handler: str) -> _Delivery:
        return found.setdefault((id_, handler), _Delivery())

    for line in _distinct(view.lines):
        if line.cause and line.handler:
            of(line.cause, line.handler).outputs.append(line)
    for end in view.ends:
        of(end.delivery, end.handler).end = end
    for letter in view.dead:
        of(letter.id, letter.handler).letter = letter
    for item in view.open:
        of(item.id, item.handler).item = item
    for said in [one for one in view.said if not one.doubt or (one.id, one.handler) in found]:  # a claim is no step
        of(said.id, said.handler).said.append(said)
    for letter in view.overcome:
        if known := found.get((letter.id, letter.handler)):
            known.overcome = letter
    return found


def _step(id_: str, handler: str, delivery: _Delivery, inputs: Sequence[Line]) -> Step:
    outputs, end, letter, item = delivery.outputs, delivery.end, delivery.letter, delivery.item
    asked = item.since if item else delivery.said[0].time if delivery.said and not (outputs or end or letter) else 0.0
    known = [line.time for line in inputs] or [asked]
    ended = outputs[0].time if outputs else end.time if end is not None else letter.record.time if letter else None
    begun = max(known) or ended or 0.0
    step = Step(handler, id_, "", begun, ended, _edited(inputs, delivery.said), outputs, said=delivery.said)
    if outputs or end is not None:
        return _over(step, delivery)
    if letter is not None:
        about = f"{letter.error}: {letter.message}"
        return step._replace(outcome="dead letter", attempts=letter.attempts, about=about)
    if item is None:  # a person answered, and what it was about left nothing else
        counted = [said for said in delivery.said if not said.doubt]
        return step._replace(outcome=PAST.get(counted[-1].decision, "running"))
    attempts = None if item.attempt is None else item.attempt - 1
    answers = takewhile(lambda said: said.decision != "replay", reversed(delivery.said))  # to what it asks now
    about = REFUSED if item.kind == "gate" and any(answers) else item.about  # one under way is no gate any more
    return step._replace(outcome=item.kind, attempts=attempts, about=about, due=item.due)


def _over(step: Step, delivery: _Delivery) -> Step:
    """It came to an end; a record of that tells the attempts, if there were several."""
    end, letter, outputs = delivery.end, delivery.overcome, delivery.outputs
    called = end is None or end.why in CALLED
    error = end.error if end is not None and end.error else f"{letter.error}: {letter.message}" if letter else ""
    step = step._replace(attempts=(end.attempts if end else 1) if called else None, last_error=error)
    if outputs:
        return step._replace(outcome="emitted", stamps=dict(outputs[0].stamps))
    assert end is not None
    return step._replace(outcome="ended" if called else end.why)

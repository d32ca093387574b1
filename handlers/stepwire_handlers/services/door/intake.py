"""What comes in becomes a run: the same road for plain JSON, files and CloudEvents.

In: an event, who it is, and what was sent beside it. Out: `Begun`, once the event is committed: only then is anything
answered, so that no kill of the door loses what a caller was told. Raises Problem, PublishError, BusError.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json

from stepwire import Event
from stepwire.bus.protocol import Out, Record
from stepwire.codec import Codec, Decoded
from stepwire.event import identity
from stepwire_handlers.services.door.events import CloudEvent
from stepwire_handlers.services.door.idempotency import HEADER, check, check_event, digest_of, within
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.places import RUN, Place, Places
from stepwire_handlers.services.door.problems import SHOWN, Problem, invalid, unfit
from stepwire_handlers.services.door.runs import is_name
from stepwire_handlers.services.fields import Unfit, event_of
from stepwire_handlers.services.known import Judge, Offer

if TYPE_CHECKING:
    from stepwire_handlers.telemetry.publishing import Served

ECHOED = frozenset({"swrun", "swcause", "swscope", "swhandler"})  #: what says where a foreign service's answer belongs
OWN = "stepwire:"  #: how the sources of events begin that doors, steps and `stepwire publish` make


class Begun(NamedTuple):
    """One event that is on the bus."""

    place: Place
    run: str  #: empty for an answer that a field matches: its run is known once a worker has matched it
    source: str
    id: str
    known: bool  #: it was there before


async def publish_fields(
    place: Place, kind: type[Event], fields: Mapping[str, Any], key: str | None, headers: Mapping[str, str],
    served: Served | None = None, *, type_: str = "",
) -> Begun:  # fmt: skip
    """An event of an app, under the id of an idempotency key or a new one; `type_`: the ce_type of an older version.

    Raises Problem 422 with every mistake, DecodeError for what an older version cannot be brought up from.
    """
    type_ = type_ or kind.spec.type
    try:
        event = event_of(kind, fields) if type_ == kind.spec.type else _older(kind, type_, fields)
    except Unfit as error:
        if key and (begun := _taken_before(place, kind, fields, key)):
            return begun
        raise unfit(error) from None
    except ValueError:  # half a surrogate pair, from a form
        raise Problem(422, "invalid", "a field holds what is no text in UTF-8") from None
    source = _source(place)
    out, run = place.app.record(event, id=key, source=source, now=time.time())
    if key and kind.spec.run is not None:
        out, run = place.app.record(event, id=within(key, run), source=source, now=time.time())
    sent = digest_of(type_, fields) if key else ""
    extra = {HEADER: sent} if key else {}
    offer = Offer(out._replace(headers={**out.headers, **headers, **extra}), run, named=key is not None)
    ((begun, earlier),) = await _publish([(place, offer)], served)
    if earlier is not None:
        check(earlier, [sent, *_older_digests(kind, fields)])
    return begun


def _source(place: Place) -> str:
    return f"{OWN}door/{place.app.name}"


def _older_digests(kind: type[Event], fields: Mapping[str, Any]) -> list[str]:
    """Of the same fields, sent while an older version was the present one: a repeat may come after a new release."""
    return [digest_of(f"{kind.spec.base}.v{version}", fields) for version in kind.spec.upcasts]


def _taken_before(place: Place, kind: type[Event], fields: Mapping[str, Any], key: str) -> Begun | None:
    """A repeat of what a release took that knew an older version: it fits no more, and was taken all the same.

    Of a run that a field names, only the event itself would tell which one it is.
    """
    source = _source(place)
    run = identity(source, key)
    if kind.spec.run is not None or place.bus.store.find_run(run) is None:
        return None
    found = (record.headers for record in place.history.of_run(run))
    digests = [each.get(HEADER) for each in found if (each.get("ce_source"), each.get("ce_id")) == (source, key)]
    known = bool(digests) and digests[0] in _older_digests(kind, fields)
    return Begun(place, run, source, key, known=True) if known else None


async def publish_events(
    places: Places, caller: Caller, events: Sequence[CloudEvent], served: Served | None = None
) -> list[Begun]:
    """CloudEvents under their own source and id. If one of them is wrong none is taken.

    What is taken is written in one transaction for each bus: apps on one file share it, on Kafka each has its own, so
    the bus may fail between two apps. Their senders then repeat the batch; what is there already is followed.
    """
    offers, faults = [], list[dict[str, Any]]()
    for number, event in enumerate(events):
        try:
            offers.append(_offer(places, caller, event))
        except Problem as problem:
            if len(events) == 1 or problem.status == 403:
                raise
            faults.append({"pointer": f"/{number}", "reason": problem.detail, **problem.extra})
    if faults:
        raise _wrong(faults, len(events), "none was taken")
    return [begun for begun, _ in await _publish(offers, served, same=True)]


def _wrong(faults: list[dict[str, Any]], of: int, taken: str) -> Problem:
    return Problem(422, "invalid", f"{len(faults)} of {of} events are wrong; {taken}", errors=faults)


def _judge(mine: Sequence[int], of: int) -> Judge:
    """What is known must be known with the same data; `mine` are the numbers of these events in their batch."""

    def judge(found: Sequence[tuple[Offer, Record | None]]) -> None:
        faults = list[dict[str, Any]]()
        for number, (offer, earlier) in zip(mine, found, strict=True):
            try:
                if earlier is not None:
                    check_event(earlier, offer.out.headers[HEADER])
            except Problem as problem:
                if of == 1:
                    raise
                faults.append({"pointer": f"/{number}", "reason": problem.detail})
        if faults:
            raise _wrong(faults, of, "none was taken" if 0 in mine else "of their app none was taken")

    return judge


async def _publish(
    offers: Sequence[tuple[Place, Offer]], served: Served | None, *, same: bool = False
) -> list[tuple[Begun, Record | None]]:  # fmt: skip
    """One transaction for each bus."""
    if served is not None and offers:
        brought = served.brings([offer for _, offer in offers])
        offers = [(place, offer) for (place, _), offer in zip(offers, brought, strict=True)]
    found: dict[int, Record | None] = {}
    for turns in dict.fromkeys(place.turns for place, _ in offers):
        mine = [number for number, (place, _) in enumerate(offers) if place.turns is turns]
        judge = _judge(mine, len(offers)) if same else None
        found |= zip(mine, await turns.publish([offers[number][1] for number in mine], judge), strict=True)
        offers[mine[0]][0].watch.stir()
    return [
        (Begun(place, offer.run, *offer.identity, known=found[number] is not None), found[number])
        for number, (place, offer) in enumerate(offers)
    ]


# -- CloudEvents


def _offer(places: Places, caller: Caller, event: CloudEvent) -> tuple[Place, Offer]:
    kind = event.attributes["type"]
    if event.attributes["source"].startswith(OWN):  # else it could take the identity that somebody's key will have
        raise Problem(422, "invalid", f"sources that begin with {OWN} are ours ({OWN}door/…); name your own system")
    found = places.of_type(kind)
    if not any(caller.knows(place.app.name) for place in found):  # else strangers learn which apps there are
        takes = sorted({kind for place in places.all if caller.knows(place.app.name) for kind in place.taken})
        what = f"; those take {', '.join(takes[:SHOWN])}" if takes else ""
        raise Problem(422, "unknown-type", f"no app that you have a role of takes events of this type{what}")
    for each in found:  # on a shared topic it reaches all of them
        caller.must("publisher", each.app.name)
    place = found[0]
    entry = _kind(place.entries.values(), kind)
    if entry is None:
        answer = _kind(place.app.wiring.answers, kind)
        assert answer is not None  # `of_type` found one of both
        return place, _answer(answer, event, found=place.app.wiring.answers[answer].match is not None)
    decoded = _decoded(entry, event)
    out, run = place.app.record(decoded, id=event.attributes["id"], source=event.attributes["source"], now=time.time())
    kept = {name: text for name, text in event.headers.items() if name != "ce_type"}
    headers = {**kept, **out.headers, **_time(event), HEADER: event.digest}
    return place, Offer(out._replace(headers=headers), run, named=True)


def _time(event: CloudEvent) -> dict[str, str]:
    """When it happened is for its source to say."""
    return {"ce_time": event.attributes["time"]} if event.attributes.get("time") else {}


def _kind(kinds: Iterable[type[Event]], type_: str) -> type[Event] | None:
    """The event class of this ce_type, of whatever version."""
    base = type_.rpartition(".v")[0]
    return next((each for each in kinds if type_ == each.spec.type or base == each.spec.base), None)


def _decoded(kind: type[Event], event: CloudEvent) -> Event:
    """The event, brought up to the version that this release knows. Raises DecodeError, Problem."""
    if event.attributes["type"] == kind.spec.type:
        try:
            return kind.model_validate_json(event.data)
        except ValidationError as error:
            raise invalid(error, kind) from None
    return _risen(kind, {name: text for name, text in event.headers.items() if name != HEADER}, event.data)


def _older(kind: type[Event], type_: str, fields: Mapping[str, Any]) -> Event:
    return _risen(kind, {"ce_type": type_, "ce_id": "-", "ce_source": "-"}, to_json(fields))


def _risen(kind: type[Event], headers: Mapping[str, str], data: bytes) -> Event:
    """An event of another version in that which this release knows."""
    found = Codec(kind.spec.topic, [kind]).decode(Record(kind.spec.topic, 0, 0, time.time(), None, headers, data))
    if not isinstance(found, Decoded):
        raise Problem(422, "unknown-type", f"{kind.__name__} is known here up to version {kind.spec.version}")
    return found.event


def _answer(kind: type[Event], event: CloudEvent, *, found: bool) -> Offer:
    """What a foreign service says to an event that it was asked with.

    It echoes our attributes, or is found by a field that matches. Raises Problem.
    """
    answer, said = _decoded(kind, event), event.attributes
    echoed = {f"ce_{name}": said[name] for name in said if name in ECHOED}
    run = said.get("swrun", "")
    if not run and not found:  # written all the same, it would be a dead letter
        raise Problem(
            422, "invalid", "nobody knows whose answer this is: send back swrun, swcause, swscope and swhandler"
        )
    if run and not is_name(run):
        raise Problem(422, "invalid", f"swrun is no name of a run: send back what you were asked with (1 to {RUN} "
                                      f"characters that can be printed, no /)")  # fmt: skip
    value = answer.model_dump_json().encode()
    headers = {**event.headers, "ce_type": kind.spec.type, **echoed, HEADER: event.digest}
    out = Out(kind.spec.topic, run or said["id"], headers, value)
    return Offer(out, run, named=bool(run))

"""What comes in becomes a run: the same road for plain JSON, files and CloudEvents.

In: an event, who it is, and what was sent beside it. Out: `Begun`, once the event is committed: only then is anything
answered, so that no kill of the door loses what a caller was told. Raises Problem, PublishError, BusError.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from stepwire import Event
from stepwire.bus.protocol import Out, Record
from stepwire.codec import Codec, Decoded
from stepwire_handlers.services.door.events import CloudEvent
from stepwire_handlers.services.door.idempotency import HEADER, check, digest_of, within
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.places import Place, Places
from stepwire_handlers.services.door.problems import Problem, invalid, unfit
from stepwire_handlers.services.fields import Unfit, event_of
from stepwire_handlers.services.known import Offer

if TYPE_CHECKING:
    from stepwire_handlers.telemetry.publishing import Served

ECHOED = frozenset({"swrun", "swcause", "swscope", "swhandler"})  #: what says where a foreign service's answer belongs
OWN = "stepwire:door/"  #: how the sources of events begin that the door itself makes


class Begun(NamedTuple):
    """One event that is on the bus."""

    place: Place
    run: str
    source: str
    id: str
    known: bool  #: it was there before


async def publish_fields(
    place: Place, kind: type[Event], fields: Mapping[str, Any], key: str | None, headers: Mapping[str, str],
    served: Served | None = None,
) -> Begun:  # fmt: skip
    """An event of an app, under the id of an idempotency key or a new one. Raises Problem 422 with every mistake."""
    try:
        event = event_of(kind, fields)
    except Unfit as error:
        raise unfit(error) from None
    except ValueError:  # half a surrogate pair, from a form
        raise Problem(422, "invalid", "a field holds what is no text in UTF-8") from None
    source = OWN + place.app.name
    out, run = place.app.record(event, id=key, source=source, now=time.time())
    if key and kind.spec.run is not None:
        out, run = place.app.record(event, id=within(key, run), source=source, now=time.time())
    sent = digest_of(kind.spec.type, fields) if key else ""
    extra = {HEADER: sent} if key else {}
    offer = Offer(out._replace(headers={**out.headers, **headers, **extra}), run, named=key is not None)
    ((begun, earlier),) = await _publish([(place, offer)], served)
    if earlier is not None:
        check(earlier, sent)
    return begun


async def publish_events(
    places: Places, caller: Caller, events: Sequence[CloudEvent], served: Served | None = None
) -> list[Begun]:
    """CloudEvents under their own source and id; all of them or none."""
    offers, faults = [], list[dict[str, Any]]()
    for number, event in enumerate(events):
        try:
            offers.append(_offer(places, caller, event))
        except Problem as problem:
            if len(events) == 1 or problem.status == 403:
                raise
            faults.append({"pointer": f"/{number}", "reason": problem.detail, **problem.extra})
    if faults:
        raise Problem(422, "invalid", f"{len(faults)} of {len(events)} events are wrong; none was taken", errors=faults)
    return [begun for begun, _ in await _publish(offers, served)]


async def _publish(
    offers: Sequence[tuple[Place, Offer]], served: Served | None
) -> list[tuple[Begun, Record | None]]:  # fmt: skip
    """In one transaction for each bus: apps on one local file share it, on Kafka each has its own."""
    if served is not None and offers:
        brought = served.brings([offer for _, offer in offers])
        offers = [(place, offer) for (place, _), offer in zip(offers, brought, strict=True)]
    found: dict[int, Record | None] = {}
    for turns in dict.fromkeys(place.turns for place, _ in offers):
        mine = [number for number, (place, _) in enumerate(offers) if place.turns is turns]
        found |= zip(mine, await turns.publish([offers[number][1] for number in mine]), strict=True)
        offers[mine[0]][0].watch.stir()
    return [
        (Begun(place, offer.run, *offer.identity, known=found[number] is not None), found[number])
        for number, (place, offer) in enumerate(offers)
    ]


# -- CloudEvents


def _offer(places: Places, caller: Caller, event: CloudEvent) -> tuple[Place, Offer]:
    kind = event.attributes["type"]
    if event.attributes["source"].startswith(OWN):  # else it could take the identity that somebody's key will have
        raise Problem(422, "invalid", f"sources that begin with {OWN} are the door's own; name your system")
    found = places.of_type(kind)
    if not found:
        raise Problem(422, "unknown-type", "no app behind this door takes events of this type from outside")
    for each in found:  # on a shared topic it reaches all of them
        caller.must("operator", each.app.name)
    place = found[0]
    answers = {answer.spec.type: answer for answer in place.app.wiring.answers}
    if kind in answers and kind not in {entry.spec.type for entry in place.entries.values()}:
        return place, _answer(answers[kind], event)
    decoded = _decoded(place, event)
    out, run = place.app.record(decoded, id=event.attributes["id"], source=event.attributes["source"], now=time.time())
    kept = {name: text for name, text in event.headers.items() if name not in ("ce_type", HEADER)}
    return place, Offer(out._replace(headers={**kept, **out.headers, **_time(event)}), run, named=True)


def _time(event: CloudEvent) -> dict[str, str]:
    """When it happened is for its source to say."""
    return {"ce_time": event.attributes["time"]} if event.attributes.get("time") else {}


def _decoded(place: Place, event: CloudEvent) -> Event:
    """The event, brought up to the version that this release knows. Raises DecodeError, Problem."""
    kind = event.attributes["type"]
    base = kind.rpartition(".v")[0]
    entry = next(each for each in place.entries.values() if kind == each.spec.type or base == each.spec.base)
    headers = {name: text for name, text in event.headers.items() if name != HEADER}
    record = Record(entry.spec.topic, 0, 0, time.time(), None, headers, event.data)
    if kind == entry.spec.type:
        try:
            return entry.model_validate_json(event.data)
        except ValidationError as error:
            raise invalid(error, entry.__name__) from None
    found = Codec(entry.spec.topic, [entry]).decode(record)
    if not isinstance(found, Decoded):
        raise Problem(422, "unknown-type", f"{entry.__name__} is known here up to version {entry.spec.version}")
    return found.event


def _answer(kind: type[Event], event: CloudEvent) -> Offer:
    """What a foreign service says to an event that it was asked with; it echoes our attributes, or a field matches."""
    try:
        answer = kind.model_validate_json(event.data)
    except ValidationError as error:
        raise invalid(error, kind.__name__) from None
    said = event.attributes
    headers = {**event.headers, **{f"ce_{name}": said[name] for name in said if name in ECHOED}}
    run = said.get("swrun", "")
    value = answer.model_dump_json().encode()
    return Offer(Out(kind.spec.topic, run or said["id"], headers, value), run, named=bool(run))

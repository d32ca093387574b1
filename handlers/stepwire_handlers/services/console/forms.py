"""Fields of an event as a form, and a sent form as the fields that were changed.

In: an event, or what a browser sent. Out: `Field`s; a dict of changed fields. A sensitive field is shown as stars and
cannot be edited; one that holds something sensitive can, with stars in it, which `stars` takes for the hidden value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from pydantic_core import from_json
from starlette.requests import Request

from stepwire import Event
from stepwire_handlers.services.door.bodies import media_type, whole
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.telemetry.mask import MASK, masked_json

MOST = 512 * 1024  #: bytes of a form
NAMES = 1_000  #: fields of one
PREFIX = "field."  #: before a field's name in a form
LONG = 60  #: characters from which a text gets an area instead of a line


async def read(request: Request) -> dict[str, str]:
    """The fields of a form. Raises Problem 400, 408, 413, 415, 422."""
    if media_type(request) != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported-media-type", "this takes the form of its own page")
    body = await whole(request, MOST)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=NAMES))
    except ValueError:
        raise Problem(422, "invalid", "the form cannot be read") from None


class Field(NamedTuple):
    """One field of an event."""

    name: str
    text: str  #: as it stands in the form
    kind: str  #: text | long | json | hidden
    about: str


def fields_of(event: Event) -> list[Field]:
    """Each field, in the order of the class."""
    plain, shown = event.model_dump(mode="json"), masked_json(event)
    found = []
    for field, info in type(event).model_fields.items():
        about, name = info.description or "", field if field in plain else info.serialization_alias or field
        if name not in plain:  # its author leaves it out
            continue
        if shown[name] == MASK != plain[name]:
            found.append(Field(name, _text(MASK), "hidden", about))
        elif not _same(plain[name], shown[name]):
            found.append(Field(name, _text(shown[name]), "json", about))
        elif isinstance(plain[name], str):
            wide = len(plain[name]) > LONG or "\n" in _lines(plain[name])
            found.append(Field(name, plain[name], "long" if wide else "text", about))
        else:
            found.append(Field(name, _text(plain[name]), "json", about))
    return found


def changed(event: Event, form: Mapping[str, str]) -> dict[str, Any]:
    """What a person changed. Raises Problem 422 for a field that must be JSON and is not."""
    found: dict[str, Any] = {}
    for field in fields_of(event):
        given = form.get(PREFIX + field.name)
        if given is None or field.kind == "hidden" or _lines(given) == _lines(field.text):
            continue
        found[field.name] = _lines(given) if field.kind in ("text", "long") else _read(field.name, given)
    return found


def _read(name: str, given: str) -> Any:
    try:
        return from_json(given, allow_inf_nan=False)  # as the door reads it
    except ValueError:
        raise Problem(422, "invalid", f"{name} is no JSON: write a number, true, false, null, a list or an object"
                      ) from None  # fmt: skip


def _same(plain: Any, shown: Any) -> bool:
    """Is nothing in it masked? Dates and numbers are texts in one of the two, so only stars are looked for."""
    if isinstance(shown, dict):
        return isinstance(plain, dict) and all(_same(plain.get(name), item) for name, item in shown.items())
    if isinstance(shown, list):
        return isinstance(plain, list) and len(plain) == len(shown) and all(map(_same, plain, shown))
    return bool(shown != "***" or plain == "***")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _lines(text: str) -> str:
    """Browsers send each line end as CRLF, a lone CR too, and read no NUL: what nobody touched is no edit."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def read_object(given: str) -> dict[str, Any] | None:
    """An event as JSON; None if nothing was given. Raises Problem 422."""
    if not given.strip():
        return None
    found = _read("the event", given)
    if not isinstance(found, dict):
        raise Problem(422, "invalid", "the event must be a JSON object: its fields by name")
    return found

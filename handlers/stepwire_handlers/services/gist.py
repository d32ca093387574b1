"""What an event is about, in a line: which invoice, which customer; for lists that a person chooses from.

In: an event as plain data, what is sensitive masked already. Out: its first few values by name, outer ones first and
those inside of them in their order; of a file its name. Stars tell nothing, and prose belongs on the event's own page:
both are left out. The text is harmless on a terminal and one line wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stepwire_handlers.harmless import harmless
from stepwire_handlers.telemetry.mask import MASK

MOST = 5  #: values
LONG = 32  #: characters of one of them
PROSE = 120  #: characters from which on a text is none that tells one event from another
DEEP = 3  #: levels of objects
FILE = {"sha256", "size", "media_type", "name"}  #: the fields of an attachment


def gist(event: Mapping[str, Any] | None) -> str:
    """The line; empty for an event that cannot be read, or that has nothing short."""
    if event is None:
        return ""
    values, files = list(_values(event, DEEP)), list(_files(event, DEEP))
    return " ".join(f"{_cut(name)}={text}" for name, text in (values + files)[:MOST])


def _values(data: Mapping[str, Any], deep: int) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if not isinstance(value, Mapping | list) and (text := _text(value)):
            yield name, text
    for value in data.values():
        if isinstance(value, Mapping) and deep > 1 and value.keys() != FILE:
            yield from _values(value, deep - 1)


def _files(data: Mapping[str, Any], deep: int) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value.keys() == FILE:
            if text := _text(value["name"]):
                yield name, text
        elif isinstance(value, Mapping) and deep > 1:
            yield from _files(value, deep - 1)


def _text(value: object) -> str:
    """A value as it stands in the line; empty: it does not."""
    value = str(value).lower() if isinstance(value, bool) else value
    if value is None or value == MASK or (text := str(value).strip()) == "" or len(text) > PROSE or "\n" in text:
        return ""
    cut = _cut(text)
    return f'"{cut}"' if " " in cut else cut


def _cut(text: str) -> str:
    text = harmless(" ".join(str(text).split()))
    return text if len(text) <= LONG else text[: LONG - 1] + "…"

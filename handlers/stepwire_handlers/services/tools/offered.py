"""The tools of an app: one for each event that its runs begin with.

In: a place behind a door. Out: tools with a name that every client takes and that lasts as long as app and event are
called so, the event's own schema as input, and as output what the run comes to, its result among it. Raises
SettingsError for an event that no schema can describe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mcp_types import Tool, ToolAnnotations

from stepwire import Event
from stepwire.event import digest
from stepwire_handlers.contracts.roles import results_of
from stepwire_handlers.contracts.schema import MARK, schema_of
from stepwire_handlers.services.door.places import Place
from stepwire_handlers.services.door.uploads import attachment_fields
from stepwire_handlers.telemetry.mask import MASK

KEY = "idempotency_key"  #: an argument beside the event's fields, if none of them is called so
LOOK = "stepwire_run"  #: the tool that looks at a run; no app is called so with an event `run`
LONGEST = 64  #: characters of a name; some clients put their own prefix before it
REPEAT = "Any text of your own. Repeat the call with the same one, and it follows the run that the first one began."
FILE = {
    "type": "object",
    "description": "The file itself; or the attachment of one that is stored already.",
    "properties": {
        "base64": {"type": "string"},
        "media_type": {"type": "string", "default": "application/octet-stream"},
        "name": {"type": "string", "default": ""},
    },
    "required": ["base64"],
    "additionalProperties": False,
}


class Offered(NamedTuple):
    """One tool."""

    place: Place
    kind: type[Event]
    tool: Tool
    takes_key: bool  #: is `idempotency_key` an argument, not a field of the event?


def offered(places: Iterable[Place]) -> dict[str, Offered]:
    """Every tool by its name."""
    found: dict[str, Offered] = {}
    for place in places:
        for kind in place.entries.values():
            schema = _input(kind)
            takes_key = KEY not in schema["properties"]
            if takes_key:
                schema["properties"][KEY] = {"type": "string", "minLength": 1, "maxLength": 255, "description": REPEAT}
            name = name_of(place.app.name, kind)
            about = (kind.__doc__ or "").strip() if kind.__doc__ != Event.__doc__ else ""
            tool = Tool(
                name=name, title=f"{place.app.name}: {kind.__name__}", input_schema=schema,
                description=f"Begins a run of {place.app.name} with {kind.__name__}. {about}".strip(),
                output_schema=output_of(results_of(place.app, kind)),
                annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False),
            )  # fmt: skip
            found[name] = Offered(place, kind, tool, takes_key)
    return found


def look_tool() -> Tool:
    """The tool that looks at a run again."""
    run = {"type": "string", "description": "The run, as a call that began it said."}
    return Tool(
        name=LOOK, title="Look at a run", description="What a run came to; waits for it as a call does.",
        input_schema={"type": "object", "properties": {"run": run}, "required": ["run"], "additionalProperties": False},
        output_schema=output_of(None), annotations=ToolAnnotations(read_only_hint=True),
    )  # fmt: skip


def name_of(app: str, kind: type[Event]) -> str:
    """`<app>_<Event>` in letters, digits, `_` and `-`; a name that had to be changed or cut ends in a hash."""
    whole = f"{app}_{kind.__name__}"
    legal = re.sub(r"[^A-Za-z0-9_-]", "_", whole)
    if legal == whole and len(legal) <= LONGEST and legal != LOOK:
        return legal
    return f"{legal[: LONGEST - 9]}_{digest(app, kind.spec.base)[:8]}"


# -- schemas


def _input(kind: type[Event]) -> dict[str, Any]:
    schema = schema_of(kind, "accepts")
    if "$ref" in schema:  # an event that holds itself
        schema = {**schema, **schema["$defs"][schema["$ref"].rpartition("/")[2]]}
        del schema["$ref"]
    schema = {"type": "object", "properties": {}, "additionalProperties": False, **schema}
    schema["properties"] = dict(schema["properties"])
    for name, many in attachment_fields(kind).items():
        field = schema["properties"][name]
        if many and "items" in field:
            schema["properties"][name] = {**field, "items": {"anyOf": [FILE, field["items"]]}}
        elif not many:
            schema["properties"][name] = {"anyOf": [FILE, field]}
    return schema


def output_of(results: list[type[Event]] | None) -> dict[str, Any]:
    """What an answer looks like; with None its result may be anything."""
    definitions: dict[str, Any] = {}
    for kind in results or ():
        definitions |= _definitions(kind)
    choices = [{"$ref": f"#/$defs/{kind.__name__}"} for kind in results or ()]
    result: dict[str, Any] = {"anyOf": [*choices, {"type": "null"}]} if results is not None else {}
    text = {"type": "string"}
    item = {"type": "object", "properties": {"handler": text, "kind": text, "about": text}}
    letter = {"type": "object", "properties": {"handler": text, "error": text, "message": text, "id": text}}
    schema = {
        "type": "object",
        "properties": {
            "run": text, "app": text, "address": {**text, "description": "Where the door has the run."},
            "state": {"enum": ["running", "waiting", "failed", "completed"]},
            "repeated": {"type": "boolean", "description": "Was the run begun by an earlier call?"},
            "result_type": {"type": ["string", "null"]}, "result": result,
            "waits_for": {"type": "array", "items": item}, "dead_letters": {"type": "array", "items": letter},
        },
        "required": ["run", "app", "address", "state", "result_type", "result", "waits_for", "dead_letters"],
    }  # fmt: skip
    return {**schema, "$defs": definitions} if definitions else schema


def _definitions(kind: type[Event]) -> dict[str, Any]:
    """A result's schema with its own definitions beside it, under names of its own."""
    name = kind.__name__
    schema = schema_of(kind, "emits")
    inner = schema.pop("$defs", {})
    found = {name: _moved(schema, name)}
    return found | {f"{name}.{part}": _moved(below, name) for part, below in inner.items()}


def _moved(schema: Any, name: str) -> Any:
    """References moved below `name`; a sensitive field is what is shown of it."""
    if isinstance(schema, list):
        return [_moved(item, name) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if schema.get(MARK) is True:
        return {"const": MASK, MARK: True}
    return {
        word: value.replace("#/$defs/", f"#/$defs/{name}.") if word == "$ref" and isinstance(value, str)
        else _moved(value, name)
        for word, value in schema.items()
    }  # fmt: skip

"""An OpenAPI 3.1 document of a door, made from the wiring of its apps.

In: places that the reader may see, and what holds for this door. Out: the document; every entry event has an operation
and a schema of its own, which shows no value of a sensitive field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from stepwire import Event
from stepwire_handlers.contracts.schema import definitions_of
from stepwire_handlers.services.door import pages
from stepwire_handlers.services.door.events import LONGEST
from stepwire_handlers.services.door.listing import DEFAULT, MOST, SINCE, STATES
from stepwire_handlers.services.door.places import Place
from stepwire_handlers.services.door.uploads import FORM, attachment_fields
from stepwire_handlers.services.fields import known

REF = "#/components/schemas/{model}"
OWN = "Door."  #: how the names of our own schemas begin: an app may have an event of any name
FILE = {"type": "string", "format": "binary", "description": "Not empty."}
EVENT = {
    "type": ["object", "null"],
    "description": "The event's fields, sensitive ones masked, and its class as `type`.",
}


def document(places: Sequence[Place], window: str, max_bytes: int) -> dict[str, Any]:
    """The document."""
    kinds = list(dict.fromkeys(kind for place in places for kind in place.entries.values()))
    references, definitions = definitions_of(kinds, REF)
    schemas = {**definitions, **_own()}
    for kind in kinds:
        if kind.model_config.get("extra") != "allow":  # a misspelt field is refused
            schemas[references[kind]["$ref"].rpartition("/")[2]]["additionalProperties"] = False
    paths: dict[str, Any] = {}
    for place in places:
        for kind in place.entries.values():
            operation = _begin(place, kind, references[kind], window, max_bytes)
            paths[f"/apps/{place.app.name}/{kind.__name__}"] = {"post": operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stepwire door", "version": version("stepwire"), "description": _about(places)},
        "paths": {**paths, **_fixed()},
        "components": {"schemas": schemas, "responses": _responses(), "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer", "description": "A key of this door, or a JWT."},
        }},
        "security": [{"key": []}, {"bearer": []}],
    }  # fmt: skip


def _about(places: Sequence[Place]) -> str:
    return "Events in, runs out. Apps: " + ", ".join(place.app.name for place in places)


def _ref(name: str, where: str = "schemas") -> dict[str, str]:
    return {"$ref": f"#/components/{where}/{OWN}{name}"}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def _faults(*codes: int) -> dict[str, Any]:
    return {str(code): _ref("Problem", "responses") for code in (*codes, 401, 403, 429, 503)}


def _header(name: str, about: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": about, "schema": dict(schema)}


WAIT = _header("Prefer", "`wait=30`: wait for the result, at most 60 s (RFC 7240).", {"type": "string"})
WHOLE = {"type": "boolean", "description": "Are these all that the filter chooses?"}
FILTER = [
    {"name": name, "in": "query", "required": False, "description": about, "schema": schema}
    for name, about, schema in (
        ("app", "Of this app.", {"type": "string"}),
        ("id", "Whose id begins so.", {"type": "string"}),
        ("state", "In this state.", {"enum": [*STATES]}),
        ("since", "Begun so long ago, or at this time, or later: 30m, 12h, 7d, 2026-01-31T12:00Z.",
         {"type": "string", "pattern": SINCE}),
        ("limit", "At most so many.", {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT}),
    )
]  # fmt: skip
NEXT = {"type": ["string", "null"], "description": "The cursor of the next page; null: there is none."}
URL = {"type": ["string", "null"], "description": "Where the run is; null while its run is not known."}
ONLY = [
    {"name": name, "in": "query", "required": False, "description": about, "schema": {"type": "string"}}
    for name, about in (("app", "Of this app."), ("handler", "Of this handler; one event may wait in two."))
]
PAGED = [
    ONLY[0],
    {"name": "id", "in": "query", "required": False, "description": "Whose id begins so.",
     "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "required": False, "description": "At most so many.",
     "schema": {"type": "integer", "minimum": 1, "maximum": pages.MOST, "default": pages.DEFAULT}},
    {"name": "cursor", "in": "query", "required": False, "description": "`next` of the page before.",
     "schema": {"type": "string"}},
]  # fmt: skip
LETTERS = [
    *PAGED, ONLY[1],
    *({"name": name, "in": "query", "required": False, "description": about, "schema": {"type": kind}}
      for name, about, kind in (("error", "Of this exception, by its class.", "string"),
                                ("run", "Whose run begins so.", "string"),
                                ("every", "Answered ones too.", "boolean"))),
]  # fmt: skip
CURSOR = _header("Last-Event-ID", "The id of the last message that was seen.", {"type": "string"})
KEY = {"type": "string", "pattern": r'^([!#-~][!-~]{0,254}|"[!-~]{1,255}")$'}  #: plain, or a structured field's string


def _accepted(*others: str) -> dict[str, Any]:
    """Where the run is, or the run; or one of our other schemas."""
    location = {"Location": {"schema": {"type": "string"}, "description": "Where the run is."}}
    applied = {"Preference-Applied": {"schema": {"type": "string"}}}
    return {
        "200": {"description": "The run came to rest while this waited.", "headers": {**location, **applied},
                "content": _json(_ref("Run"))},
        "202": {"description": "The event is written.", "headers": {**location, **applied},
                "content": _json({"anyOf": [_ref(name) for name in ("Accepted", "Run", *others)]})},
    }  # fmt: skip


def _files(max_bytes: int) -> str:
    return f"Files up to {max_bytes} bytes." if max_bytes else "Files are refused: there is no blob store."


def _begin(place: Place, kind: type[Event], schema: Mapping[str, Any], window: str, max_bytes: int) -> dict[str, Any]:
    content = _json(schema)
    if files := attachment_fields(kind):
        content[FORM] = {"schema": _form(kind, files)}
        if len(files) == 1:
            content["*/*"] = {"schema": FILE}
    key = f"A repeat with the same key follows the first one's run; another body is refused. It holds {window}."
    return {
        "operationId": f"{place.app.name}.{kind.__name__}", "tags": [place.app.name],
        "summary": f"Begin a run of {place.app.name} with {kind.__name__}",
        "description": f"{(kind.__doc__ or '').strip()} {_files(max_bytes) if files else ''}".strip(),
        "parameters": [_header("Idempotency-Key", key, KEY), WAIT],
        "requestBody": {"required": True, "content": content},
        "responses": {**_accepted(), **_faults(400, 404, 408, 413, 415, 422)},
    }  # fmt: skip


def _form(kind: type[Event], files: Mapping[str, bool]) -> dict[str, Any]:
    """The event as a form: its files as parts, everything else as text."""
    texts: dict[str, Any] = {name: {} for name in known(kind)}
    properties = texts | {name: {"type": "array", "items": FILE} if many else FILE for name, many in files.items()}
    more = kind.model_config.get("extra") == "allow"
    needed = [info.alias or name for name, info in kind.model_fields.items() if info.is_required()]
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": more}


def _operation(id_: str, summary: str, answers: Mapping[str, Any], *parameters: Mapping[str, Any], **more: Any) -> Any:
    return {"operationId": id_, "summary": summary, "parameters": [*parameters], "responses": dict(answers), **more}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _found(about: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": _json(schema)}


def _fixed() -> dict[str, Any]:
    """What every door has."""
    run, id_, faults = _path("run"), _path("id"), _faults(400, 404, 408, 409, 413, 415, 422)
    decided = {"202": _found("Sent to the worker.", _ref("Decided")), **faults}
    gates, letters = (
        {"200": _found("A page, oldest first.", _object(**{name: _list(item), "next": NEXT})), **_faults(400, 404, 422)}
        for name, item in (("gates", "OpenGate"), ("dead_letters", "OpenDeadLetter"))
    )
    verdict = {"required": True, "content": _json(_ref("Verdict"))}
    edit = {"required": False, "content": _json(_ref("Replay"))}
    operations = {
        "POST /events": _operation("events", "CloudEvents: structured, binary or a batch", {
                                   **_accepted("Batch"), **_faults(400, 408, 413, 415, 422)}, WAIT,
                                   requestBody=_events()),
        "GET /runs": _operation("runs", "The newest runs that you may see", {
                                "200": _found("Newest first.", _object(runs=_list("ListedRun"), whole=WHOLE)),
                                **_faults(400, 404, 422)}, *FILTER),
        "GET /runs/{run}": _operation("run", "One run as it is now; asked for text/event-stream: as it happens",
                                      _messages(_json(_ref("Run"))), run, ONLY[0], WAIT, CURSOR),
        "GET /runs/{run}/steps": _operation("steps", "One run step by step, long texts cut", {
                                            "200": _found("As `stepwire runs show --json`.", _ref("StepByStep")),
                                            **_faults(400, 404, 422)}, run, ONLY[0]),
        "GET /runs/{run}/stream": _operation("stream", "One run as it happens", _messages({}), run, ONLY[0], CURSOR),
        "GET /gates": _operation("gates", "What waits for a person", gates, *PAGED),
        "GET /gates/{id}": _operation("gate", "One of them", {
                                      "200": _found("What is asked.", _ref("OpenGate")), **_faults(400, 404, 422)},
                                      id_, *ONLY),
        "POST /gates/{id}": _operation("decide", "Decide (approver)", decided, id_, *ONLY, requestBody=verdict),
        "GET /dead-letters": _operation("dead-letters", "Unfinished deliveries", letters, *LETTERS),
        "GET /dead-letters/{id}": _operation("dead-letter", "One of them whole", {
                                             "200": _found("The cause, the payload, what it holds up.",
                                                           _ref("WholeDeadLetter")), **_faults(400, 404, 422)},
                                             id_, *ONLY),
        "POST /dead-letters/{id}/replay": _operation("replay", "Resume (operator)", decided, id_, *ONLY,
                                                     requestBody=edit),
        "POST /dead-letters/{id}/drop": _operation("drop", "Give up (operator)", decided, id_, *ONLY),
    }  # fmt: skip
    found: dict[str, Any] = {}
    for name, operation in operations.items():
        method, _, path = name.partition(" ")
        found.setdefault(path, {})[method.lower()] = operation
    return found


def _events() -> dict[str, Any]:
    batch = {"type": "array", "items": _ref("CloudEvent")}
    structured = {"application/cloudevents+json": {"schema": _ref("CloudEvent")}}
    return {"required": True, "content": {
        **structured, "application/cloudevents-batch+json": {"schema": batch}, "application/json": {"schema": {}},
    }}  # fmt: skip


def _messages(other: Mapping[str, Any]) -> dict[str, Any]:
    # no type: by the letter of OpenAPI 3.1 the body is one text, and its readers hold each message against the schema
    content = {"text/event-stream": {"schema": {"description": "Server-sent events: id, event, data in JSON."}}}
    return {
        "200": {"description": "The run; or messages `event`, `state` and `end`.", "content": {**other, **content}},
        "204": {"description": "The run is completed, and every message was seen."}, **_faults(400, 404, 422),
    }  # fmt: skip


def _responses() -> dict[str, Any]:
    return {OWN + "Problem": {"description": "What was wrong (RFC 9457).", "content": {
        "application/problem+json": {"schema": _ref("ProblemDetails")}}}}  # fmt: skip


def _own() -> dict[str, Any]:
    """The door's own schemas."""
    from stepwire_handlers.services.door.decisions import Replay, Verdict  # noqa: PLC0415 - only for its schema

    text, attribute = {"type": "string"}, {"type": "string", "minLength": 1, "maxLength": LONGEST}
    count, time, later = {"type": "integer"}, {"type": "number"}, {"type": ["number", "null"]}
    states = {"enum": [*STATES]}
    problem = _object("type", "title", "detail", "instance", status=count)
    problem["properties"]["errors"] = {"type": "array", "items": {"type": "object"}}
    own = {
        "ProblemDetails": problem,
        "Accepted": _object("id", "source", "run", url=URL, repeated={"type": "boolean"}),
        "Batch": _object(events=_list("Accepted")),
        "Run": _object("run", "app", state=states, started=time, result=EVENT, open=_list("Open"), gates=_list("Gate"),
                       dead_letters=_list("DeadLetter"), retried=_list("Retried"), said=_list("Said"),
                       links=_object("self", "stream")),
        "ListedRun": _object("run", "app", "url", state=states, started=time, result=EVENT, events=count,
                             waits={"type": "array", "items": text}, dead_letter={"type": ["object", "null"]}),
        "StepByStep": _object("run", "app", state=states, started=time, result=EVENT, events=_list("Event"),
                              steps=_list("Step"), open=_list("Open"), dead_letter={"type": ["object", "null"]}),
        "Event": _object("handler", "type", "identity", time=time, event={"type": "object"}),
        "Step": _object("id", "outcome", "about", "last_error", handler={"type": ["string", "null"]}, begun=time,
                        ended=later, seconds=later, due=later, attempts={"type": ["integer", "null"]},
                        inputs={"type": "array"}, outputs={"type": "array"}, stamps={"type": "object"},
                        said=_list("Said")),
        "Said": _object("handler", "id", "decision", "by", "why", edited={"type": ["object", "null"]}, time=time,
                        counts={"type": "boolean", "description": "false: see doubt, such as a missing signature"},
                        doubt=text),
        "Open": _object("handler", "kind", "id", "about", since=time, due=later),
        "Gate": _object("id", "handler", "kind", "run", "why", since=time, until=later, event=EVENT),
        "OpenGate": {"allOf": [_ref("Gate"), _object("app")]},
        "DeadLetter": _object("id", "handler", "error", "message", attempts=count),
        "Retried": _object("id", "handler", "last_error", attempts=count),
        "OpenDeadLetter": {"allOf": [_ref("DeadLetter"), _object("app", "run", "status", replays=count, time=time)]},
        "WholeDeadLetter": {"allOf": [_ref("OpenDeadLetter"), _object(headers={"type": "object"}, payload={
            "description": "Sensitive fields are masked; null if this release cannot read it."},
            blocks={"type": "array"}, said=_list("Said"))]},
        "Decided": _object("app", "id", "decision", "by", "run", url=URL),
        "CloudEvent": {"type": "object", "required": ["specversion", "id", "source", "type"], "properties": {
            "specversion": {"const": "1.0"}, "id": attribute, "source": attribute, "type": attribute,
            "time": text | {"format": "date-time"},
            "data": {}}},
        "Verdict": Verdict.model_json_schema(ref_template=REF), "Replay": Replay.model_json_schema(ref_template=REF),
    }  # fmt: skip
    return {OWN + name: schema for name, schema in own.items()}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _ref(name)}


def _object(*texts: str, **more: Any) -> dict[str, Any]:
    """An object that has all of these; it may get more in a later release."""
    properties = {**{name: {"type": "string"} for name in texts}, **more}
    return {"type": "object", "required": [*properties], "properties": properties}

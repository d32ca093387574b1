"""The tools map: which server does a tool's job, and how arguments and results are put for it.

In: a tool's name as the flow has it, and the fields that the flow gives.  Out: server, the tool's name there,
its arguments, and what the flow gets back.  So another server does the same job, and the flow stays as it is:

    {"postgres.query": {"server": "pg", "tool": "query",
                        "arguments": {"sql": "{sql:bind(params)}"}, "result": {"rows": "$"}},
     "slack.send": {"server": "slack", "tool": "slack_post_message",
                    "arguments": {"channel_id": "{channel}", "text": "{text}"},
                    "result": {"channel": "$.channel", "ts": "$.ts"},
                    "ok": "$.ok", "error": "$.error"}}

A template that is one placeholder, `{field}` or `{field.inner}`, gives the value itself, and leaves the
argument out if there is none. Inside a longer text a placeholder must say how the value is written:

    {x:sql}           an SQL literal (PostgreSQL), with its quotes; never stands in quotes or comments
    {x:bind(params)}  `x` is SQL text with $1, $2 …; the items of `params` are written there as literals
    {x:json}          JSON
    {x:text}          as it is: only where the text is for people

`{{` and `}}` are braces. A result is a path (`$`, `$.rows[0].name`, `$.rows[*].name`), or a structure with
paths in it; what a path does not find is null. Anything else in either is a constant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from stepwire_handlers.steps.sql_literal import OPAQUE, bind, literal

_PLACEHOLDER = re.compile(
    r"\{\{|\}\}|\{(?P<path>[A-Za-z_]\w*(?:\.\w+)*)"
    r"(?::(?P<mode>sql|json|text|bind\((?P<params>\w+)\)))?\}|[{}]"
)
_PATH = re.compile(r"\$(?:\.[\w-]+|\[\d+\]|\[\*\])*")
_STEP = re.compile(r"\.(?P<name>[\w-]+)|\[(?P<index>\d+|\*)\]")
_MARK = "\ue000"  # a private character stands for a placeholder while quotes are looked for
_ABSENT = object()


class ToolRoute(BaseModel):
    """One entry of the tools map; the module's docstring tells its language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str  #: its name in mcpServers
    tool: str  #: the tool's name there
    arguments: dict[str, JsonValue] | None = None  #: templates; None: the flow's fields as they are
    result: JsonValue = "$"  #: paths
    ok: str | None = None  #: path; if what is there is not true, the tool has failed
    error: str | None = None  #: path to the failed tool's message
    timeout: float | None = Field(default=None, gt=0)  #: seconds; None: as for all tools

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for template in _texts(self.arguments):
            _check_template(template)
        for path in (*_texts(self.result), *_texts(self.ok), *_texts(self.error)):
            if path.startswith("$") and not _PATH.fullmatch(path):
                raise ValueError(f"{path!r} is not a path like $.rows[0].name or $.rows[*].name")
        return self

    def arguments_for(self, given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The arguments for the server's tool.

        Raises:
            ValueError: a value that is needed is missing, or cannot be written in the way asked for.
        """
        if self.arguments is None:
            return dict(given)
        filled = {name: _fill(template, given) for name, template in self.arguments.items()}
        return {name: value for name, value in filled.items() if value is not _ABSENT}  # type: ignore[misc]

    def failed(self, answer: JsonValue) -> str | None:
        """The message of a tool that says it failed inside of an ordinary answer; None if it did not."""
        if self.ok is None or _find(self.ok, answer) is True:
            return None
        message = _find(self.error, answer) if self.error else None
        return message if isinstance(message, str) else f"the answer says no at {self.ok}"

    def result_of(self, answer: JsonValue) -> JsonValue:
        """What the flow gets for the server's answer."""
        return _pick(self.result, answer)


def _texts(template: JsonValue) -> list[str]:
    match template:
        case str():
            return [template]
        case list():
            return [text for item in template for text in _texts(item)]
        case dict():
            return [text for item in template.values() for text in _texts(item)]
        case _:
            return []


def _check_template(template: str) -> None:
    places = list(_PLACEHOLDER.finditer(template))
    for place in places:
        if place[0] in {"{", "}"}:
            raise ValueError(
                f"{template!r}: the brace at {place.start()} opens no placeholder like {{name}}, "
                "{name:sql}, {name:json}, {name:text} or {name:bind(params)}. Write {{ and }} for braces"
            )
        if place["path"] and not place["mode"] and place[0] != template:
            raise ValueError(
                f"{template!r}: {place[0]} stands in a longer text and does not say how its value is "
                f"written. Write {{{place['path']}:sql}}, :json or :text"
            )
    if any(place["mode"] == "sql" or place["params"] for place in places):
        _check_sql(template)


def _check_sql(template: str) -> None:
    marked = _PLACEHOLDER.sub(lambda place: _MARK if place["mode"] else place[0], template)
    for opaque in OPAQUE.finditer(marked):
        if _MARK in opaque[0]:
            raise ValueError(
                f"{template!r}: a placeholder stands in quotes or in a comment, where its value could break "
                "out. Write it without quotes around it: name = {name:sql}"
            )
    if re.search(rf"[\w&]{_MARK}", marked):
        raise ValueError(f"{template!r}: a placeholder stands right behind a letter. Put a space before it")


def _fill(template: JsonValue, given: Mapping[str, JsonValue]) -> object:
    match template:
        case str():
            whole = _PLACEHOLDER.fullmatch(template)
            if whole is not None and whole["path"] and not whole["mode"]:
                return _look_up(given, whole["path"])
            return _PLACEHOLDER.sub(lambda place: _write(place, given), template)
        case list():
            return [value for item in template if (value := _fill(item, given)) is not _ABSENT]
        case dict():
            filled = {name: _fill(item, given) for name, item in template.items()}
            return {name: value for name, value in filled.items() if value is not _ABSENT}
        case _:
            return template


def _write(place: re.Match[str], given: Mapping[str, JsonValue]) -> str:
    if not place["path"]:
        return place[0][0]  # a doubled brace
    value = _look_up(given, place["path"])
    value = None if value is _ABSENT else value
    if place["params"]:
        params = given.get(place["params"]) or []
        if not isinstance(value, str) or not isinstance(params, list):
            raise ValueError(f"{place[0]} takes SQL text and a list of parameters")
        return bind(value, params)
    if place["mode"] == "sql":
        return literal(value)
    if place["mode"] == "json":
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str | int | float):
        raise ValueError(f"{place[0]} takes a text or a number, and there is none")  # noqa: TRY004 - data
    return str(value)


def _look_up(given: Mapping[str, JsonValue], path: str) -> object:
    value: object = given
    for name in path.split("."):
        if not isinstance(value, Mapping) or value.get(name) is None:
            return _ABSENT
        value = value[name]
    return value


def _pick(shape: JsonValue, answer: JsonValue) -> JsonValue:
    match shape:
        case str():
            return _find(shape, answer) if shape.startswith("$") else shape
        case list():
            return [_pick(item, answer) for item in shape]
        case dict():
            return {name: _pick(item, answer) for name, item in shape.items()}
        case _:
            return shape


def _find(path: str, answer: JsonValue) -> JsonValue:
    step = _STEP.match(path, 1)
    if step is None:
        return answer
    rest = f"${path[step.end() :]}"
    match answer:
        case list() if step["index"] == "*":
            return [_find(rest, item) for item in answer]
        case list() if step["index"] and int(step["index"]) < len(answer):
            return _find(rest, answer[int(step["index"])])
        case dict() if step["name"] in answer:
            return _find(rest, answer[step["name"]])
        case _:
            return None

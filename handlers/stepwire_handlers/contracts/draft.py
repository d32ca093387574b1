"""From JSON Schema 2020-12, as pydantic writes it, to the draft that AsyncAPI 3.0 reads (a superset of draft-07).

In: a schema that stands alone, and how its parts are called in the document. Out: the schema and its parts, which
refer to each other from the document's root. Meaning is kept: a tuple's positions become `items`, what stands beside a
`$ref` goes around it; what no tool of the other side could read (a pattern of Python's own, pydantic's discriminator
mapping) is left to an extension.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ROOT = "#/$defs/"
MAPS = ("properties", "patternProperties", "dependentSchemas")  #: keyword -> schemas by name
LISTS = ("anyOf", "oneOf", "allOf")
ONE = ("items", "additionalProperties", "propertyNames", "not", "if", "then", "else", "contains")
PYTHON = re.compile(r"\(\?P|\(\?[aiLmsux]|\\[AZz]")


def hoisted(schema: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The schema under `name`, each of its definitions under `name.<Definition>`."""

    def placed(ref: str) -> str:
        target = ref.removeprefix(ROOT)
        return f"#/components/schemas/{name}" + (f".{target}" if ref.startswith(ROOT) else "")

    top = {word: value for word, value in schema.items() if word != "$defs"}
    found = {name: draft07(top, placed)}
    for part, inner in schema.get("$defs", {}).items():
        found[f"{name}.{part}"] = draft07(inner, placed)
    return found


def draft07(schema: Any, placed: Callable[[str], str]) -> Any:
    """One schema; `placed` says where a reference leads in the document."""
    if not isinstance(schema, Mapping):
        return schema
    found = {name: inner for word, value in schema.items() for name, inner in _keyword(word, value, placed)}
    if "prefixItems" in schema:
        rest = found.get("items", schema.get("maxItems") != len(schema["prefixItems"]))
        found["items"] = [draft07(inner, placed) for inner in schema["prefixItems"]]
        found["additionalItems"] = rest
    ref = found.pop("$ref", None)
    if ref is None:
        return found
    pointer = {"$ref": placed(ref)}
    return {**found, "allOf": [pointer, *found.get("allOf", [])]} if found else pointer


def _keyword(word: str, value: Any, placed: Callable[[str], str]) -> Iterator[tuple[str, Any]]:
    """One keyword in the older draft's terms; nothing for what `draft07` writes itself."""
    if word in MAPS:
        yield word, {name: draft07(inner, placed) for name, inner in value.items()}
    elif word in LISTS:
        yield word, [draft07(inner, placed) for inner in value]
    elif word in ONE:
        yield word, draft07(value, placed)
    elif word == "discriminator":
        yield "x-discriminator", value["propertyName"] if isinstance(value, Mapping) else value
    elif word == "pattern" and PYTHON.search(str(value)):
        yield "x-pattern", value
    elif word != "prefixItems":
        yield word, value

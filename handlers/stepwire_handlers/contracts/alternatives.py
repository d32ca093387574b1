"""A schema as the list of shapes that JSON may have by it, one JSON type each.

In: a schema and the document that its references lead into. Out: alternatives; a union, a list of types and an enum
over several types come apart, references and lone `allOf` are followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

DEEPEST = 50  #: references that lead to references; a document of ours has two
IMPLIED = {
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern"),
}


class Alternative(NamedTuple):
    """One shape."""

    type: str  #: of JSON; empty: any
    schema: Mapping[str, Any]
    values: tuple[Any, ...] | None = None  #: the only ones, of `enum` or `const`
    ref: str = ""  #: the definition it came from

    @property
    def name(self) -> str:
        """What the definition is called."""
        return self.ref.rpartition(".")[2]


def alternatives(schema: Any, document: Mapping[str, Any]) -> list[Alternative]:
    """Every shape."""
    return _parted(schema, document, "", DEEPEST)


def resolved(schema: Any, document: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """A schema without references at its top, and the last one of them."""
    last = ""
    for _ in range(DEEPEST):
        if not isinstance(schema, Mapping):
            return ({} if schema is True else {"not": {}}), last
        ref, inner = schema.get("$ref"), schema.get("allOf")
        if isinstance(ref, str):
            schema, last = _at(ref, document), ref
        elif isinstance(inner, list) and len(inner) == 1:
            outer = {word: value for word, value in schema.items() if word != "allOf"}
            below, last = resolved(inner[0], document)
            return {**below, **outer}, last
        else:
            return schema, last
    return {}, last


def _at(ref: str, document: Mapping[str, Any]) -> Any:
    found: Any = document
    for part in ref.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
    return found


def _parted(schema: Any, document: Mapping[str, Any], ref: str, left: int) -> list[Alternative]:
    plain, own = resolved(schema, document)
    ref = own or ref
    for word in ("anyOf", "oneOf"):
        if word in plain and left:
            outer = {key: value for key, value in plain.items() if key not in ("anyOf", "oneOf", "title", "default")}
            found = [each for inner in plain[word] for each in _parted(inner, document, "", left - 1)]
            return [each._replace(schema={**outer, **each.schema}) for each in found]
    values = plain.get("enum", [plain["const"]] if "const" in plain else None)
    if values is not None:
        kinds = dict.fromkeys(kind_of(value) for value in values)
        return [Alternative(kind, plain, tuple(v for v in values if kind_of(v) == kind), ref) for kind in kinds]
    said = plain.get("type") or _implied(plain)
    kinds_said = said if isinstance(said, list) else [said]
    return [Alternative(kind, plain, (True, False) if kind == "boolean" else (None,) if kind == "null" else None, ref)
            for kind in kinds_said]  # fmt: skip


def _implied(schema: Mapping[str, Any]) -> str:
    return next((kind for kind, words in IMPLIED.items() if any(word in schema for word in words)), "")


def kind_of(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"

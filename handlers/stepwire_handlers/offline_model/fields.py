"""Fields: a JSON schema comes in; what is asked for, name by name, goes out.

References are followed, `anyOf` with null becomes "may be absent", and limits are read wherever they stand: clients
move those that the API does not know into the description, as `{minimum: 0, maximum: 10}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stepwire_handlers.offline_model.words import name_words

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One thing that is asked for."""

    name: str
    path: tuple[str, ...]  #: the names of the objects around it
    schema: Schema  #: resolved, without its null
    nullable: bool
    description: str
    root: Schema

    @property
    def type(self) -> str:
        """string, number, integer, boolean, array or object."""
        if "properties" in self.schema:
            return "object"
        if "enum" in self.schema or "const" in self.schema:
            return "choice"
        return str(self.schema.get("type", "string"))

    @property
    def labels(self) -> list[Any]:
        """The values to choose from."""
        return [self.schema["const"]] if "const" in self.schema else list(self.schema.get("enum", []))

    @cached_property
    def words(self) -> str:
        """The words of its name."""
        return " ".join(name_words(self.name))

    @cached_property
    def long_words(self) -> str:
        """The words of its name and of what is around it: `vendor.name` is "vendor name"."""
        return " ".join(word for name in (*self.path[-1:], self.name) for word in name_words(name))

    @cached_property
    def limits(self) -> tuple[float | None, float | None]:
        """The least and the greatest number."""
        low, high = self.schema.get("minimum"), self.schema.get("maximum")
        told = dict(re.findall(r"(minimum|maximum|exclusiveMinimum|exclusiveMaximum): (-?[\d.]+)", self.description))
        low = low if low is not None else told.get("minimum", told.get("exclusiveMinimum"))
        high = high if high is not None else told.get("maximum", told.get("exclusiveMaximum"))
        return (None if low is None else float(low)), (None if high is None else float(high))

    @property
    def items(self) -> Field:
        """What an array holds."""
        return field(self.name, self.schema.get("items", {}), self.root, self.path)

    @property
    def properties(self) -> list[Field]:
        """What an object holds."""
        inner = self.schema.get("properties", {})
        path = (*self.path, self.name) if self.name else self.path
        return [field(name, schema, self.root, path) for name, schema in inner.items()]


def field(name: str, schema: Schema, root: Schema, path: tuple[str, ...] = ()) -> Field:
    """A field by its name and schema."""
    told = [str(schema.get("description", ""))]
    nullable = False
    for _ in range(32):  # a reference to itself ends here
        told.append(str(schema.get("description", "")))
        variants = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if "$ref" in schema:
            schema = _resolve(str(schema["$ref"]), root)
        elif variants:
            real = [variant for variant in variants if variant.get("type") != "null"]
            nullable = nullable or len(real) < len(variants)
            schema = real[0] if real else {"type": "null"}
        elif isinstance(schema.get("type"), list):
            kinds = [kind for kind in schema["type"] if kind != "null"]
            nullable = nullable or len(kinds) < len(schema["type"])
            schema = {**schema, "type": kinds[0] if kinds else "null"}
        else:
            break
    description = " ".join(dict.fromkeys(part for part in told if part))
    return Field(name, path, schema, nullable, description, root)


def _resolve(reference: str, root: Schema) -> Schema:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}

"""JSON Schema of an event: the JSON that is accepted of those who publish it, or the JSON that we write.

In: an event class. Out: a schema that stands alone (2020-12, `$defs`), as pydantic says it, with four additions:
fields that are marked Sensitive carry `x-sensitive`, one that is read under other names too has them in `x-also`, a
field that we always write is required, whatever its default, and a decimal number as text has a format.
Raises SettingsError for a class that no schema can describe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import PydanticSerializationError, core_schema

from stepwire import Event, SettingsError
from stepwire_handlers.services.fields import read_as
from stepwire_handlers.telemetry.mask import MASK, hidden_fields, masked

Side = Literal["accepts", "emits"]
MODES: dict[Side, JsonSchemaMode] = {"accepts": "validation", "emits": "serialization"}
MARK = "x-sensitive"
ALSO = "x-also"  #: other names under which the value of a property is read
SHOWN = ("default", "examples")  #: keywords that show values, which a sensitive field's are not


def schema_of(kind: type[Event], side: Side) -> dict[str, Any]:
    """The schema of one event. Raises SettingsError."""
    named = side == "accepts" or bool(kind.model_config.get("serialize_by_alias"))  # the codec writes plain names
    try:
        found = kind.model_json_schema(by_alias=named, schema_generator=_Generator, mode=MODES[side])
    except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(
            f"{kind.__name__} ({kind.spec.type}) has no JSON Schema: {reason}; give the field a type that JSON has, or "
            f"Field(json_schema_extra=…) with pydantic's WithJsonSchema"
        ) from None
    plain: dict[str, Any] = _finite(found)
    return plain


def definitions_of(kinds: Sequence[type[Event]], ref: str) -> tuple[dict[type[Event], Any], dict[str, Any]]:
    """What is accepted of many events in one document: a reference to each, and every definition by its name."""
    found, whole = models_json_schema(
        [(kind, "validation") for kind in kinds], schema_generator=_Generator, ref_template=ref
    )
    plain: dict[str, Any] = _finite(whole.get("$defs", {}))
    return {kind: found[kind, "validation"] for kind in kinds}, plain


class _Generator(GenerateJsonSchema):
    """Pydantic's own, with our additions; what it cannot express is an error, never left out in silence."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default", "skipped-discriminator"}  # noqa: RUF012

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        """The codec leaves no field out."""
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return field.get("serialization_exclude_if") is None
        return super().field_is_required(field, total)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:
        """A number as text is not any text; without this, a text that became a number would look the same."""
        found = super().decimal_schema(schema)
        for choice in found.get("anyOf", [found]):
            if choice.get("type") == "string":
                choice["format"] = "decimal"
        return found

    def encode_default(self, dft: Any) -> Any:
        """A default, unless a sensitive field lies somewhere inside of it; then the schema shows none."""
        if MASK in str(masked(dft, shorten=False)):
            raise PydanticSerializationError("it holds a sensitive field")
        return super().encode_default(dft)

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        """A model, its sensitive fields marked."""
        found = self._marked(schema["cls"], super().model_schema(schema))
        return self._named(schema["cls"], found) if self.mode == "validation" else found

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> dict[str, Any]:
        """A dataclass, its sensitive fields marked."""
        return self._marked(schema["cls"], super().dataclass_schema(schema))

    def _named(self, kind: type[BaseModel], found: dict[str, Any]) -> dict[str, Any]:
        properties = found.get("properties", {})
        for name, info in kind.model_fields.items():
            written = _alias(kind, name)
            others = [each for each in read_as(kind, name, info) if each not in (written, *_beginnings(info))]
            if others and written in properties:
                properties[written] = {**properties[written], ALSO: others}
        return found

    def _marked(self, kind: type[Any], found: dict[str, Any]) -> dict[str, Any]:
        properties = found.get("properties", {})
        for name in hidden_fields(kind):
            for written in (name, _alias(kind, name)):
                if written in properties:
                    kept = {word: value for word, value in properties[written].items() if word not in SHOWN}
                    properties[written] = {**kept, MARK: True}
        return found


def _alias(kind: type[Any], name: str) -> str:
    """How a field is called in JSON."""
    if not issubclass(kind, BaseModel):
        return name
    field = kind.model_fields[name]
    said: Any = field.validation_alias or field.alias or name
    if isinstance(said, AliasChoices):
        said = said.choices[0]
    return str(said.path[0]) if isinstance(said, AliasPath) else str(said)


def _beginnings(info: FieldInfo) -> list[str]:
    """Names below which a field is looked for: what stands there is not its value."""
    alias = info.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [str(choice.path[0]) for choice in choices if isinstance(choice, AliasPath)]


def _finite(value: Any) -> Any:
    """A default that is no number is written as the codec writes it."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


__all__ = ["ALSO", "MARK", "Side", "definitions_of", "schema_of"]

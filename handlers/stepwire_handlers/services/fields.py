"""An event from fields that somebody wrote by hand: a misspelt name is a mistake, not something to be ignored.

In: an event type and JSON fields by name. Out: the event. Raises Unfit, which holds every mistake at once. Events of
other systems do not come this way: a newer version of a producer may send more than we know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from stepwire import Event, SettingsError


class Unfit(SettingsError):
    """These fields are no such event; the message names each mistake. What a check of the author says may quote values.

    Args:
        kind: the event type.
        unknown: names that it does not have.
        error: what is wrong with the others, if anything is.
    """

    def __init__(self, kind: type[Event], unknown: list[str], error: ValidationError | None) -> None:
        name, said = kind.__name__, []
        if unknown:
            said.append(f"{name} has no field {', '.join(unknown)} (it has {', '.join(known(kind))})")
        if error is not None:
            said.append(f"these fields are no {name}: {reasons(error)}")
        super().__init__("; ".join(said))
        self.kind, self.unknown, self.error = kind, unknown, error


def event_of(kind: type[Event], fields: Mapping[str, Any]) -> Event:
    """The event. Raises Unfit, and ValueError for a text that is none in UTF-8."""
    text, strange = to_json(fields), unknown(kind, fields)
    if strange:
        left = fields.keys() - strange
        text = to_json({name: value for name, value in fields.items() if name in left})
    try:
        event = kind.model_validate_json(text)
    except ValidationError as error:
        raise Unfit(kind, strange, error) from None
    if strange:
        raise Unfit(kind, strange, None)
    return event


def unknown(kind: type[Event], names: Iterable[str]) -> list[str]:
    """Those of the names that the event type would ignore; none if its author allows any (`extra="allow"`)."""
    if kind.model_config.get("extra") == "allow":
        return []
    taken = {each for name, info in kind.model_fields.items() for each in read_as(kind, name, info)}
    return [name for name in names if name not in taken]


def known(kind: type[Event]) -> list[str]:
    """How its fields are called, each by one name."""
    return [next(read_as(kind, name, info)) for name, info in kind.model_fields.items()]


def reasons(error: ValidationError) -> str:
    """What is wrong with which field, without any value."""
    wrong = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, issue['loc'])) or 'value'}: {issue['msg']}" for issue in wrong)


def read_as(kind: type[BaseModel], name: str, info: FieldInfo) -> Iterator[str]:
    """The names under which pydantic reads a field; of a path its beginning."""
    config, alias = kind.model_config, info.validation_alias
    by_alias = alias is not None and config.get("validate_by_alias", True)
    if by_alias:
        for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            yield str(choice.path[0]) if isinstance(choice, AliasPath) else str(choice)
    if not by_alias or config.get("validate_by_name") or config.get("populate_by_name"):
        yield name

"""docs/schemas: valid, strict, and one for each `--json` of these commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError
from tests.cli.shell import SCHEMAS, Shell

OURS = ("publish", "publish-wait", "runs-list", "runs-show", "gates-list", "gates-show", "dlq-list", "dlq-show",
        "dlq-stats")  # fmt: skip


def strict(schema: object) -> bool:
    """Does every object with known fields refuse others?"""
    if isinstance(schema, list):
        return all(map(strict, schema))
    if not isinstance(schema, dict):
        return True
    return ("properties" not in schema or schema.get("additionalProperties") is False) and all(
        map(strict, schema.values())
    )


@pytest.mark.parametrize("name", OURS)
def test_a_schema_is_valid_and_strict(name: str) -> None:
    """A field that is added without its schema fails a test."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    assert strict(schema)


def test_a_schema_refuses_what_is_not_the_output() -> None:
    """They are no rubber stamps."""
    schema = json.loads((SCHEMAS / "publish-wait.json").read_text())
    good = {"run": "x", "state": "completed", "result": None, "dead_letter": None}
    Draft202012Validator(schema).validate(good)
    for wrong in ({**good, "state": "well"}, {**good, "more": 1}, {"run": "x"}, {**good, "result": 3}):
        with pytest.raises(ValidationError):
            Draft202012Validator(schema).validate(wrong)


def test_every_json_option_of_these_commands_has_a_schema(shell: Shell) -> None:
    """The help of each command says whether it speaks JSON."""
    commands = ["publish", *(f"{group} {name}" for group, names in {
        "runs": ("list", "show", "watch"), "gates": ("list", "show", "decide"),
        "dlq": ("list", "show", "stats", "replay", "drop"),
    }.items() for name in names)]  # fmt: skip
    speaking = {command.replace(" ", "-") for command in commands if "--json " in shell(*command.split(), "--help").out}
    assert speaking == {name for name in OURS if name != "publish-wait"}
    assert all(Path(SCHEMAS / f"{name}.json").exists() for name in speaking)

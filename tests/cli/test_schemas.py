"""docs/schemas: valid, strict, and one for each `--json` of these commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator, ValidationError
from tests.cli.shell import APP, SCHEMAS, Shell

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
OURS = ("publish", "publish-wait", "runs-list", "runs-show", "gates-list", "gates-show", "dlq-list", "dlq-show",
        "dlq-stats", "config", "topics", "groups-list", "doctor", "contracts-check")  # fmt: skip


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


def test_config_and_topics_say_what_their_schemas_say(shell: Shell) -> None:
    """Real output, before and after the topics are there; the other commands' tests do the same for theirs."""
    shell("config", "--json", schema="config")
    before = shell("topics", "plan", APP, "--json", schema="topics").data
    shell("topics", "check", APP, "--json", schema="topics", code=1)
    shell("topics", "apply", APP)
    after = shell("topics", "check", APP, "--json", schema="topics").data
    assert [row["exists"] for row in before] == [False] * len(before)
    assert [row["exists"] for row in after] == [True] * len(before)


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, with the names of its groups."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name)


def test_every_json_option_has_a_schema(shell: Shell) -> None:
    """The help of each command says whether it speaks JSON; `topics plan` and `check` speak the same."""
    from stepwire_handlers.cli.main import cli

    speaking = {
        command for command in commands(typer.main.get_group(cli)) if "--json " in shell(*command, "--help").out
    }
    names = {"topics" if command[0] == "topics" else "-".join(command) for command in speaking}
    assert names == {name for name in OURS if name != "publish-wait"}


def test_the_page_of_commands_is_current(tmp_path: Path) -> None:
    """docs/cli.md says what `--help` says; `make docs` writes it anew."""
    page = tmp_path / "cli.md"
    arguments = ["-m", "typer", "stepwire_handlers.cli.main", "utils", "docs", "--name", "stepwire", "--output", page]
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    assert PAGE.read_text().partition("\n")[2] == page.read_text()

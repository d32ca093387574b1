"""`stepwire contracts` as a pipeline meets it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from stepwire_handlers.cli.main import cli

APP = "tests.door.shop:APP"
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "contracts-check.json"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEPWIRE_BUS", raising=False)


def contracts(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["contracts", *arguments])
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    return done


def older(path: Path, **fields: Any) -> None:
    """Make the last release's Order have other fields."""
    document = json.loads(path.read_text())
    schema = document["components"]["schemas"]["accepts.shop.orders.Order.v1"]
    schema["properties"] |= fields
    path.write_text(json.dumps(document))


def test_a_release_is_checked_against_the_last_one(tmp_path: Path) -> None:
    """Export, check, nothing breaks: 0; something does: 1, by event, field and whom, as text and as JSON."""
    path = tmp_path / "contracts" / "shop.json"
    contracts("export", APP, "--out", "contracts/shop.json", "--release", "1.0")
    assert json.loads(path.read_text())["info"]["version"] == "1.0"
    assert contracts("check", APP).stdout == ""
    older(path, n={"type": "string"})
    done = contracts("check", APP, "--json", code=1)
    assert "Order.n: breaks producers: string where integer is read" in done.stderr
    (change,) = json.loads(done.stdout)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate([change])
    assert (change["event"], change["accepted"]) == ("Order", False)
    assert "accepted: Order.n" in contracts("check", APP, "--accept", "Order").stderr
    assert "nothing of that name breaks" in contracts("check", APP, "--accept", "Older", code=2).stderr


def test_an_export_says_what_is_written_where(tmp_path: Path) -> None:
    """The document alone on stdout; a schema for each event in a folder; on Kafka with prefix and brokers."""
    plain = json.loads(contracts("export", APP, "--schemas", "schemas").stdout)
    assert "servers" not in plain
    assert {path.name for path in (tmp_path / "schemas").iterdir()} >= {"shop.orders.Order.v1.json"}
    (tmp_path / "stepwire.toml").write_text('prefix = "prod."\n[kafka]\n"security.protocol" = "SASL_SSL"\n'
                                            '"sasl.username" = "me"\n"sasl.password" = "hunter2hunter2"\n')  # fmt: skip
    said = contracts("export", APP, "--bus", "kafka://a:9092,b:9092").stdout
    there = json.loads(said)
    assert there["channels"]["shop.orders"]["address"] == "prod.shop.orders"
    assert there["servers"]["kafka-1"] == {"host": "a:9092", "protocol": "kafka-secure"}
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "there is no contracts/shop.json"), ("{", "is no JSON"), ("[]", "is no AsyncAPI"), ("{}", "not made by")],
)
def test_without_a_last_release_it_says_how_to_keep_one(tmp_path: Path, text: str | None, why: str) -> None:
    """Exit 2, never a silent pass."""
    if text is not None:
        (tmp_path / "contracts").mkdir()
        (tmp_path / "contracts" / "shop.json").write_text(text)
    assert why in contracts("check", APP, code=2).stderr


def test_the_last_release_may_lie_in_git(tmp_path: Path) -> None:
    """A tag has the file as it was released, whatever the working tree has by now."""
    path = tmp_path / "contracts" / "shop.json"
    contracts("export", APP, "--out", "contracts/shop.json")
    older(path, n={"type": "string"})
    about = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*about, "commit", "-qm", "1"], ["tag", "v1"]):
        subprocess.run(["git", *command], check=True, capture_output=True)
    contracts("export", APP, "--out", "contracts/shop.json")
    contracts("check", APP)
    assert "breaks producers" in contracts("check", APP, "--git", "v1", code=1).stderr
    assert "git cannot show" in contracts("check", APP, "--git", "v2", code=2).stderr
    assert "a tag, a branch or a commit" in contracts("check", APP, "--git", "--output=x", code=2).stderr

"""`stepwire door` as its user meets it before it opens."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests.door.doors import APPS
from typer.testing import CliRunner

from stepwire_handlers.cli.main import cli
from stepwire_handlers.services.door.access import hashed, load_access


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWIRE_BUS", f"sqlite:///{tmp_path / 'bus.db'}")
    monkeypatch.setenv("STEPWIRE_BLOBS", str(tmp_path / "blobs"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([*APPS], "nobody may come in yet"),
        ([*APPS, "--insecure", "--access", "nope.toml"], "contradict each other"),
        ([*APPS, "--access", "nope.toml"], "nope.toml cannot be read"),
        (["--insecure"], "say which apps"),
        ([APPS[0], APPS[0], "--insecure"], "two apps are called shop"),
        ([APPS[0], "--insecure", "--host", "192.0.2.1"], "--port"),
    ],
)
def test_a_door_does_not_open_by_accident(options: list[str], why: str) -> None:
    """Exit 2 and the cure, before anything listens."""
    done = CliRunner().invoke(cli, ["door", "--port", "0", *options])
    assert (done.exit_code, why in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("command", ["door", "console", "mcp"])
def test_a_server_finds_its_apps_in_the_environment(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """STEPWIRE_APP names one or, with spaces between them, several."""
    monkeypatch.setenv("STEPWIRE_APP", f"{APPS[0]} {APPS[0]}")
    options = ["--http"] if command == "mcp" else []
    done = CliRunner().invoke(cli, [command, "--insecure", "--port", "0", *options])
    assert (done.exit_code, "two apps are called shop" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(("command", "warns"), [("door", True), ("console", True), ("mcp", False)])
def test_who_lets_people_decide_warns_that_decisions_are_not_signed(command: str, warns: bool, tmp_path: Path) -> None:
    """A door and a console, when they start without a decision key; an MCP server has nothing to do with decisions."""
    access = tmp_path / "access.toml"
    access.write_text(CliRunner().invoke(cli, ["door", "--new-key", "crm"]).stderr, "utf-8")
    options = ["--http", "--allow-host", "a.example"] if command == "mcp" else []
    here = [APPS[0], "--access", str(access), "--host", "192.0.2.1", "--port", "0"]  # nobody's address
    done = CliRunner().invoke(cli, [command, *here, *options])
    assert (done.exit_code, "cannot listen" in done.stderr) == (2, True), done.stderr
    assert ("decisions are not signed" in done.stderr) is warns


@pytest.mark.parametrize("name", ["crm", 'the "old" Ä\\crm', "🔑"])
def test_what_is_printed_for_a_new_key_is_an_access_file(tmp_path: Path, name: str) -> None:
    """The key goes to stdout alone; stderr as it stands is a file with its hash and no more, also behind another's."""
    path, printed = tmp_path / "access.toml", ""
    for each in (name, "other"):
        done = CliRunner().invoke(cli, ["door", "--new-key", each])
        printed += done.stderr
        path.write_text(printed, "utf-8")
        found, key = load_access(path).keys[-1], done.stdout.strip()
        assert (done.exit_code, found.name, found.hash) == (0, each, hashed(key))
        assert found.roles == {"*": {"viewer"}}
        assert key not in printed and len(key) > 40


@pytest.mark.parametrize(("command", "module"), [("door", "jwt"), ("console", "jwt"), ("console", "jinja2")])
def test_a_missing_extra_is_named_after_the_command(command: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2 with what to install for what was started, not for what it shares its parts with."""
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, real=importlib.util.find_spec: None if name == module else real(name)
    )
    done = CliRunner().invoke(cli, [command, *APPS, "--insecure", "--port", "0"])
    assert done.exit_code == 2
    assert f"the {command} needs {module}: install Stepwire's extra {command}" in done.stderr

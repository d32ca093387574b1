"""`stepwire door` as its user meets it before it opens."""

from __future__ import annotations

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


def test_a_new_key_fits_the_lines_that_are_printed_for_it(tmp_path: Path) -> None:
    """The key goes to stdout alone; what goes into the access file is its hash and no more."""
    done = CliRunner().invoke(cli, ["door", "--new-key", "crm"])
    key = done.stdout.strip()
    path = tmp_path / "access.toml"
    path.write_text(done.stderr.partition("\n")[2])
    (found,) = load_access(path).keys
    assert (done.exit_code, found.name, found.hash) == (0, "crm", hashed(key))
    assert key not in done.stderr and len(key) > 40

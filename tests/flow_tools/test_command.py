"""`stepwire mcp` as its user meets it before it opens."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.flow_tools.servers import APPS
from typer.testing import CliRunner

from stepwire_handlers.cli.main import cli


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--http", *APPS], "nobody may come in yet"),
        (["--http", "--insecure", "--access", "nope.toml", *APPS], "contradict each other"),
        (["--access", "nope.toml", *APPS], "about --http"),
        (["--insecure", *APPS], "about --http"),
        (["--http", "--insecure"], "say which apps"),
        (["--http", "--insecure", APPS[0], APPS[0]], "two apps are called till"),
        (["--http", "--insecure", "--host", "0.0.0.0", APPS[0]], "--allow-host NAME"),  # noqa: S104
        (["--http", "--insecure", "--allow-host", "https://a.example/", APPS[0]], "the bare name"),
        (["--http", "--insecure", "--host", "192.0.2.1", "--allow-host", "a.example", APPS[0]], "cannot listen"),
    ],
)
def test_a_server_does_not_open_by_accident(
    options: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2 and the cure, before anything listens."""
    monkeypatch.setenv("STEPWIRE_BUS", f"sqlite:///{tmp_path / 'bus.db'}")
    monkeypatch.setenv("STEPWIRE_BLOBS", str(tmp_path / "blobs"))
    done = CliRunner().invoke(cli, ["mcp", "--port", "0", *options])
    assert (done.exit_code, why in done.stderr) == (2, True), done.stderr

"""Door, console and tools start with the words that the chart starts them with, and answer what `helm test` asks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.door.doors import APPS, ROOT, Doors
from tests.helm.chart import of_kind, render, values_of

from stepwire_handlers.services.door.access import new_key

HERE = {"--host": "127.0.0.1", "--port": "0", "--http-port": "0"}


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    found = Doors(tmp_path)
    yield found
    found.close()


def _words(name: str, access: Path) -> list[str]:
    """What the chart writes for the container, on this machine."""
    found = of_kind(render(values_of("everything")), "Deployment")
    (pod,) = [one["spec"]["template"] for one in found if one["metadata"]["name"] == f"acme-stepwire-{name}"]
    command, _, *flags = pod["spec"]["containers"][0]["args"]
    own, split = HERE | {"--access": str(access)}, [word.partition("=") for word in flags]
    return [command, APPS[0], *(f"{flag}={own.get(flag, value)}" if is_ else flag for flag, is_, value in split)]


def _check(name: str) -> list[str]:
    """What `helm test` runs for it."""
    (pod,) = [one for one in of_kind(render(values_of("everything")), "Pod")
              if one["metadata"]["name"] == f"acme-stepwire-test-{name}"]  # fmt: skip
    found: list[str] = pod["spec"]["containers"][0]["command"]
    return found


@pytest.mark.parametrize("name", ["door", "console", "mcp"])
def test_what_the_chart_starts_starts_and_answers(name: str, doors: Doors, tmp_path: Path) -> None:
    """And the check of `helm test` passes against it; with another answer it fails and says so."""
    access = tmp_path / "access.toml"
    access.write_text(f'[[keys]]\nname = "a"\nhash = "{new_key()[1]}"\nroles = {{ "*" = ["viewer"] }}\n')
    process = doors._begin(*_words(name, access))
    assert process.stderr is not None
    said = (re.search(rf"{name}: (http://[^/\s]+)", line) for line in process.stderr)
    url = next(found[1] for found in said if found)
    _, flag, script, asked, wanted = _check(name)
    assert asked.startswith(f"http://acme-stepwire-{name}:80/")
    path = asked.partition(":80")[2]
    for status, code in ((wanted, 0), ("418", 1)):
        words = [sys.executable, flag, script, url + path, status]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, f"answered {wanted}" in done.stdout + done.stderr) == (code, True), done.stderr
    if name == "mcp":
        names = [("acme-stepwire-mcp.flows", 401), ("tools.acme.example", 401), ("elsewhere.example", 421)]
        assert [httpx2.get(url + path, headers={"host": host}).status_code for host, _ in names] == [
            status for _, status in names
        ]

"""The backup of a file in use, by the command that docs/operating.md gives."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.shell import HERE, Shell, until

PAGE = HERE.parents[1] / "docs" / "operating.md"


def backup(folder: Path) -> Path:
    """Run what the page says, beside bus.db; the copy."""
    (command,) = re.findall(r"^    python3 (-c .*)$", PAGE.read_text(), re.MULTILINE)
    subprocess.run([sys.executable, *shlex.split(command)], cwd=folder, check=True, timeout=60)
    return folder / "copy.db"


def results(shell: Shell) -> list[int]:
    """Of every run that has one."""
    found = (shell.seen(run["run"])["result"] for run in shell("runs", "list", "--json").data)
    return sorted(result["n"] for result in found if result is not None)


@pytest.mark.slow
def test_a_backup_of_a_file_in_use_goes_on_where_it_was(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published before it is done once in the copy, a call under way too; an open gate is open there."""
    worker = shell.begin("run", "market:app")
    held = shell.folder / "held"
    for n in range(1, 11):
        shell.order(n)
    asked = shell.order(500)
    until(lambda: shell("gates", "list", "--json").data, "a gate opens")
    shell.begin("publish", "Order", "--json-data", f'{{"n": 50, "hold": "{held}"}}')
    until(Path(f"{held}.begun").exists, "the call is under way")
    copy = backup(shell.folder)
    worker.kill()
    worker.wait()
    restored = shell.folder / "restored"
    restored.mkdir()
    copy.rename(restored / "bus.db")
    held.touch()
    there = Shell(restored)
    monkeypatch.setenv("STEPWIRE_BUS", there.environment["STEPWIRE_BUS"])
    there.work()
    assert results(there) == [*range(1, 11), 50]
    (gate,) = there("gates", "list", "--json").data
    there("gates", "decide", gate["id"], "--approve")
    there.work()
    assert there.seen(asked)["result"]["n"] == 500
    assert results(there) == [*range(1, 11), 50, 500]

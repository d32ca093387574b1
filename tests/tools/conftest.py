"""The stand-ins, a PostgreSQL, and npm's servers, started once for all tool tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.surroundings import ROOT, SEED, StandIns, standins_process

from stepwire_handlers.standins import database


@pytest.fixture(scope="session")
def running_standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    with standins_process(tmp_path_factory.mktemp("received")) as running:
        yield running


@pytest.fixture
def standins(running_standins: StandIns) -> StandIns:
    """The stand-ins; one process serves all tests, and each sees what came during its own time."""
    counts = {what: len(running_standins.received(what)) for what in ("slack/messages", "gmail/drafts")}
    return replace(running_standins, before=counts)


@pytest.fixture
def new_standins(tmp_path: Path) -> Iterator[StandIns]:
    """Stand-ins that have received nothing yet."""
    with standins_process(tmp_path / "received") as running:
        yield running


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A PostgreSQL with three customers."""
    # Not below pytest's folder, which every session closes to other users; run by root, PostgreSQL is one.
    with tempfile.TemporaryDirectory(prefix="stepwire-postgres-") as folder:
        yield database.start(Path(folder) / "data", SEED)
        database.stop(Path(folder) / "data")


@pytest.fixture(scope="session")
def npm() -> Path | None:
    """A folder with npm's servers, installed once and kept; None if they cannot be had."""
    if shutil.which("npm") is None:
        return None
    folder = ROOT / ".stepwire" / "npm"
    packages = {"server-postgres": "0.6.2", "server-slack": "2025.4.25"}
    modules = folder / "node_modules" / "@modelcontextprotocol"
    if not all((modules / name).exists() for name in packages):
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"@modelcontextprotocol/{name}@{version}" for name, version in packages.items()]
        install = subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-audit", "--prefix", str(folder), *names],
            check=False, capture_output=True, timeout=50,
        )  # fmt: skip
        if install.returncode:
            return None
    return modules

"""`stepwire doctor` on a file: what a worker needs, each line with its cure."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from tests.cli.shell import APP, Shell, until
from tests.cli.test_groups import load, work

from stepwire_handlers.configuration import Configuration
from stepwire_handlers.doctor import local
from stepwire_handlers.doctor.surroundings import surroundings


def lines(shell: Shell, code: int = 0, app: str = APP) -> dict[str, str]:
    """What was looked at -> how it is; what failed has a cure."""
    found = shell("doctor", app, "--json", code=code, schema="doctor")
    assert all(line["cure"] for line in found.data if line["state"] == "failed")
    return {line["what"]: line["state"] for line in found.data}


def test_before_anything_was_done_it_can_work(shell: Shell) -> None:
    """No file is no failure, and looking makes none."""
    assert lines(shell) == {"file": "note", "disk": "ok", "blob store": "ok", "decisions": "note"}
    assert not shell.path.exists()


def test_a_healthy_file_is_said_to_be_so(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one screen, with the signing key seen and not shown."""
    shell("topics", "apply", APP)
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", "hunter2" * 5)
    assert set(lines(shell).values()) == {"ok"}
    said = shell("doctor", APP).out
    assert "hunter2" * 5 not in said
    assert len(said.splitlines()) < 24


def test_a_worker_that_runs_is_seen(shell: Shell) -> None:
    """Another one would stand by."""
    shell.begin("run", APP)
    until(lambda: Path(f"{shell.path}.locks").exists(), "the worker has its locks")
    until(lambda: lines(shell).get("lock") == "note", "the lock is seen")


def test_a_gate_that_is_gone_and_still_asked_is_told_before_run_refuses_it(shell: Shell) -> None:
    """With each way out and what it costs; nobody is told that all is well where `run` would not start."""
    load(shell, 1, "gate_before")
    work(shell, "gate_before")
    said = shell("doctor", "yard:gate_after", code=1).out
    for way in ("pack is gone", "name='pack'", "groups move pack NEW", "gives? up what it keeps"):
        assert re.search(way.replace(" ", r"\s+"), said), said
    refused = shell("run", "yard:gate_after", code=2).err
    assert re.search(
        r"gone from yard, .* left: pack \(1\)\. .* where no gate and no join waits", " ".join(refused.split())
    )


@pytest.mark.parametrize("what", ["damaged", "foreign version", "folder"])
def test_a_file_that_cannot_be_used_fails(shell: Shell, what: str) -> None:
    """With exit code 1, and what to do."""
    if what == "damaged":
        shell.path.write_bytes(b"SQLite format 3\0" + b"x" * 4096)
    elif what == "foreign version":
        import sqlite3

        with sqlite3.connect(shell.path) as database:
            database.execute("PRAGMA user_version = 99")
    else:
        shell.path.mkdir()
    assert lines(shell, 1)["file"] == "failed"


def test_a_blob_store_that_cannot_be_used_fails(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where its folder should be."""
    (shell.folder / "file").touch()
    monkeypatch.setenv("STEPWIRE_BLOBS", str(shell.folder / "file"))
    assert lines(shell, 1)["blob store"] == "failed"


def test_a_disk_that_is_nearly_full_fails(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker would stop taking events soon."""
    monkeypatch.setattr(local, "LEAST", 1 << 62)
    assert lines(shell, 1)["disk"] == "failed"


def test_a_step_that_is_gone_and_has_work_left_fails(shell: Shell) -> None:
    """`run` would refuse: the doctor says so before, with the command that moves it."""
    from tests.cli.test_groups import load, work

    load(shell, 1)
    work(shell, "before")
    load(shell, 2)
    found = shell("doctor", "yard:after", code=1).out
    assert "stepwire groups move pack NEW" in found


def test_all_steps_that_are_gone_are_named_at_once(shell: Shell) -> None:
    """A release is mended in one go: by the doctor a line for each, and `run` has all of them in its refusal."""
    load(shell, 1, "three")
    work(shell, "three")
    load(shell, 2)
    found = shell("doctor", "yard:after", "--json", code=1, schema="doctor").data
    former = [line["found"].split()[0] for line in found if line["what"] == "former steps"]
    assert former == ["label", "pack", "ship"]
    assert "left: label (1), pack (1), ship (1)." in " ".join(shell("run", "yard:after", code=2).err.split())


def test_a_model_is_looked_for_where_the_app_asks_one(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is no failure, since there is an offline model; it is said."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    app = "stepwire_handlers.flows.support:app"
    assert lines(shell, app=app)["model"] == "note"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "hunter2")
    assert lines(shell, app=app)["model"] == "ok"
    assert "hunter2" not in shell("doctor", app).out


@pytest.mark.parametrize(("blobs", "state"), [(".stepwire/blobs", "note"), ("/absolute", "ok"), ("file://", "ok")])
def test_on_kafka_a_relative_folder_for_files_is_noted(
    blobs: str, state: str, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that are started in other folders would look for the same file in another place."""
    from market import app  # type: ignore[import-not-found]  # as the commands import it

    monkeypatch.chdir(tmp_path)
    where = {"/absolute": str(tmp_path / "b"), "file://": f"file://{tmp_path}/b"}.get(blobs, blobs)
    found = asyncio.run(surroundings(app, Configuration(bus="kafka://127.0.0.1:9", blobs=where)))
    (line,) = (line for line in found if line.what == "blob store")
    assert line.state == state
    assert ("STEPWIRE_BLOBS" in line.cure) is (state == "note")

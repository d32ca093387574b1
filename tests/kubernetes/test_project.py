"""What is done with the image of a new project, and that nothing of it is left, by a Docker that only notes it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

import pytest
from tests.kubernetes import project
from tests.kubernetes.image import Docker

pytestmark = pytest.mark.slow  # for what it imports


class Noting:
    """Answers as a daemon would that has built the image."""

    command = (sys.executable, "-c", 'import sys; sys.stderr.write(\'{"event":"started"}\')')

    def __init__(self, code: int) -> None:
        self.code, self.asked = code, list[list[str]]()

    def __call__(self, *words: str) -> str:
        """Note it."""
        self.asked.append([*words])
        answers = {"--help": "Usage: stepwire", "acme.flow:app": "step_answer", "c1": json.dumps(
            [{"State": {"ExitCode": self.code}}])}  # fmt: skip
        return "c1\n" if "--detach" in words else answers.get(words[-1], "")

    def layers(self, _: str) -> list[tuple[float, str]]:
        """Two."""
        return [(100.0, "base"), (50.0, "ours")]


@pytest.fixture(autouse=True)
def _no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(words: list[str], folder: Path) -> str:
        assert words[1:4] == ["-m", "pip", "wheel"] and words[-1] == str(project.ROOT)
        (folder / "wheels" / "stepwire.whl").touch()
        return ""

    monkeypatch.setattr(project, "run", made)


def test_a_new_projects_image_is_built_as_it_is_and_run_as_the_chart_does(tmp_path: Path) -> None:
    """The project as it was written with one wheel; no network and no writable root; the worker ends by SIGTERM."""
    client = Noting(0)
    said = project.project(cast("Docker", client), tmp_path / "project")
    build, *_ = client.asked
    assert build[0] == "build" and build[-1] == str(tmp_path / "project")
    assert (tmp_path / "project" / "Dockerfile").exists() and list((tmp_path / "project" / "wheels").glob("*.whl"))
    runs = [words for words in client.asked if words[0] == "run"]
    assert len(runs) == 4 and all(set(project.HELD) <= set(words) for words in runs)
    assert [words[0] for words in client.asked[-3:]] == ["stop", "inspect", "rm"] and "150 MB" in said


def test_a_worker_that_does_not_end_well_fails_the_step_and_is_removed(tmp_path: Path) -> None:
    """With what it said."""
    client = Noting(137)
    with pytest.raises(AssertionError, match=r"ended with 137: .*started"):
        project.project(cast("Docker", client), tmp_path / "project")
    assert client.asked[-1] == ["rm", "--force", "--volumes", "c1"]

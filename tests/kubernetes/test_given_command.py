"""`make kubernetes` with a KUBECONFIG begins nothing on this machine, and leaves a cluster alone that it cannot use."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.kubernetes import given, run
from tests.kubernetes.image import Docker
from tests.kubernetes.test_given import GOOD

pytestmark = pytest.mark.slow  # for what it imports
#: a kubectl that keeps what it was asked, and answers from a file
FAKE = """#!{python} -IS
import json, pathlib, sys
here = pathlib.Path(__file__).parent
words = [word for word in sys.argv[1:] if not word.startswith(("--kubeconfig=", "--namespace="))]
with (here / "asked").open("a") as file:
    file.write(json.dumps(words) + "\\n")
for beginning, answer in json.loads((here / "answers.json").read_text()):
    if words[: len(beginning)] == beginning:
        print(answer)
        sys.exit(1 if answer == "no" else 0)
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[list[str]]]:
    """`make kubernetes` with a kubectl that answers as told; what it was asked. A cluster of our own is an error."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it began a cluster of its own")

    def call(answers: list[tuple[list[str], str]], **environment: str) -> list[list[str]]:
        (tmp_path / "answers.json").write_text(json.dumps(answers))
        for name, value in (GOOD | environment).items():
            monkeypatch.setenv(name, value)
        assert run.main() == 1
        asked = tmp_path / "asked"
        return [json.loads(line) for line in asked.read_text().splitlines()] if asked.exists() else []

    program = tmp_path / "kubectl"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "argv", ["run"])
    monkeypatch.setattr(given, "own_address", lambda _: None)
    for name in ("programs", "alone", "docker", "build", "Cluster"):
        monkeypatch.setattr(run, name, never)
    return call


def test_with_a_kubeconfig_nothing_is_begun_here(
    command: Callable[..., list[list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A given cluster without the rest is refused before anybody is asked."""
    assert command([], STEPWIRE_TEST_ADDRESS="") == []
    assert "STEPWIRE_TEST_ADDRESS is not set" in capsys.readouterr().out


def test_a_cluster_with_our_namespace_is_left_as_it_is(
    command: Callable[..., list[list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is asked, refused with the cure, and nothing was created or deleted on it."""
    answers = [(["get", "namespace"], "namespace/stepwire-test"), (["config", "view"], "apiVersion: v1")]
    asked = command(answers)
    assert [words[:2] for words in asked] == [["config", "view"], ["config", "view"], ["get", "namespace"]]
    told = capsys.readouterr().out
    assert "kubectl delete namespace stepwire-test" in told and "FAIL" in told


def test_a_registry_needs_a_docker(
    command: Callable[..., list[list[str]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No daemon is started for it: the one that this user has, or a refusal."""
    monkeypatch.setattr(Docker, "answers", lambda _: False)
    asked = command([(["auth"], "yes"), (["config"], "apiVersion: v1")],
                    STEPWIRE_TEST_IMAGES="", STEPWIRE_TEST_REGISTRY="r:5000/team")  # fmt: skip
    assert "needs a Docker daemon that answers this user" in capsys.readouterr().out
    assert {words[0] for words in asked} == {"config", "get", "auth"}

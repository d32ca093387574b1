"""Where a test's broker comes from, on machines that lack one thing or another: said, skipped, or failed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.brokers.cluster import free_ports
from tests.brokers.container import variable
from tests.brokers.jars import NotHere, kafka_jars
from tests.brokers.place import VARIABLE, open_broker

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
JAVA = "#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n"
# What Maven is asked for ends in a folder; half of it is there a moment before the rest. Each call leaves a line.
MAVEN = """#!/bin/sh
for word in "$@"; do case "$word" in -DoutputDirectory=*) to="${word#*=}";; esac; done
echo called >> "$CALLS"
/bin/mkdir -p "$to" && echo a > "$to/a.jar" && /bin/sleep 0.5 && echo b > "$to/b.jar"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose programs are those that a test puts into `bin`: at first a Java that Kafka can use."""
    (tmp_path / "bin").mkdir()
    program(tmp_path, "java", JAVA.format(version="21.0.2"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def program(machine: Path, name: str, text: str) -> None:
    file = machine / "bin" / name
    file.write_text(text)
    file.chmod(0o755)


def test_jars_are_fetched_once_by_two_processes_at_once(machine: Path) -> None:
    """Two processes that need the jars at the same moment make one call of Maven and both get all of them."""
    program(machine, "mvn", MAVEN)
    script = "from tests.brokers.jars import kafka_jars\nprint(sorted(p.name for p in kafka_jars().iterdir()))\n"
    both = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [each.communicate()[0] for each in both] == ["['a.jar', 'b.jar']\n"] * 2
    assert (machine / "calls").read_text() == "called\n"
    kafka_jars()
    assert (machine / "calls").read_text() == "called\n"


def test_a_fetch_that_fails_leaves_nothing(machine: Path) -> None:
    """Half a download is never taken for the jars, and the next try starts anew."""
    program(machine, "mvn", MAVEN + "echo 'no such host' >&2\nexit 1\n")
    with pytest.raises(NotHere, match="no such host"):
        kafka_jars()
    assert [path.name for path in (machine / "cache/stepwire").iterdir()] == ["kafka-4.3.1.lock"]
    program(machine, "mvn", MAVEN)
    assert len(list(kafka_jars().iterdir())) == 2


def test_what_is_missing_is_said(machine: Path, tmp_path: Path) -> None:
    """Without a given broker, Docker and Maven the reason names all three."""
    with ExitStack() as stack, pytest.raises(NotHere, match=r"STEPWIRE_TEST_KAFKA.*Docker.*Maven"):
        open_broker(stack, tmp_path)


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_402"])
def test_an_old_java_is_named(machine: Path, version: str) -> None:
    """A Java that cannot run Kafka is as good as none, and the reason has its version."""
    program(machine, "java", JAVA.format(version=version))
    with pytest.raises(NotHere, match=version):
        kafka_jars()


def test_a_given_broker_comes_first_and_must_answer(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a broker gets that one or an error, never another in its place."""
    monkeypatch.setenv(VARIABLE, f"127.0.0.1:{free_ports(1)[0]}")
    monkeypatch.setattr("tests.brokers.place.ANSWER_SECONDS", 0.2)
    with ExitStack() as stack, pytest.raises(ConnectionError, match=VARIABLE):
        open_broker(stack, machine)


def test_a_given_broker_is_taken(kafka: str, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is named and answers is the one, on a machine without Java or Docker."""
    monkeypatch.setenv(VARIABLE, kafka)
    with ExitStack() as stack:
        assert open_broker(stack, machine) == kafka


@pytest.mark.parametrize(("everything", "ending"), [("", "4 skipped"), ("1", "4 errors")])
def test_no_broker_skips_on_a_laptop_and_fails_in_ci(machine: Path, everything: str, ending: str) -> None:
    """A machine without a broker skips the tests that need one; under `make test-all` each is an error."""
    (machine / "bin/java").unlink()
    tests = "tests/brokers/test_shared_broker.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
        cwd=ROOT,
        env={**os.environ, "STEPWIRE_TEST_ALL": everything},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ending in done.stdout
    assert "services missed: kafka" in done.stdout
    assert "no java on the PATH" in done.stdout


def test_properties_as_the_image_reads_them() -> None:
    """A dot becomes an underscore, and what was one is doubled or tripled, as Kafka's image has it."""
    assert variable("group.min.session.timeout.ms") == "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS"
    assert variable("a_b-c.d") == "KAFKA_A__B___C_D"

"""`make operate` as a person meets it: what it prints is true, and afterwards it was never there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from tests.operate.queries import QUERIES
from tests.operate.run import SEED

from stepwire_handlers.flows.invoices.samples import generate

pytestmark = [pytest.mark.slow, pytest.mark.service("prometheus"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
OPERATE = [sys.executable, "-m", "tests.operate.run"]
GONE = "stopped; nothing is left"


class Mark:
    """A variable that all processes of one run inherit, to find them by."""

    def __init__(self) -> None:
        self.value = uuid.uuid4().hex

    def processes(self) -> list[str]:
        """Command lines of those that are there."""
        return [*self._found()]

    def _found(self) -> Iterator[str]:
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if self.value.encode() in (place / "environ").read_bytes():
                    yield (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it ended while we looked


def below(pid: int) -> set[int]:
    """A process and all that descend from it, whatever their environment."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(place.parent.name)] = int(place.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@pytest.fixture
def mark() -> Mark:
    return Mark()


def environment(mark: Mark, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STEPWIRE_", "ANTHROPIC_"))}
    return {**kept, "OPERATE_MARK": mark.value, **more}


def judge(said: str, tmp_path: Path, processes: int) -> None:
    """What was printed about the paper is what stands on it; ten numbers, those that are known being right."""
    expected = next(sample for sample in generate(tmp_path / "papers", SEED) if sample.outcome == "drafted")
    body = said[said.index("\n{") : said.index("\n}") + 2]
    run: dict[str, Any] = json.loads(body)
    invoice = run["result"]["invoice"]
    assert (run["state"], run["result"]["type"]) == ("completed", "InvoiceDone")
    assert (invoice["number"], invoice["total"]) == (expected.number, str(expected.total))
    assert re.search(r"^console: ", said, re.MULTILINE)
    values = {query.asks: re.search(rf"^  {re.escape(query.asks)} +(\S+) ", said, re.MULTILINE) for query in QUERIES}
    assert len(values) == 10
    numbers = {asks: float(found[1]) for asks, found in values.items() if found}
    assert numbers.keys() == values.keys()
    known = {"processes that answer": processes, "events taken by the door": 1, "steps done": 7, "dead letters": 0}
    assert {asks: numbers[asks] for asks in known} == known
    assert numbers["calls of tools"] >= 3  # on a busy machine one is tried again
    assert numbers["tokens of the model"] > 0 and numbers["a step, mean seconds"] > 0


def assert_gone(said: str, mark: Mark) -> None:
    """No process, port or folder of it."""
    assert mark.processes() == []
    (home,) = {Path(found).parents[1] for found in re.findall(r"@(\S+\.pdf)", said)}
    assert not home.exists()
    ports = {int(found) for found in re.findall(r"http://127\.0\.0\.1:(\d+)", said)}
    assert len(ports) >= 2
    for port in ports:
        with socket.socket() as trial:
            assert trial.connect_ex(("127.0.0.1", port)) != 0, port


def test_it_shows_everything_on_kafka_and_leaves_nothing(kafka: str, mark: Mark, tmp_path: Path) -> None:
    """A paper's result and ten values, then neither processes nor ports, folders, topics and groups."""
    admin = AdminClient({"bootstrap.servers": kafka})

    def names() -> set[str]:
        groups = {one.group_id for one in admin.list_consumer_groups().result(20).valid}
        return {name for name in groups | set(admin.list_topics(timeout=10).topics) if name.startswith("operate-")}

    before = names()
    done = subprocess.run(
        OPERATE, cwd=ROOT, env=environment(mark, STEPWIRE_TEST_KAFKA=kafka), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
    assert f"invoices on kafka://{kafka}" in done.stdout and done.stdout.endswith(f"{GONE}\n")
    judge(done.stdout, tmp_path, processes=4)
    assert_gone(done.stdout, mark)
    assert names() <= before


def test_it_stays_on_a_file_until_ctrl_c(mark: Mark, tmp_path: Path) -> None:
    """No Docker, no Java: it says so, runs on the embedded bus, and Ctrl-C in its terminal ends all of it in order."""
    (tmp_path / "bin").mkdir()
    for name in ("curl", "apt-get", "dpkg-deb", "prometheus"):
        if found := shutil.which(name):
            (tmp_path / "bin" / name).symlink_to(found)
    told = environment(mark, STAY="1", PATH=str(tmp_path / "bin"), DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    wrong = tmp_path / "stderr"
    with wrong.open("w") as stderr:
        running = subprocess.Popen(
            OPERATE, cwd=ROOT, env=told, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        )
    assert running.stdout is not None
    said, tree = "", set[int]()
    try:
        for line in running.stdout:
            said += line
            if "until Ctrl-C" in line:
                tree = below(running.pid)
                os.killpg(running.pid, signal.SIGINT)
        assert running.wait(120) == 0, wrong.read_text() + said
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
    assert "invoices on sqlite:///" in said and said.endswith(f"{GONE}\n")
    judge(said, tmp_path, processes=3)
    assert len(tree) > 6  # worker, door, Prometheus, model, stand-ins, database
    assert not [pid for pid in tree if Path(f"/proc/{pid}").exists()]
    assert_gone(said, mark)
    (why,) = wrong.read_text().splitlines()
    assert why.startswith("no Kafka (") and why.endswith("on the embedded bus instead")


@pytest.mark.parametrize(
    ("there", "why"), [((), "no curl on the PATH: install curl"), (("curl",), "install Prometheus")]
)
def test_what_is_missing_is_one_line(mark: Mark, tmp_path: Path, there: tuple[str, ...], why: str) -> None:
    """Exit 1 and the cure; nothing was started."""
    for name in there:
        (tmp_path / name).touch(mode=0o755)
    done = subprocess.run(
        OPERATE, cwd=ROOT, env=environment(mark, PATH=str(tmp_path)), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert done.stderr.startswith("make operate: no ") and why in done.stderr
    assert mark.processes() == []

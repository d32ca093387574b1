"""`make demo`, twice: the second time nothing is new, nothing is sent again, and what a person decided is done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def demo(folder: Path, flow: str) -> str:
    """Its output, both channels."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("STEPWIRE_", "ANTHROPIC_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "stepwire_handlers.cli.main", "demo", flow, "--folder", str(folder)],
        env=environment, cwd=folder.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stderr + done.stdout


def test_the_invoices_are_done_once_and_go_on_where_they_were(tmp_path: Path) -> None:
    """Sixteen files; then new 0; then a decision carried out; then one file put there by hand is the only new one."""
    folder = tmp_path / "demo"
    first = demo(folder, "invoices")
    assert "new 16, known 0" in first
    assert "encrypted" in first
    drafts = len(list((folder / "drafts").glob("*.eml")))
    assert drafts >= 4
    assert "new 0, known 16" in demo(folder, "invoices")
    assert len(list((folder / "drafts").glob("*.eml"))) == drafts
    command = re.search(r"gates decide (\w+) --approve --app (\S+) --bus (\S+)", first)
    assert command is not None
    gate, app, bus = command.groups()
    subprocess.run(
        [sys.executable, "-m", "stepwire_handlers.cli.main", "gates", "decide", gate, "--approve", "--app", app,
         "--bus", bus], cwd=tmp_path, check=True,
    )  # fmt: skip
    by_hand = folder / "inbox" / "zz-by-hand.pdf"
    shutil.copy(next((folder / "inbox").glob("003*.pdf")), by_hand)
    by_hand.write_bytes(by_hand.read_bytes() + b"\n% another file\n")
    assert "new 1, known 16" in demo(folder, "invoices")
    assert len(list((folder / "drafts").glob("*.eml"))) == drafts + 2
    assert len(list((folder / "slack").glob("*.md"))) == drafts + 2


@pytest.mark.parametrize("flow", ["support", "articles", "review", "polish"])
def test_the_other_flows_end_with_a_result(tmp_path: Path, flow: str) -> None:
    """Every input comes to a result on the offline model."""
    out = demo(tmp_path / "demo", flow)
    assert "known 0" in out
    assert "failed" not in out
    assert "completed" in out


def on_kafka(folder: Path, flow: str, servers: str, prefix: str) -> str:
    """The same on a broker."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("STEPWIRE_", "ANTHROPIC_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "stepwire_handlers.cli.main", "demo", flow, "--folder", str(folder), "--bus",
         f"kafka://{servers}"], env={**environment, "STEPWIRE_PREFIX": prefix}, cwd=folder.parent,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stderr + done.stdout


@pytest.mark.parametrize("flow", ["invoices", "support", "articles", "review", "polish"])
def test_every_flow_runs_on_kafka_unchanged(kafka: str, topic_prefix: str, tmp_path: Path, flow: str) -> None:
    """The shipped flows on a real broker: as many ends of each kind as on a file; a second time nothing is new."""
    alike = demo(tmp_path / "file", flow)
    first = on_kafka(tmp_path / "kafka", flow, kafka, topic_prefix)
    assert "known 0" in first
    assert outcomes(first) == outcomes(alike)
    assert "new 0" in on_kafka(tmp_path / "kafka", flow, kafka, topic_prefix)


def outcomes(output: str) -> list[str]:
    """How many runs came to what: words of the table's state column, and what waits or failed below it."""
    words = ("completed", "done", "waits for a person", "dead letter:", "waits for you", "not an invoice")
    return [f"{word} {output.count(word)}" for word in words]

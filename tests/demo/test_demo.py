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

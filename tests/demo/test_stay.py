"""`stepwire demo invoices --stay`: the two commands that it prints work on a file of one's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fpdf import FPDF

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
BIN = Path(sys.executable).parent
LINES = ("Blue Heron Printing Ltd", "INVOICE", "Invoice no: BHP-2231", "Date: 3 November 2026", "Bill to: Acme Ltd",
         "Subtotal 430.50", "VAT 23% 99.02", "Total due EUR 529.52")  # fmt: skip


def _commands(said: Path) -> list[str]:
    """The lines that the demo prints for another shell, once they are all there."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = [line.strip() for line in said.read_text().splitlines() if line.startswith("  . ")]
        if len(found) == 2:
            return found
        time.sleep(0.1)
    raise AssertionError(said.read_text()[-2_000:])


def test_a_pdf_of_ones_own_goes_through_with_the_commands_that_are_printed(tmp_path: Path) -> None:
    """Worker and publish command, as printed, in any folder and no active environment, read a PDF nobody has seen."""
    paper = FPDF()
    paper.add_page()
    paper.set_font("Helvetica", size=11)
    for line in LINES:
        paper.cell(0, 8, line, new_x="LMARGIN", new_y="NEXT")
    paper.output(str(tmp_path / "mine.pdf"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STEPWIRE_", "ANTHROPIC_"))}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    said = tmp_path / "said.txt"
    with said.open("w") as out:
        demo = subprocess.Popen(
            [str(BIN / "stepwire"), "demo", "invoices", "--stay", "--folder", str(tmp_path / "demo")],
            env=kept, cwd=tmp_path, stdout=out, stderr=out,
        )  # fmt: skip
    worker = None
    try:
        run, publish = _commands(said)
        worker = subprocess.Popen(["bash", "-c", run.replace("; ", "; exec ", 1)], env=kept, cwd=tmp_path)
        answer = subprocess.run(
            ["bash", "-c", publish.replace("FILE", str(tmp_path / "mine.pdf"))],
            env=kept, cwd=elsewhere, capture_output=True, text=True, check=True,
        )  # fmt: skip
        result = json.loads(answer.stdout)["result"]
        assert (result["invoice"]["number"], result["invoice"]["total"]) == ("BHP-2231", "529.52")
    finally:
        if worker is not None:
            worker.terminate()
            assert worker.wait(30) == 0
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
    assert not (tmp_path / "demo" / "env").exists()

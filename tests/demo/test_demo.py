"""`make demo`, twice: the second time nothing is new, nothing is sent again, and what a person decided is done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from tests.forked import Forked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Demo:
    """A flow's folder, and what its first demo on a file said."""

    def __init__(self, folder: Path, flow: str) -> None:
        self.folder, self._flow = folder, flow
        self.first = self.again()

    def again(self) -> str:
        """Its output, both channels."""
        return demo(self.folder, self._flow)


def demo(folder: Path, flow: str, *more: str, prefix: str = "") -> str:
    """Run it to its end; its output, both channels."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STEPWIRE_", "ANTHROPIC_"))}
    said = folder.parent / f"{uuid.uuid4().hex}.txt"
    arguments = ["demo", flow, "--folder", str(folder), *more]
    process = Forked(
        "stepwire_handlers.cli.main", arguments, {**kept, "STEPWIRE_PREFIX": prefix}, folder.parent, said
    )  # fmt: skip
    code = process.wait()
    text = said.read_text()
    assert code == 0, text
    return text


@pytest.fixture(scope="module")
def on_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Demo]:
    """Each flow's demo on a file, run once for all tests here."""
    return cache(lambda flow: Demo(tmp_path_factory.mktemp(flow) / "demo", flow))


def test_the_invoices_are_done_once_and_go_on_where_they_were(on_file: Callable[[str], Demo], tmp_path: Path) -> None:
    """Sixteen files; then new 0; then a decision carried out; then one file put there by hand is the only new one."""
    invoices = on_file("invoices")
    folder, first = invoices.folder, invoices.first
    assert "new 16, known 0" in first
    assert "encrypted" in first
    drafts = len(list((folder / "drafts").glob("*.eml")))
    assert drafts >= 4
    assert "new 0, known 16" in invoices.again()
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
    assert "new 1, known 16" in invoices.again()
    assert len(list((folder / "drafts").glob("*.eml"))) == drafts + 2
    assert len(list((folder / "slack").glob("*.md"))) == drafts + 2


@pytest.mark.parametrize("flow", ["support", "articles", "review", "polish"])
def test_the_other_flows_end_with_a_result(on_file: Callable[[str], Demo], flow: str) -> None:
    """Every input comes to a result on the offline model."""
    out = on_file(flow).first
    assert "known 0" in out
    assert "failed" not in out
    assert "completed" in out


@pytest.mark.parametrize("flow", ["invoices", "support", "articles", "review", "polish"])
def test_every_flow_runs_on_kafka_unchanged(
    on_file: Callable[[str], Demo], kafka: str, topic_prefix: str, tmp_path: Path, flow: str
) -> None:
    """The shipped flows on a real broker: as many ends of each kind as on a file; a second time nothing is new."""
    on_kafka = partial(demo, tmp_path / "kafka", flow, "--bus", f"kafka://{kafka}", prefix=topic_prefix)
    first = on_kafka()
    assert "known 0" in first
    assert outcomes(first) == outcomes(on_file(flow).first)
    assert "new 0" in on_kafka()


def outcomes(output: str) -> list[str]:
    """How many runs came to what: words of the table's state column, and what waits or failed below it."""
    words = ("completed", "done", "waits for a person", "dead letter:", "waits for you", "not an invoice")
    return [f"{word} {output.count(word)}" for word in words]

"""AsyncAPI's own parser reads what we export."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.contracts import odd
from tests.contracts.test_document import FLOWS, app_of

from stepwire_handlers.contracts.document import Surroundings, document_of, written

pytestmark = [pytest.mark.slow, pytest.mark.service("node"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
PARSER = "@asyncapi/parser@3.6.6"
AROUND = Surroundings("1.0", "prod.", ("a.example:9092", "b.example:9092"), secure=True, formats={"odd.boxes": "avro"})
ERROR, WARNING = 0, 1
JUDGE = """
const { Parser } = require("@asyncapi/parser");
const fs = require("fs");
(async () => {
  const found = {};
  for (const path of process.argv.slice(2)) {
    const { document, diagnostics } = await new Parser().parse(fs.readFileSync(path, "utf-8"));
    const said = diagnostics.map(d => ({ severity: d.severity, code: d.code, at: d.path.join("."), why: d.message }));
    found[path] = { read: Boolean(document), said };
  }
  console.log(JSON.stringify(found));
})();
"""


@pytest.fixture(scope="session")
def parser() -> Path | None:
    """A folder with the parser, installed once and kept; None if it cannot be had."""
    if shutil.which("npm") is None:
        return None
    folder = ROOT / ".stepwire" / "npm-asyncapi"
    if not (folder / "node_modules" / "@asyncapi" / "parser").exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), PARSER],
            check=False, capture_output=True, timeout=200,
        )  # fmt: skip
        if install.returncode:
            return None
    return folder


def judged(parser: Path, documents: dict[str, dict[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """What the parser says of each document."""
    script = parser / "judge.cjs"
    script.write_text(JUDGE)
    paths = {name: folder / f"{name}.json" for name in documents}
    for name, path in paths.items():
        path.write_text(written(documents[name]))
    done = subprocess.run(["node", script, *paths.values()], check=True, capture_output=True, text=True, timeout=200)
    said = json.loads(done.stdout)
    return {name: said[str(path)] for name, path in paths.items()}


def test_the_official_parser_accepts_every_export(service: Any, parser: Path | None, tmp_path: Path) -> None:
    """All shipped flows and the oddest wirings, without one error or warning; and it is no rubber stamp."""
    service("node", parser, "no npm, or it cannot install AsyncAPI's parser")
    assert parser is not None
    documents = {flow: document_of(app_of(flow), AROUND) for flow in FLOWS}
    documents |= {"odd": document_of(odd.APP, AROUND), "local": document_of(odd.APP, Surroundings())}
    good = [*documents]
    wrong = json.loads(written(documents["support"]))
    wrong["channels"]["support.tickets"]["bindings"]["kafka"]["partitions"] = -1
    documents["wrong"] = wrong
    said = judged(parser, documents, tmp_path)
    for name in good:
        severe = [one for one in said[name]["said"] if one["severity"] in (ERROR, WARNING)]
        assert (said[name]["read"], severe) == (True, []), name
    assert any(one["severity"] == ERROR for one in said["wrong"]["said"])

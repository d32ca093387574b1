"""What `make audit AUDIT_DATABASE=folder` finds, against advisories that were planted."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from tests.audit.stored import Advisories, concerns, main, service

ADVISORY = """\
id: PYSEC-2099-1
modified: 2099-01-01T00:00:00Z
details: planted
{more}
affected:
- package: {{name: PyDantic, ecosystem: PyPI}}
  ranges:
  - type: ECOSYSTEM
    events: [{{introduced: '0'}}, {{fixed: '99'}}]
"""


def planted(folder: Path, *, more: str = "") -> Path:
    (folder / "pydantic").mkdir()
    (folder / "pydantic" / "PYSEC-2099-1.yaml").write_text(ADVISORY.format(more=more))
    (folder / "readme.yaml").write_text("[not, an, advisory]")
    return folder


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([{"introduced": "0"}, {"fixed": "2.10"}], ["0.1", "2.9", "2.10rc1"], ["2.10", "3"]),
        ([{"introduced": "1.2"}, {"last_affected": "1.4"}], ["1.2", "1.4"], ["1.1", "1.4.1"]),
        (
            [{"fixed": "3.1"}, {"introduced": "3.0"}, {"fixed": "2"}, {"introduced": "1"}],
            ["1.5", "3.0"],
            ["2.5", "3.1"],
        ),
        ([{"introduced": "1"}], ["1", "9"], ["0.9"]),
    ],
)
def test_ranges(events: list[dict[str, str]], inside: list[str], outside: list[str]) -> None:
    """A version is concerned from `introduced` on, until it is fixed, in whatever order the events stand."""
    affected = {"ranges": [{"type": "ECOSYSTEM", "events": events}]}
    assert [one for one in inside + outside if concerns(affected, one)] == inside


def test_versions() -> None:
    """A version that is listed is concerned without any range; a range of commits says nothing of versions."""
    affected = {"versions": ["1.0"], "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}
    assert concerns(affected, "1.0") and not concerns(affected, "1.1")


def test_service(tmp_path: Path) -> None:
    """The service answers OSV's two calls, whichever way a name is written."""
    queries = [{"package": {"name": "pydantic", "ecosystem": "PyPI"}, "version": text} for text in ("98", "99")]
    with service(Advisories(planted(tmp_path))) as address:
        found = httpx2.post(f"{address}/v1/querybatch", json={"queries": queries}).json()
        assert found == {"results": [{"vulns": [{"id": "PYSEC-2099-1"}]}, {"vulns": []}]}
        assert httpx2.get(f"{address}/v1/vulns/PYSEC-2099-1").json()["details"] == "planted"


def test_withdrawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A withdrawn advisory is none; and a folder without any is no database, not a clean verdict."""
    assert main([str(planted(tmp_path, more="withdrawn: 2099-01-02T00:00:00Z"))]) == 2
    assert "no file below it is an advisory" in capsys.readouterr().err


@pytest.mark.slow
def test_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A vulnerable version in our own lock file is named, and the command fails."""
    assert main([str(planted(tmp_path))]) == 1
    told = capfd.readouterr()
    assert "PYSEC-2099-1" in told.out and "Fixed in: 99" in told.out
    assert "1 advisories for PyPI, the newest modified 2099-01-01" in told.err

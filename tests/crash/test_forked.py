"""What a test starts by forking ends as if it had been started anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.forked import Forked


@pytest.mark.slow
def test_what_a_program_cleans_up_at_its_end_is_cleaned_up(tmp_path: Path) -> None:
    """`atexit` runs, or each demo would leave its database running; the exit code is the program's."""
    process = Forked("tests.crash.parting", [str(tmp_path / "said")], {}, tmp_path, tmp_path / "log")
    assert process.wait(60) == 3
    assert (tmp_path / "said").read_text() == "gone"

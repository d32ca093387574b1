"""The table of `make mutations` fits the kernel: a change that fits nothing would show only there."""

from __future__ import annotations

import pytest
from tests.mutations.run import ROOT, Mutation, table


@pytest.mark.parametrize("mutation", table(), ids=lambda mutation: mutation.by)
def test_a_change_fits_the_kernel_in_one_place(mutation: Mutation) -> None:
    """What it takes away stands there once."""
    assert (ROOT / "kernel" / "stepwire" / mutation.file).read_text().count(mutation.old) == 1

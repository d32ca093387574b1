"""How many examples a property gets: few and always the same in CI, many and new ones with HYPOTHESIS_PROFILE=soak."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
FACTOR = int(os.environ.get("STEPWIRE_SOAK_FACTOR", "100")) if SOAK else 1


def budget(examples: int) -> Callable[[Any], Any]:
    """So many examples in CI, and a hundred times as many in a soak."""
    return settings(
        max_examples=examples * FACTOR, deadline=None, derandomize=not SOAK, database=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip

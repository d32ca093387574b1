"""How often a caller may ask: a bucket of tokens for each, in this process.

In: a caller's name, at each request. Out: nothing, or Problem 429 with the seconds to wait. Two doors have two sets of
buckets; names that were not seen for long are forgotten first.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from stepwire_handlers.services.door.access import Access
from stepwire_handlers.services.door.problems import Problem

MOST = 10_000  #: callers that are remembered; a forgotten one begins with a full bucket


class Limits:
    """Buckets of tokens.

    Args:
        rate: tokens a second.
        burst: tokens of a full bucket.
        now: seconds, monotonic.
    """

    def __init__(self, rate: float, burst: float, now: Callable[[], float]) -> None:
        self._rate, self._burst, self._now = rate, burst, now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def renew(self, access: Access) -> None:
        """Another access file: buckets stay as full as they are."""
        self._rate, self._burst = access.rate, access.burst

    def take(self, name: str, rate: float | None = None, count: int = 1) -> None:
        """Take tokens. Raises Problem 429; then none is taken."""
        pace, now = rate or self._rate, self._now()
        full = max(self._burst if rate is None else 2 * rate, 1.0)
        left, at = self._buckets.get(name, (full, now))
        left = min(full, left + (now - at) * pace)
        wanted = min(count, full)  # what is more than a full bucket waits for a full one, not for ever
        if left < wanted:
            wait = math.ceil((wanted - left) / pace)
            raise Problem(
                429, "too-many-requests", f"more than {pace:g} requests a second; wait {wait} s",
                headers={"retry-after": str(wait)},
            )  # fmt: skip
        self._buckets[name] = (left - wanted, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > MOST:
            self._buckets.popitem(last=False)


def for_callers(access: Access | None, now: Callable[[], float]) -> Limits:
    """What the access file says; where everybody is let in, only what no person needs is refused."""
    return Limits(access.rate, access.burst, now) if access else Limits(1_000.0, 2_000.0, now)

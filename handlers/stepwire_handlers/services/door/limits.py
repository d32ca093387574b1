"""How often a caller may ask, and how much may be open for them at once, in this process.

In: a caller's name, at each request. Out: nothing, or Problem 429 with the seconds to wait. Two doors have two sets of
buckets; names that were not seen for long are forgotten first.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


class Shares:
    """What is open at once: so much of one caller, so much of all of them.

    Args:
        most: of all.
        each: of one caller.
    """

    def __init__(self, most: int, each: int) -> None:
        self.most, self.each, self._open = most, each, Counter[str]()

    @property
    def open(self) -> int:
        """Of all."""
        return self._open.total()

    def has_room(self, name: str) -> bool:
        """For one more? Who has no name shares with nobody: only the sum counts."""
        return self.open < self.most and (not name or self._open[name] < self.each)

    @contextmanager
    def taken(self, name: str) -> Iterator[None]:
        """One of them, while it lasts."""
        self._open[name] += 1
        try:
            yield
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]


def for_callers(access: Access | None, now: Callable[[], float]) -> Limits:
    """What the access file says; where everybody is let in, only what no person needs is refused."""
    return Limits(access.rate, access.burst, now) if access else Limits(1_000.0, 2_000.0, now)

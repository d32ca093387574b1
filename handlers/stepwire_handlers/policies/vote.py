"""A vote: several answers to one question come in, the one that most of them gave goes out.

The shape around it is scatter, judge, gather: `async def decide(votes: list[Vote]) -> Verdict` calls
`majority` on what it gathered. Pure: no clock, no chance. A tie is an error unless the caller says which
rule breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from stepwire.errors import Reject

V = TypeVar("V")
K = TypeVar("K", bound=Hashable)


class Tie(Reject):
    """The votes do not decide, and nobody said what should."""


@dataclass(frozen=True, slots=True)
class Majority(Generic[V, K]):
    """How a vote came out."""

    value: K  #: what most votes said
    vote: V  #: the first vote that said so
    count: int  #: how many said so
    of: int  #: how many voted
    dissent: tuple[V, ...]  #: the votes that said something else, in their order

    @property
    def absolute(self) -> bool:
        """Did more than half of the votes say so?"""
        return self.count * 2 > self.of


def majority(
    votes: Sequence[V], *, by: Callable[[V], K], tie: Callable[[Sequence[K]], K] | None = None
) -> Majority[V, K]:
    """The value that most votes have.

    Args:
        votes: at least one.
        by: what of a vote counts, such as `lambda vote: vote.label`.
        tie: chooses among the values that lead together, given in the order in which they were first cast; so
            `tie=lambda values: values[0]` takes the first cast, and `tie=min` the smallest.

    Raises Tie if several values lead and there is no `tie`, Reject if there is no vote.
    """
    if not votes:
        raise Reject("nobody voted: a majority needs a vote. Did the gather time out without any item?")
    counts: dict[K, int] = {}
    for vote in votes:
        counts[by(vote)] = counts.get(by(vote), 0) + 1
    most = max(counts.values())
    leading = [value for value, count in counts.items() if count == most]
    if len(leading) > 1 and tie is None:
        raise Tie(f"{len(leading)} values have {most} of {len(votes)} votes each. Pass tie=…, or ask once more")
    value = tie(leading) if len(leading) > 1 and tie is not None else leading[0]
    return Majority(
        value=value,
        vote=next(vote for vote in votes if by(vote) == value),
        count=counts[value],
        of=len(votes),
        dissent=tuple(vote for vote in votes if by(vote) != value),
    )

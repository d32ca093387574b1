"""A vote: who wins, by how much, and what a tie is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from stepwire import Reject
from stepwire_handlers.policies.vote import Tie, majority


@dataclass(frozen=True)
class Vote:
    juror: str
    label: str


def votes(*labels: str) -> list[Vote]:
    return [Vote(f"juror {number}", label) for number, label in enumerate(labels)]


def label(vote: Vote) -> str:
    return vote.label


def alphabetical(values: Sequence[str]) -> str:
    return min(values)


def test_most_votes_win_and_the_rest_is_dissent() -> None:
    """The first vote for the winner stands for it; a plurality need not be more than half."""
    cast = votes("b", "a", "a", "c", "d")
    result = majority(cast, by=label)
    assert (result.value, result.vote, result.count, result.of) == ("a", cast[1], 2, 5)
    assert [vote.label for vote in result.dissent] == ["b", "c", "d"]
    assert not result.absolute
    assert majority(votes("a", "b", "a"), by=label).absolute


def test_a_tie_is_an_error_or_follows_the_stated_rule() -> None:
    """The rule sees the leading values in the order in which they were first cast."""
    cast = votes("b", "a", "a", "b", "c")
    with pytest.raises(Tie, match="2 values have 2 of 5 votes"):
        majority(cast, by=label)
    assert majority(cast, by=label, tie=alphabetical).value == "a"
    assert majority(cast, by=label, tie=lambda values: values[0]).value == "b"


def test_no_vote_is_no_majority() -> None:
    """A gather that timed out empty is a failure that says so."""
    with pytest.raises(Reject, match="nobody voted"):
        majority([], by=label)

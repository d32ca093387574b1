"""Review: a proposal that three checks and a jury look at, again after each revision."""

from __future__ import annotations

from stepwire import Event


class Proposal(Event, topic="review.proposals", entry=True):
    """What should be published."""

    title: str
    body: str


class FactsChecked(Event, topic="review.facts"):
    """Are its claims backed?"""

    title: str
    body: str
    passed: bool
    remark: str


class ToneChecked(Event, topic="review.tone"):
    """Does it speak as we do?"""

    passed: bool
    remark: str


class LengthChecked(Event, topic="review.length"):
    """Is it short enough to be read?"""

    passed: bool
    remark: str


class Ballot(Event, topic="review.ballots"):
    """One juror is asked."""

    juror: str
    title: str
    body: str


class Vote(Event, topic="review.votes"):
    """What a juror says."""

    juror: str
    publish: bool


class Verdict(Event, topic="review.verdicts"):
    """What the jury says."""

    publish: bool
    votes: int


class Revise(Event, topic="review.revisions"):
    """Sent back, with remarks."""

    title: str
    body: str
    remarks: list[str]


class Published(Event, topic="review.published", result=True):
    """Everybody agreed."""

    title: str
    body: str


class Shelved(Event, topic="review.shelved", result=True):
    """Sent back as often as allowed."""

    title: str
    remarks: list[str]

    @classmethod
    def from_revision(cls, event: Revise) -> Shelved:
        """What it failed on last."""
        return cls(title=event.title, remarks=event.remarks)

"""Polish: a text that is evaluated and improved until it is good enough, or as often as allowed."""

from __future__ import annotations

from stepwire import Event


class Text(Event, topic="polish.texts", entry=True):
    """A text as it stands."""

    goal: str
    body: str


class NeedsWork(Event, topic="polish.remarks"):
    """What the evaluator would change."""

    goal: str
    body: str
    remarks: list[str]


class Polished(Event, topic="polish.finished", result=True):
    """Good enough."""

    body: str
    score: int


class GaveUp(Event, topic="polish.given-up", result=True):
    """Not good enough after as many rounds as allowed; a person may go on from here."""

    body: str
    remarks: list[str]

    @classmethod
    def from_remarks(cls, event: NeedsWork) -> GaveUp:
        """The best that was reached."""
        return cls(body=event.body, remarks=event.remarks)

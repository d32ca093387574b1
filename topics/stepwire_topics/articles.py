"""Articles: what a brief becomes, step by step."""

from __future__ import annotations

from stepwire import Event


class Brief(Event, topic="articles.briefs"):
    """What somebody wants to read about."""

    subject: str
    audience: str = "general readers"
    points: tuple[str, ...] = ()


class Outline(Event, topic="articles.outlines"):
    """The headings of the article, in order."""

    title: str
    headings: list[str]


class Draft(Event, topic="articles.drafts"):
    """A first text."""

    title: str
    body: str


class Article(Event, topic="articles.finished", result=True):
    """The edited text."""

    title: str
    body: str

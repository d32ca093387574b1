"""Drafting: a prompt comes in; an outline, an article, a letter, a summary, a title or a revised text goes out.

Everything is written from what the prompt says: its values, their sentences and their words. No fact is added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from stepwire_handlers.offline_model.document import Document
from stepwire_handlers.offline_model.judge import explicit_words, subject, word_limits
from stepwire_handlers.offline_model.letter import letter
from stepwire_handlers.offline_model.reading import ASKING, Reading
from stepwire_handlers.offline_model.revise import revise
from stepwire_handlers.offline_model.words import count, keywords, overlap, sentences, stems, summary

TOPICS = ("topic", "title", "subject", "theme", "headline", "about", "question", "brief", "goal", "request")
POINTS = ("points", "outline", "sections", "headings", "bullets", "steps", "chapters")
WISHES = (
    "feedback",
    "critique",
    "comments",
    "advice",
    "suggestions",
    "changes",
    "notes",
    "issues",
    "review",
    "remarks",
)
LONGEST = 600  # words; a request for more is a request for another tool
ELABORATIONS = (
    "For {audience}, “{point}” is the part to look at closely.",
    "“{point}” stands apart from the rest of {topic}, and is easier to follow on its own.",
    "Whoever deals with {topic} meets “{point}” sooner or later.",
    "An account of {topic} without “{point}” would be incomplete.",
    "“{point}” has a place of its own here.",
    "What can be said about “{point}” depends on the facts at hand.",
)
SHORT = 4  # words of a topic that fits into a sentence
_NOUNS = (
    ("outline", r"outline|structure|table of contents"),
    ("letter", r"e-?mails?|reply|replies|response|letter|mail|message to|answer to"),
    ("title", r"title|headline|subject line"),
    ("summary", r"summary|abstract|tl;?dr"),
    ("article", r"article|draft|paragraphs?|essay|post|section|story|text|page|introduction"),
)
_VERBS = (
    (
        "revise",
        r"(?:edit|revis|rewrit|improv|polish|proofread|correct|shorten|copy-?edit|tighten|rework)(?:e|es|ing|s)?",
    ),
    ("summary", r"(?:summari[sz]|condens)(?:e|es|ing)"),
    ("outline", r"outline"),
    ("letter", r"(?:reply|respond|answer)(?: to)?"),
    ("", r"(?:write|draft|compose|create|prepare|produce|make|give|generate|suggest|plan)"),
)


def kind_of(words: str, instructions: str) -> str:
    """What sort of text is asked for.

    The field's own words decide; else the first verb of the instructions, and after a verb such as "write" the thing
    that is to be written: "Write the article from this outline" asks for an article.
    """
    named = [kind for kind, nouns in _NOUNS[:4] if re.search(rf"\b(?:{nouns})\b", words, re.IGNORECASE)]
    if named:
        return named[0]
    found = [
        (match.start(), kind, match.end())
        for kind, verbs in _VERBS
        if (match := re.search(rf"\b{verbs}\b", instructions, re.IGNORECASE))
    ]
    if not found:
        return "article"
    _, kind, end = min(found)
    things = [
        (match.start(), thing)
        for thing, nouns in _NOUNS
        if (match := re.search(rf"\b(?:{nouns})\b", instructions[end : end + 80], re.IGNORECASE))
    ]
    return kind or (min(things)[1] if things else "article")


def write(reading: Reading, kind: str) -> str:
    """A text of this kind."""
    writers: Mapping[str, Callable[[Reading], str]] = {
        "revise": revised,
        "outline": lambda asked: "\n".join(f"{number}. {point}" for number, point in enumerate(outline(asked), 1)),
        "summary": lambda asked: summary(subject(asked)),
        "letter": letter,
        "title": title,
        "article": article,
    }
    return writers[kind](reading)


def topic(reading: Reading) -> str:
    """What it is about, in a few words."""
    said = reading.value(*TOPICS)
    if said:
        return re.sub(r"\s+", " ", said).strip(" .")[:80]
    found = keywords(reading.prose or reading.data, 3)
    return " ".join(found) or "the subject"


def title(reading: Reading) -> str:
    """A headline, or the subject of a letter."""
    document = Document(reading.data)
    number, total = document.code("invoice_number"), document.total
    fact_number, fact_total = reading.value("invoice_number", "number"), reading.value("total", "amount")
    if (number or fact_number) and (total or fact_total):
        worth = fact_total or f"{total.value if total else ''}"
        unit = reading.value("currency") or document.currency or ""
        return f"Invoice {fact_number or number} over {worth} {unit}".strip()
    said = topic(reading)
    return said[:1].upper() + said[1:]


def outline(reading: Reading) -> list[str]:
    """Three to six points: those that the prompt names, else what its sentences and words suggest."""
    named = _list(reading, POINTS) or _bullets(reading.prose) or explicit_words(reading)
    about = topic(reading)
    own = [one for one in sentences(reading.prose) if 4 <= count(one) <= 18 and not one.endswith("?") and one != about]
    opening = f"What {about} means" if count(about) <= SHORT else "What the question is"
    frame = [opening, f"Why it matters to {_audience(reading)}", "Where to go from here"]
    points = list(dict.fromkeys([frame[0], *named, *(_heading(one) for one in own), *frame[1:]]))
    return [point[:1].upper() + point[1:] for point in points][:6]


def article(reading: Reading) -> str:
    """A paragraph for each point, as long as was asked for; under headings if there is talk of them."""
    points = _list(reading, POINTS) or outline(reading)
    audience = _audience(reading)
    about = topic(reading) if count(topic(reading)) <= SHORT else "the subject"
    headed = re.search(r"\bheadings?\b", reading.asked, re.IGNORECASE) is not None
    least, most = word_limits(reading.asked)
    goal = min(LONGEST, max(least, 60 if most is None else min(most, 60)))
    known = sentences(reading.prose)
    paragraphs = [_opening(point, known, headed=headed) for point in points]
    for turn in range(len(ELABORATIONS) * len(points)):
        full = count(" ".join(" ".join(paragraph) for paragraph in paragraphs)) >= goal
        if full and all(paragraphs):
            break
        at = turn % len(points)
        if not full or not paragraphs[at]:
            pattern = ELABORATIONS[(turn // len(points) + at) % len(ELABORATIONS)]
            paragraphs[at].append(pattern.format(point=points[at].strip(" ."), topic=about, audience=audience))
    texts = [" ".join(paragraph) for paragraph in paragraphs]
    if headed:
        texts = [f"## {point}\n\n{text}" for point, text in zip(points, texts, strict=True)]
    return "\n\n".join(texts)


def answer(reading: Reading, question: str) -> str | None:
    """The sentence of the data that has most of the question's words."""
    asked = stems(question)
    spoken = [sentence for sentence in sentences(reading.data) if sentence.strip() != question.strip()]
    best = max(spoken, key=lambda sentence: overlap(asked, stems(sentence)), default=None)
    return best if best is not None and overlap(asked, stems(best)) else None


def revised(reading: Reading) -> str:
    """The text, tidied, and changed as the feedback asks."""
    wishes = [
        sentence for name in WISHES for wish in _as_list(reading.facts.get(name)) for sentence in sentences(str(wish))
    ]
    text = subject(Reading("", {name: value for name, value in reading.values.items() if name not in WISHES}))
    least, most = word_limits("\n".join([reading.asked, reading.value("goal") or "", *wishes]))
    return revise(text, wishes, about=_bare(topic(reading)), least=least, most=most)


def _opening(point: str, known: list[str], *, headed: bool) -> list[str]:
    """The sentence of the data that goes with a point; else the point itself, unless it is a heading already."""
    own = stems(point)
    best = max(known, key=lambda sentence: overlap(own, stems(sentence)), default="").strip()
    if count(best) > 5 and overlap(own, stems(best)) >= 2 and best != point:
        return [_closed(best)]
    return [] if headed else [_closed(point.strip())]


def _closed(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _bare(goal: str) -> str:
    """A goal without its verbs and its measure: what the text is about."""
    return ASKING.sub("", re.sub(r"\b(?:in )?(?:about|at least|at most|up to)? ?\d+ words\b", "", goal)).strip()


def _audience(reading: Reading) -> str:
    return reading.value("audience", "readers", "reader") or "the reader"


def _heading(sentence: str) -> str:
    words = sentence.strip(" .!").split()
    return " ".join(words[:9])


def _list(reading: Reading, names: tuple[str, ...]) -> list[str]:
    for name in names:
        found = _as_list(reading.facts.get(name))
        if len(found) > 1:
            return [str(item) for item in found]
    return []


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [item for item in value if item]
    if not isinstance(value, str) or not value.strip():
        return []
    return _bullets(value) or [line.strip() for line in value.splitlines() if line.strip()]


def _bullets(text: str) -> list[str]:
    return [match[1].strip() for match in re.finditer(r"^\s*(?:[-*•]|\d+[.)])\s+(.+)$", text, re.MULTILINE)]

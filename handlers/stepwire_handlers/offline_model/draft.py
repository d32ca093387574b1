"""Drafting: a prompt comes in; an outline, an article, a letter, a summary, a title or a revised text goes out.

Everything is written from what the prompt says: its values, their sentences and their words. No fact is added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from stepwire_handlers.offline_model.document import Document
from stepwire_handlers.offline_model.judge import explicit_words, subject, word_limits
from stepwire_handlers.offline_model.parties import person
from stepwire_handlers.offline_model.reading import Reading
from stepwire_handlers.offline_model.revise import revise
from stepwire_handlers.offline_model.words import count, keywords, name_words, overlap, sentences, stems

TOPICS = ("topic", "title", "subject", "theme", "headline", "about", "question", "brief", "request")
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
PEOPLE = ("recipient", "to", "customer", "customer_name", "name", "client", "contact", "author")
SENDERS = ("sender", "signature", "team", "signed_by", "our_name")
LONGEST = 600  # words; a request for more is a request for another tool
ELABORATIONS = (
    "For {audience}, “{point}” is a part of {topic} to look at closely.",
    "It helps to keep “{point}” apart from everything else that {topic} touches.",
    "Whoever deals with {topic} meets “{point}” sooner or later.",
    "Without “{point}”, an account of {topic} would be incomplete.",
    "That is why “{point}” has its own place here.",
    "More could be said about “{point}”, and the sources for it are those of the brief.",
)
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
        "summary": summary,
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
    frame = [f"What {about} means", f"Why it matters to {_audience(reading)}", "Where to go from here"]
    points = list(dict.fromkeys([frame[0], *named, *(_heading(one) for one in own), *frame[1:]]))
    return [point[:1].upper() + point[1:] for point in points][:6]


def article(reading: Reading) -> str:
    """A paragraph for each point, as long as was asked for."""
    points = _list(reading, POINTS) or outline(reading)
    about, audience = topic(reading), _audience(reading)
    least, most = word_limits(reading.instructions)
    goal = min(LONGEST, max(least, 60 if most is None else min(most, 60)))
    known = sentences(reading.prose)
    paragraphs = [[_opening(point, known)] for point in points]
    for turn in range(len(ELABORATIONS) * len(points)):
        if count(" ".join(" ".join(paragraph) for paragraph in paragraphs)) >= goal:
            break
        at = turn % len(points)
        pattern = ELABORATIONS[(turn // len(points) + at) % len(ELABORATIONS)]
        paragraphs[at].append(pattern.format(point=points[at].strip(" ."), topic=about, audience=audience))
    return "\n\n".join(" ".join(paragraph) for paragraph in paragraphs)


def letter(reading: Reading) -> str:
    """A mail: whom it is to, what it is about with the facts, what happens next, who it is from."""
    to = _addressee(reading) or reading.value(*PEOPLE) or person(reading.data)
    sender = reading.value(*SENDERS)
    message = reading.value("body", "text", "message", "ticket", "email", "content", "request")
    lines = [f"Hello {to}," if to else "Hello,", ""]
    if message and count(message) > 3:
        gist = summary(Reading(reading.instructions, {"text": message}))
        lines += ["thank you for your message. This is how we understand it:", f"“{gist[:300]}”", ""]
    facts = _facts(reading)
    if facts:
        lines += ["These are the details we have:", *(f"- {name}: {value}" for name, value in facts), ""]
    lines += [_next_step(reading), "", "Kind regards", sender or "Your team"]
    return "\n".join(lines)


def summary(reading: Reading) -> str:
    """The two sentences that share most words with the rest, in their order."""
    spoken = sentences(subject(reading))
    if len(spoken) <= 2:
        return " ".join(spoken)
    all_stems = [stems(sentence) for sentence in spoken]
    weight = [
        sum(overlap(own, other) for at, other in enumerate(all_stems) if at != index) / (len(own) + 3) + (index == 0)
        for index, own in enumerate(all_stems)
    ]
    best = sorted(range(len(spoken)), key=lambda index: -weight[index])[:2]
    return " ".join(spoken[index] for index in sorted(best))


def answer(reading: Reading, question: str) -> str | None:
    """The sentence of the data that has most of the question's words."""
    asked = stems(question)
    spoken = [sentence for sentence in sentences(reading.data) if sentence.strip() != question.strip()]
    best = max(spoken, key=lambda sentence: overlap(asked, stems(sentence)), default=None)
    return best if best is not None and overlap(asked, stems(best)) else None


def revised(reading: Reading) -> str:
    """The text, tidied, and changed as the feedback asks."""
    wishes = [str(wish) for name in WISHES for wish in _as_list(reading.facts.get(name))]
    text = subject(Reading("", {name: value for name, value in reading.values.items() if name not in WISHES}))
    least, most = word_limits("\n".join([reading.instructions, *wishes]))
    return revise(text, wishes, about=topic(reading), least=least, most=most)


def _addressee(reading: Reading) -> str | None:
    """The value that the instructions address: "Draft an email to Rosa Diaz"."""
    for value in reading.values.values():
        direct = rf"\b(?:to|for)\s+(?:the\s+|our\s+|[\w ]{{0,20}}manager,?\s+|customer,?\s+)?{re.escape(value)}"
        if 2 < len(value) < 60 and not re.search(r"\d", value) and re.search(direct, reading.instructions):
            return value
    return None


def _facts(reading: Reading) -> list[tuple[str, str]]:
    """Short named values, as a letter quotes them."""
    to = _addressee(reading)
    skip = {*PEOPLE, *SENDERS, *TOPICS, *WISHES, *POINTS}
    found = []
    for name, value in reading.facts.items():
        text = "" if value is None or isinstance(value, (list, dict)) else str(value).strip()
        if text and text != to and name not in skip and len(text) <= 60 and "\n" not in text:
            words = " ".join(name_words(name))
            found.append((words[:1].upper() + words[1:], text))
    if not found:
        document = Document(reading.data)
        number, total, due = document.code("invoice_number"), document.total, document.day("due_date")
        found += [("Invoice number", number)] if number else []
        found += [("Total", f"{total.value} {document.currency or ''}".strip())] if total and number else []
        found += [("Due date", due.isoformat())] if due else []
    return found[:8]


def _next_step(reading: Reading) -> str:
    text = f"{reading.data}\n{reading.instructions}".lower()
    if re.search(r"\binvoice|rechnung|facture|factura|fattura|factuur", text):
        return "Please tell us if any of this does not match your records."
    if "?" in text:
        return "We are looking into your question and will answer it in this thread."
    return "We are looking into it and will get back to you in this thread."


def _opening(point: str, known: list[str]) -> str:
    """The sentence of the data that goes with a point, else the point itself as a sentence."""
    own = stems(point)
    best = max(known, key=lambda sentence: overlap(own, stems(sentence)), default="")
    text = best if count(best) > 5 and overlap(own, stems(best)) >= 2 else point
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


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

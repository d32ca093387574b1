"""Judging a text: what is asked of it and the text come in; a score and what to change go out.

Every finding is about the text itself: its length, the words it had to mention, its sentences, its tone, marks of
unfinished work. So a text that takes the advice scores higher, and a loop of judging and revising comes to an end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stepwire_handlers.offline_model.reading import ASKING, Reading
from stepwire_handlers.offline_model.words import count, keywords, name_words, sentences, stem, stems

SUBJECTS = [
    "draft",
    "revised",
    "edited",
    "candidate",
    "text",
    "article",
    "reply",
    "answer",
    "body",
    "content",
    "email",
    "letter",
    "message",
    "post",
    "paragraph",
    "output",
    "summary",
    "response",
    "document",
    "submission",
]
LEAST, LONG = 30, 32  # words of a text that says something, and of a sentence that is too long
FILLERS = re.compile(
    r"\b(?:very|really|just|basically|actually|quite|literally|simply|obviously|clearly)\b", re.IGNORECASE
)
UNFINISHED = re.compile(r"\b(?:TODO|TBD|FIXME|XXX|lorem ipsum)\b|\?\?\?|\[(?:insert|your|name|date)[^\]]*\]|\.\.\.\s*$")
CLAIMS = re.compile(
    r"\b(?:best|guarantee[ds]?|always|never fails?|100 ?%|revolutionary|world-class|unbeatable|proven|risk-free|"
    r"everyone)\b",
    re.IGNORECASE,
)
SUPERLATIVE = re.compile(
    r"\b(?:greatest|fastest|easiest|cheapest|smartest|finest|most (?:\w+)|number one|leading|perfect|incredible|"
    r"amazing|unbelievable|extraordinary)\b",
    re.IGNORECASE,
)
FIGURE = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)? ?(?:%|percent|times|million|billion|x\b)", re.IGNORECASE)
SOURCED = re.compile(
    r"\b(?:according to|source|study|survey|report|measured|data from|published|"
    r"(?:19|20)\d{2})\b|\(\w+,? \d{4}\)|https?:",
    re.IGNORECASE,
)
RUDE = re.compile(r"\b(?:stupid|idiot|dumb|shut up|hate|damn|ridiculous|pathetic|useless)\b", re.IGNORECASE)
PRIVATE = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.\w+|\b[A-Z]{2}\d{2}(?:\s?\w{4}){3,}|(?<!\w)\+\d[\d ]{8,}")
DOUBLED = re.compile(r"\b(\w{2,})\s+\1\b", re.IGNORECASE)
#: words of an instruction that ask for one aspect only
ASPECTS = {
    "length": "length long short words brief detail thin depth complete completeness",
    "content": "mention cover topic content complete relevance relevant point requirement fact completeness",
    "claims": "fact factual claim accuracy accurate truth source evidence legal compliance policy promise risk",
    "tone": "tone polite rude style voice friendly professional shouting brand",
    "private": "private privacy personal pii confidential gdpr legal compliance policy secret",
    "language": "grammar spelling language style clarity clear readable readability sentence wording filler concise",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    aspect: str
    weight: float
    passed: bool
    advice: str  #: what to change; only said when it did not pass


@dataclass(frozen=True, slots=True)
class Judgement:
    """How good a text is."""

    findings: tuple[Finding, ...]

    @property
    def score(self) -> float:
        """0 to 1."""
        weight = sum(finding.weight for finding in self.findings)
        return sum(finding.weight for finding in self.findings if finding.passed) / weight if weight else 0.0

    @property
    def advice(self) -> list[str]:
        """What to change."""
        return [finding.advice for finding in self.findings if not finding.passed]


def subject(reading: Reading) -> str:
    """The text that is to be judged: the value that is called a text, else the longest."""
    named = [name for name in reading.values if set(name_words(name)) & set(SUBJECTS)]
    ranked = sorted(named, key=lambda name: min(SUBJECTS.index(w) for w in name_words(name) if w in SUBJECTS))
    if ranked:
        return reading.values[ranked[0]]
    return max(reading.values.values(), key=len, default="")


def judge(reading: Reading) -> Judgement:
    """Look at everything; if the instructions name aspects, at those alone."""
    text = subject(reading)
    limits = f"{reading.asked}\n{reading.value('goal', 'brief', 'requirements') or ''}"
    found = [*_length(limits, text), *_content(reading, text), *_tone(text), *_claims(text), *_language(text)]
    asked = {stem(word) for word in re.findall(r"[a-z]+", reading.instructions.lower())}
    named = {aspect for aspect, words in ASPECTS.items() if asked & set(map(stem, words.split()))}
    chosen = [finding for finding in found if finding.aspect in named]
    return Judgement(tuple(chosen if chosen and len(named) < 4 else found))


def word_limits(instructions: str) -> tuple[int, int | None]:
    """The least and the most words that are asked for."""
    text = instructions.lower().replace(",", "")
    least = re.search(
        r"(?:at least|minimum(?: of)?|no less than|no fewer than|more than|over) (\d+)(?:[- ]words?)", text
    )
    most = re.search(
        r"(?:at most|maximum(?: of)?|no more than|up to|under|fewer than|less than|within) (\d+)(?:[- ]words?)", text
    )
    between = re.search(r"(?:between )?(\d+)\s*(?:and|to|-|–)\s*(\d+) words", text)
    about = re.search(r"(?:about|around|roughly|approximately|some|in|of|a)? ?(\d{2,4})[- ]words?\b", text)
    if between:
        return int(between[1]), int(between[2])
    if not least and not most and about:
        return int(int(about[1]) * 0.6), int(int(about[1]) * 1.5)
    return int(least[1]) if least else 0, int(most[1]) if most else None


def explicit_words(reading: Reading) -> list[str]:
    """What a text has to mention by name: quoted words of the instructions, and lists of keywords or points."""
    found = re.findall(r"mention\w*[^.\n]*?[\"“']([^\"”'\n]{2,40})[\"”']", reading.asked, re.IGNORECASE)
    for name in ("keywords", "must_mention", "mention", "points", "topics", "requirements"):
        value = reading.facts.get(name)
        if isinstance(value, list):
            found += [str(item) for item in value if item]
        elif value:
            found += [word for word in re.split(r"\s*[,;\n]\s*", str(value)) if word]
    return list(dict.fromkeys(found))[:12]


def wanted_words(reading: Reading) -> list[str]:
    """What a text has to speak of: that, and the words of its topic and title."""
    about = [str(reading.facts.get(name) or "") for name in ("topic", "title", "subject", "goal")]
    named = [word for text in about for word in keywords(ASKING.sub("", text), 2)]
    return list(dict.fromkeys([*explicit_words(reading), *named]))[:12]


def _length(instructions: str, text: str) -> list[Finding]:
    words = count(text)
    least, most = word_limits(instructions)
    least = least or LEAST
    found = [Finding("length", 3, words >= least, f"Make it longer: it has {words}, and needs at least {least} words.")]
    if most is not None:
        found.append(
            Finding("length", 2, words <= most, f"Make it shorter: it has {words}, and may have at most {most} words.")
        )
    return found


def _content(reading: Reading, text: str) -> list[Finding]:
    told = set(stems(text))
    found = []
    for word in wanted_words(reading):
        need = set(stems(word))
        has = len(need & told) * 2 >= len(need) if need else True
        found.append(Finding("content", 1.5, has, f'Mention "{word}".'))
    unfinished = UNFINISHED.search(text)
    found.append(
        Finding("content", 2, not unfinished, f'Finish what is marked "{unfinished[0] if unfinished else ""}".')
    )
    return found


def _tone(text: str) -> list[Finding]:
    shouted = [
        word for word in re.findall(r"\b[A-Z]{4,}\b", text) if word not in ("HTML", "JSON", "HTTP", "IBAN", "GDPR")
    ]
    rude, loud = RUDE.search(text), SUPERLATIVE.search(text)
    return [
        Finding("tone", 1, len(shouted) < 2, "Do not shout: write words in capitals small."),
        Finding("tone", 1, "!" not in text, "No exclamation marks."),
        Finding("tone", 2, not rude, f'Be polite: leave out "{rude[0] if rude else ""}".'),
        Finding("tone", 1, not loud, f'Leave out the superlative "{loud[0] if loud else ""}".'),
    ]


def _claims(text: str) -> list[Finding]:
    claim, private = CLAIMS.search(text), PRIVATE.search(text)
    bare = [match for one in sentences(text) if not SOURCED.search(one) and (match := FIGURE.search(one))]
    figure = bare[0][0].strip() if bare else ""
    return [
        Finding("claims", 2, not claim, f'Leave out "{claim[0] if claim else ""}": nothing supports it.'),
        Finding("claims", 2, not bare, f'Leave out "{figure}", or say where the figure is from.'),
        Finding("private", 1.5, not private, "Remove personal data such as addresses and account numbers."),
    ]


def _language(text: str) -> list[Finding]:
    spoken: Sequence[str] = sentences(text)
    too_long = [sentence for sentence in spoken if count(sentence) > LONG]
    fillers = [word.lower() for word in FILLERS.findall(text)]
    doubled = DOUBLED.search(text)
    tidy = all(sentence[0].isupper() or not sentence[0].isalpha() for sentence in spoken)
    return [
        Finding("language", 1, not too_long, f"Shorten sentences of more than {LONG} words."),
        Finding("language", 1, len(fillers) < 2, f"Drop filler words: {', '.join(sorted(set(fillers)))}."),
        Finding("language", 1, not doubled, f'Remove the doubled word "{doubled[1] if doubled else ""}".'),
        Finding(
            "language", 1, tidy and "  " not in text, "Begin every sentence with a capital; one space between words."
        ),
    ]

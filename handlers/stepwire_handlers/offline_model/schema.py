"""Filling a schema: what is asked for and a prompt come in, an object that fits goes out.

Choices are made first, because a reason among the fields speaks of them. What has no evidence is null where null is
allowed, else empty: "unknown", an empty list, zero, false. Nothing is made up so that a field looks filled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from stepwire_handlers.offline_model import draft, extract, identifiers
from stepwire_handlers.offline_model.choose import Choice, choose, speaks_of
from stepwire_handlers.offline_model.corrections import correction
from stepwire_handlers.offline_model.document import Document
from stepwire_handlers.offline_model.fields import Field, Schema, field
from stepwire_handlers.offline_model.genre import is_genre
from stepwire_handlers.offline_model.judge import Judgement, judge, subject
from stepwire_handlers.offline_model.reading import Reading
from stepwire_handlers.offline_model.rows import Row, rows
from stepwire_handlers.offline_model.thesaurus import BAD, GOOD, MIDDLE
from stepwire_handlers.offline_model.words import count, keywords, language, name_words, sentences, stem, summary

UNKNOWN = "unknown"
PROSE = 25  # words from which a prompt's data is a document, and says more than a record beside it
EMPTY = r"\bleave\b[^.\n]{0,40}\bempty\b|\bempty\b[^.\n]{0,20}\bif\b"
WELL = 0.8  # the score from which a text is good enough
SCORES = r"\b(?:score|rating|grade|quality|rank|stars|points)\b"
VERDICTS = (
    r"\b(?:verdict|decision|approv\w*|accept\w*|pass(?:ed|es)?|ok|okay|good|publish\w*|ready|done|satisf\w*|valid|meets|"
    r"safe|compliant)\b"
)
UNDONE = r"\b(?:needs?|requires?|wants?)\b.*\b(?:revision|revise|work|changes?|rework|edit\w*)\b|\breject\w*\b"
ADVICE = (
    r"\b(?:feedback|critique|criticism|comments?|remarks?|advice|suggestions?|issues?|problems?|findings?|changes|improvements?|"
    r"objections?)\b"
)
REASONS = r"\b(?:reasons?|rationale|why|explanation|justification|reasoning|because|evidence)\b"
WRITTEN = (
    r"\b(?:title|headline|subject|summary|body|text|draft|reply|response|answer|article|paragraphs?|outline|message|content|"
    r"letter|note|abstract|post|story|section|edited|revised|introduction|conclusion|intro|markdown)\b"
)
HEADINGS = r"\b(?:title|headline|subject)\b"
ADDRESS = r"\b(?:address|addr|from|to|customer|client|vendor|supplier|contact|sender|recipient)\b"


def fill(schema: Schema, reading: Reading) -> Any:
    """A value for the whole schema."""
    return _Filler(reading).value(field("", schema, schema))


class _Filler:
    """One prompt, asked for many fields."""

    def __init__(self, reading: Reading, row: Row | None = None) -> None:
        self.reading = reading
        self.row = row
        self.choice: Choice | None = None
        self.empty = False  # what is asked for is not there at all, and the prompt says to leave the rest empty

    @cached_property
    def document(self) -> Document:
        """What was written to be read, if anything was; else all the data."""
        return Document(self.reading.prose or self.reading.data)

    @cached_property
    def judgement(self) -> Judgement:
        return judge(self.reading)

    def value(self, asked: Field) -> Any:
        """The value of a field, by its type."""
        match asked.type:
            case "object":
                order = sorted(asked.properties, key=lambda inner: inner.type not in ("choice", "boolean"))
                filled = {inner.name: self.value(inner) for inner in order}
                return {inner.name: filled[inner.name] for inner in asked.properties}
            case "array":
                return [] if self.empty else self._list(asked)
            case "choice":
                return self._chosen(asked)
            case "boolean":
                return self._yes(asked)
            case "null":
                return None
            case _ if self.empty and asked.nullable:
                return None
            case "integer" | "number":
                return self._number(asked)
            case _:
                found = self._text(asked)
                return found if found is not None else None if asked.nullable else UNKNOWN

    def _known(self, asked: Field) -> Any:
        """A fact of just this name: from a correction, a value of the prompt, or, failing a document, from JSON."""
        corrected = correction(self.reading, asked)
        if corrected is not None:
            return corrected
        if asked.name in self.reading.values and not _is_json(self.reading.values[asked.name]):
            return self.reading.values[asked.name]
        return self.reading.facts.get(asked.name) if count(self.reading.prose) < PROSE else None

    def _chosen(self, asked: Field) -> Any:
        labels = {str(label): self.reading.choices.get(str(label), "") for label in asked.labels if label is not None}
        named = self._known(asked)
        if str(named) in labels or len(labels) == 1:
            chosen = str(named) if str(named) in labels else next(iter(labels))
        elif re.search(r"\blang\w*\b|\blocale\b", asked.words):
            chosen = _language_label(language(self.reading.data), list(labels))
        elif re.search(r"\bcurrency\b", asked.words) and self.document.currency in labels:
            chosen = self.document.currency
        elif _are_verdicts(labels):
            chosen = _verdict(list(labels), self.judgement.score)
        else:
            told = {label: description or _told(asked.description, label) for label, description in labels.items()}
            self.choice = choose(told, self.reading.data or self.reading.instructions)
            if self.choice.confidence == 0 and asked.nullable:
                return None
            chosen = self.choice.label
        return next(label for label in asked.labels if str(label) == chosen)

    def _yes(self, asked: Field) -> bool:
        named = self._known(asked)
        if isinstance(named, bool) or str(named).lower() in ("true", "false"):
            return str(named).lower() == "true"
        is_one = is_genre(name_words(asked.name), self.document)
        if is_one is not None:
            self.empty = not is_one and re.search(EMPTY, self.reading.instructions, re.IGNORECASE) is not None
            return is_one
        if re.search(UNDONE, asked.words):
            return self.judgement.score < WELL
        if re.search(VERDICTS, asked.words):
            return self.judgement.score >= WELL
        return speaks_of(asked.name, asked.description, self.reading.data)

    def _number(self, asked: Field) -> int | float | None:
        found = self._numeric(asked)
        low, high = asked.limits
        if found is None:
            return None if asked.nullable else int(low or 0) if asked.type == "integer" else float(low or 0)
        if low is not None:
            found = max(found, low)
        if high is not None:
            found = min(found, high)
        return round(found) if asked.type == "integer" else found

    def _numeric(self, asked: Field) -> float | None:
        if self.row is not None:
            return _row_number(self.row, asked.words)
        named = self._known(asked)
        if isinstance(named, (int, float)) and not isinstance(named, bool):
            return float(named)
        if isinstance(named, str) and re.fullmatch(r"-?\d+(?:\.\d+)?", named.strip()):
            return float(named)
        if re.search(SCORES, asked.words):
            low, high = self._scale(asked)
            return low + (high - low) * self.judgement.score
        if re.search(r"\b(?:confidence|certainty|probability)\b", asked.words):
            return self._confidence() * (asked.limits[1] or 1)
        if re.search(r"\bwords?\b", asked.words):
            return float(count(subject(self.reading)))
        for words in (asked.words, asked.long_words, asked.description.lower()):
            found = extract.number(self.document, words)
            if found is not None:
                return float(found)
        last = self.reading.facts.get(asked.name)
        return float(last) if isinstance(last, (int, float)) else None

    def _scale(self, asked: Field) -> tuple[float, float]:
        """From where to where a score goes: its limits, what the prompt says, or what is usual."""
        low, high = asked.limits
        told = re.search(
            r"\b(\d{1,3})\s*(?:to|-|–|and|\.\.)\s*(\d{1,3})\b(?! words)|\bout of (\d{1,3})\b",
            f"{asked.description} {self.reading.instructions}",
        )
        if high is None and told:
            return (0.0, float(told[3])) if told[3] else (float(told[1]), float(told[2]))
        return low or 0.0, high if high is not None else (10.0 if asked.type == "integer" else 1.0)

    def _confidence(self) -> float:
        if self.choice is not None:
            return round(0.5 + self.choice.confidence / 2.1, 2)
        return 0.9 if self.document.code("invoice_number") and self.document.total else 0.5

    def _text(self, asked: Field) -> str | None:
        if self.row is not None:
            return self.row.text if re.search(r"descr|item|name|product|what|text|title", asked.words) else None
        form = asked.schema.get("format")
        if form in ("date", "date-time"):
            return self._date(asked, form)
        if form in ("email", "uri", "uuid"):
            pattern = {
                "email": identifiers.EMAIL,
                "uri": identifiers.URL,
                "uuid": re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
            }[form]
            return (
                extract.text(self.document, asked) if form == "email" else identifiers.first(pattern, self.reading.data)
            )
        if re.search(ADVICE, asked.words):
            return " ".join(self.judgement.advice) or "Nothing to change."
        named = self._known(asked)
        writes = self._writes(asked)
        copied = not writes or re.search(HEADINGS, asked.words)
        if copied and named not in (None, "") and not isinstance(named, (list, dict)):
            return str(named)
        if re.search(REASONS, asked.words):
            return self._reason()
        found = self._written(asked) if writes else self._found(asked)
        last = self.reading.facts.get(asked.name)
        return found if found is not None else str(last) if isinstance(last, (str, int, float)) else None

    def _writes(self, asked: Field) -> bool:
        """Is this field a text to be written? An `email` is one where a mail is asked for, else an address."""
        if re.search(ADDRESS, asked.words):
            return False
        if re.search(r"\be?mail\b", asked.words):
            return draft.kind_of("", self.reading.asked) == "letter"
        return re.search(WRITTEN, asked.words) is not None

    def _date(self, asked: Field, form: str) -> str | None:
        named = self._known(asked)
        found = str(named) if named else extract.text(self.document, asked)
        day = re.match(r"\d{4}-\d{2}-\d{2}", found or "")
        if day is None:
            spoken = Document(found or "").dates
            iso = spoken[0].isoformat() if spoken else None
        else:
            iso = day[0]
        return f"{iso}T00:00:00Z" if iso and form == "date-time" and len(found or "") <= 10 else iso

    def _found(self, asked: Field) -> str | None:
        found = extract.text(self.document, asked)
        if found is None and re.search(r"\bsummar|\bdescri\w*|\bgist\b|\bproblem\b|\brequest\b|\btopic\b", asked.words):
            return draft.topic(self.reading) if "topic" in asked.words else summary(subject(self.reading))
        return found

    def _written(self, asked: Field) -> str:
        if re.search(HEADINGS, asked.words):
            original = self.reading.value("subject", "subject_line")
            return f"Re: {original}" if original and "subject" in asked.words else draft.title(self.reading)
        if re.search(r"\banswer\b", asked.words) and self.reading.value("question"):
            return draft.answer(self.reading, self.reading.value("question") or "") or UNKNOWN
        return draft.write(self.reading, draft.kind_of(f"{asked.words} {asked.description}", self.reading.instructions))

    def _reason(self) -> str:
        if self.choice is not None and self.choice.words:
            spoken = [
                sentence
                for sentence in sentences(self.reading.data)
                if any(stem(word) in self.choice.words for word in name_words(sentence))
            ]
            return (
                f"The text says: “{spoken[0][:200]}”"
                if spoken
                else f"The text speaks of {', '.join(self.choice.words)}."
            )
        if self.choice is not None:
            return "No word of the text speaks for any of the choices."
        return " ".join(self.judgement.advice) or "Everything that was looked at is in order."

    def _list(self, asked: Field) -> list[Any]:
        items = asked.items
        named = self.reading.facts.get(asked.name)
        if items.type == "object":
            found = [_Filler(self.reading, row).value(items) for row in rows(self.document)]
            return found or ([] if named is None else _objects(named))
        if items.type == "choice":
            texts = {str(label): self.reading.choices.get(str(label), "") for label in items.labels}
            return [label for label in items.labels if speaks_of(str(label), texts[str(label)], self.reading.data)]
        if isinstance(named, list):
            return named
        if items.type in ("number", "integer"):
            return [float(one.value) for one in self.document.amounts]
        return self._strings(asked)

    def _strings(self, asked: Field) -> list[str]:
        data = self.reading.data
        if re.search(rf"{ADVICE}|{REASONS}", asked.words):
            return self.judgement.advice
        if re.search(r"\b(?:points|outline|sections|headings|steps|chapters|bullets|ideas)\b", asked.words):
            return draft.outline(self.reading)
        if re.search(r"\bparagraphs?\b", asked.words):
            return draft.article(self.reading).split("\n\n")
        if re.search(r"\bquestions?\b", asked.words):
            return [sentence for sentence in sentences(data) if sentence.endswith("?")]
        if re.search(r"\bemails?\b", asked.words):
            return identifiers.emails(data)
        if re.search(r"\bdates?\b", asked.words):
            return [day.isoformat() for day in self.document.dates]
        if re.search(r"\b(?:names?|people|persons?|compan\w+|organi\w+|entities|parties)\b", asked.words):
            return list(dict.fromkeys(re.findall(r"\b[A-ZÀ-Ý][\w&.-]+(?:\s+[A-ZÀ-Ý][\w&.-]+)+", data)))[:10]
        if re.search(r"\b(?:items|lines|products|articles)\b", asked.words) and rows(self.document):
            return [row.text for row in rows(self.document)]
        return keywords(data, 5)


def _row_number(row: Row, words: str) -> float | None:
    if re.search(r"\b(?:quantity|qty|count|units|number|hours)\b", words):
        found = row.quantity
    elif re.search(r"\b(?:unit|each|rate|price)\b", words) and not re.search(r"\btotal\b", words):
        found = row.unit if row.unit is not None else row.total
    else:
        found = row.total
    return None if found is None else float(found)


def _objects(named: Any) -> list[Any]:
    return [one for one in named if isinstance(one, dict)] if isinstance(named, list) else []


def _is_json(text: str) -> bool:
    return text.startswith(("{", "["))


def _told(description: str, label: str) -> str:
    """What a description says of one label: `billing: money; technical: errors`."""
    match = re.search(rf"\b{re.escape(label)}\b\s*[:=(–-]\s*([^;.\n)]+)", description, re.IGNORECASE)
    return match[1] if match else ""


def _are_verdicts(labels: Sequence[str] | dict[str, str]) -> bool:
    """Do all of these labels say how good something is?"""
    return all({stem(word) for word in name_words(label)} & (GOOD | BAD | MIDDLE) for label in labels)


def _verdict(labels: list[str], score: float) -> str:
    """The label for a score: good, in between, bad; with what there is of them."""

    def pick(*families: frozenset[str]) -> str:
        for family in families:
            found = [label for label in labels if {stem(word) for word in name_words(label)} & family]
            if found:
                return found[0]
        return labels[0]

    if score >= WELL:
        return pick(GOOD, MIDDLE, BAD)
    return pick(MIDDLE, BAD, GOOD) if score >= WELL / 2 else pick(BAD, MIDDLE, GOOD)


def _language_label(code: str, labels: list[str]) -> str:
    names = {"en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "nl": "dutch"}
    wanted = (code, names[code], names[code][:3])
    return next(
        (label for label in labels if label.lower()[:7] in wanted or label.lower().startswith(wanted)), labels[0]
    )

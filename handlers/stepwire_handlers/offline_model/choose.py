"""Choosing: labels with descriptions and a text come in, the label that the text's words speak for goes out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from stepwire_handlers.offline_model.thesaurus import CATCH_ALL, related
from stepwire_handlers.offline_model.words import name_words, sentences, stem, stems

NAMED, DESCRIBED, RELATED = 3.0, 2.0, 1.0  # how much a word of the text says, by where it speaks for a label


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why."""

    label: str
    confidence: float  #: 0 to 1: how far ahead of the next
    words: tuple[str, ...]  #: stems of the text that spoke for it


def choose(labels: Mapping[str, str], text: str) -> Choice:
    """The label that fits best. Without any evidence it is the one for everything else, or the first."""
    bags = _bags(labels)
    seen = Counter(stems(text))
    scores: dict[str, float] = {}
    words: dict[str, list[str]] = {}
    for label, bag in bags.items():
        hits = {word: weight / _spread(word, bags) for word, weight in bag.items() if word in seen}
        scores[label] = sum(weight * (1 + math.log(seen[word])) for word, weight in hits.items())
        words[label] = sorted(hits, key=lambda word: -hits[word])
    best = max(scores, key=lambda label: scores[label])
    if scores[best] == 0:
        rest = [label for label in labels if _is_catch_all(label, labels[label])]
        return Choice(rest[0] if rest else best, 0.0, ())
    second = max((score for label, score in scores.items() if label != best), default=0.0)
    return Choice(best, (scores[best] - second) / scores[best], tuple(words[best][:6]))


def speaks_of(name: str, description: str, text: str) -> bool:
    """Does a text speak of what a yes-or-no field is named after, and not deny it?"""
    asked = frozenset(stem(word) for word in name_words(name)) - EMPTY
    wanted = asked if name_words(name)[:1] in LITERAL else asked | related(asked)
    if not asked:
        wanted = frozenset(stems(description)) - EMPTY
    for sentence in sentences(text):
        found = stems(sentence)
        if any(word in wanted for word in found) and not _denied(sentence, wanted):
            return True
    return False


LITERAL = (["mentions"], ["mentioned"], ["contains"], ["has"], ["includes"])  # asks for the word, not for its kin
EMPTY = frozenset(
    map(
        stem,
        [
            "is",
            "has",
            "have",
            "was",
            "are",
            "be",
            "contains",
            "contain",
            "mentions",
            "mention",
            "mentioned",
            "requested",
            "request",
            "requires",
            "required",
            "needs",
            "wants",
            "asked",
            "includes",
            "include",
            "can",
            "should",
            "true",
            "false",
            "whether",
            "flag",
            "if",
            "text",
            "message",
        ],
    )
)


def _denied(sentence: str, wanted: frozenset[str]) -> bool:
    """Does "not", "no" or "without" stand just before the word?"""
    from_text = [stem(word) for word in sentence.lower().replace("n't", " not").split()]
    for at, word in enumerate(from_text):
        if word.strip(".,!?;:") in wanted:
            return any(
                before in ("no", "not", "without", "never", "kein", "nicht", "pas")
                for before in from_text[max(0, at - 2) : at]
            )
    return False


def _bags(labels: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """What speaks for each label: its name, its description, and the words related to them."""
    named = {label: frozenset(stem(word) for word in name_words(label)) for label in labels}
    shared = frozenset.intersection(*named.values()) if len(named) > 1 else frozenset()  # "Ticket" in all of them
    bags = {}
    for label, description in labels.items():
        name, told = named[label] - shared, frozenset(stems(description))
        bag = dict.fromkeys(related(name | (told if not related(name) else frozenset())), RELATED)
        bag.update(dict.fromkeys(told, DESCRIBED))
        bag.update(dict.fromkeys(name, NAMED))
        bags[label] = bag
    return bags


def _spread(word: str, bags: Mapping[str, Mapping[str, float]]) -> int:
    return sum(word in bag for bag in bags.values())


def _is_catch_all(label: str, description: str) -> bool:
    told = frozenset(stem(word) for word in name_words(label)) | frozenset(stems(description))
    return bool(told & CATCH_ALL)

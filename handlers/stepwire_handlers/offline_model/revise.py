"""Revising: a text and what should change come in, the changed text goes out.

It tidies what a machine can tidy (spaces, capitals, doubled and filler words, shouting, overlong sentences) and takes
advice of the kinds that `judge` gives, whoever gave it: mention this, leave out that, longer, shorter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stepwire_handlers.offline_model.judge import (
    CLAIMS,
    DOUBLED,
    FILLERS,
    LEAST,
    LONG,
    PRIVATE,
    RUDE,
    SUPERLATIVE,
    UNFINISHED,
)
from stepwire_handlers.offline_model.words import count, keywords, sentences, stems

MENTIONS = re.compile(r"\b(?:mention|add|include|cover|explain|name)\b", re.IGNORECASE)
LEAVE_OUT = re.compile(r"\b(?:leave out|drop|remove|delete|avoid|without)\b|\bno superlatives?\b", re.IGNORECASE)
QUOTED = re.compile(r"[\"“']([^\"”'\n]{2,60})[\"”']")
MORE = (
    "A word more on {word}, because the text is about it.",
    "Whoever reads on will meet {word} again.",
    "There is more to it than this, but “{word}” belongs here, too.",
    "If one thing is to be remembered, let it be {word}.",
)
#: what may be said where nothing supports more
MILDER = {
    "best": "good", "greatest": "great", "fastest": "fast", "easiest": "easy", "cheapest": "cheap", "finest": "fine",
    "smartest": "clever", "perfect": "good", "incredible": "good", "amazing": "good", "unbelievable": "good",
    "extraordinary": "good", "leading": "known", "number one": "known", "always": "as a rule", "everyone": "many",
    "never fails": "works", "guaranteed": "expected", "guarantees": "helps", "guarantee": "help", "proven": "tried",
    "revolutionary": "new", "world-class": "good", "unbeatable": "good", "risk-free": "simple", "100 %": "most",
    "100%": "most",
}  # fmt: skip


def revise(text: str, wishes: Sequence[str], *, about: str, least: int, most: int | None) -> str:
    """The revised text; paragraphs stay paragraphs.

    Args:
        text: what is there.
        wishes: what should change, one wish each.
        about: the topic, for sentences that have to be added.
        least: at least so many words.
        most: at most so many words.
    """
    paragraphs = [_tidy(paragraph) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]
    for wish in wishes:
        if LEAVE_OUT.search(wish):
            paragraphs = [_without(paragraph, QUOTED.findall(wish)) for paragraph in paragraphs]
        elif MENTIONS.search(wish):
            paragraphs = _mention(paragraphs, QUOTED.findall(wish))
        elif re.search(r"exclamation|shout", wish, re.IGNORECASE):
            paragraphs = [paragraph.replace("!", ".") for paragraph in paragraphs]
    if any(re.search(r"\b(?:longer|more detail|expand|too short|too thin)\b", wish, re.IGNORECASE) for wish in wishes):
        least = max(least, LEAST)
    if count("\n".join(paragraphs)) < least:
        paragraphs = _lengthen(paragraphs, about, least)
    if most is not None:
        paragraphs = _shorten(paragraphs, most)
    return "\n\n".join(paragraph[:1].upper() + paragraph[1:] for paragraph in paragraphs if paragraph)


def _tidy(paragraph: str) -> str:
    if paragraph.lstrip().startswith(("-", "*", "#", "1.")):
        return paragraph.strip()  # a list is not a sentence
    text = re.sub(r"[ \t]+", " ", paragraph).strip()
    text = UNFINISHED.sub("", DOUBLED.sub(r"\1", text))
    text = FILLERS.sub("", text)
    text = re.sub(r"!{2,}", ".", text)
    if len(re.findall(r"\b[A-Z]{4,}\b", text)) > 1:
        text = re.sub(r"\b[A-Z]{4,}\b", lambda match: match[0].lower(), text)
    text = re.sub(r" {2,}", " ", text)
    text = re.sub(r" +([.,;:!?])", r"\1", text)
    tidy = [_sentence(one) for long in sentences(text) for one in _parted(long)]
    once = " ".join(dict.fromkeys(tidy))  # what was said twice is said once
    return re.sub(r"(?<=[a-z]{2}[.!?] )[a-z]", lambda match: match[0].upper(), once)


def _sentence(text: str) -> str:
    text = text.strip(" ,;")
    if not text:
        return ""
    return text[:1].upper() + text[1:] + ("" if text[-1] in '.!?:”"' else ".")


def _parted(sentence: str) -> list[str]:
    """An overlong sentence, cut where it takes breath."""
    if count(sentence) <= LONG:
        return [sentence]
    cuts = list(re.finditer(r"; |, (?:and|but|so|which|while|because|although) ", sentence))
    middle = len(sentence) / 2
    if not cuts:
        return [sentence]
    cut = min(cuts, key=lambda match: abs(match.start() - middle))
    return [*_parted(sentence[: cut.start()]), *_parted(sentence[cut.start() + 2 :])]


def _mention(paragraphs: list[str], words: Sequence[str]) -> list[str]:
    for word in words:
        need = set(stems(word))
        if paragraphs and need and not need <= set(stems("\n".join(paragraphs))):
            paragraphs = [*paragraphs[:-1], f"{paragraphs[-1]} This also concerns {word}."]
    return paragraphs


def _without(paragraph: str, words: Sequence[str]) -> str:
    """Leave out what was quoted: a figure with its sentence, a claim for a milder word; else all of that kind."""
    for word in words:
        if re.search(r"\d", word) and word.lower() not in MILDER:
            kept = [one for one in sentences(paragraph) if word not in one]
            paragraph = " ".join(kept) or re.sub(re.escape(word), "some", paragraph)
        else:
            paragraph = _milder(paragraph, re.escape(word))
    if not words:
        for pattern in (CLAIMS, RUDE, SUPERLATIVE, PRIVATE):
            paragraph = _milder(paragraph, pattern.pattern)
    return re.sub(r" +([.,;:!?])", r"\1", re.sub(r" {2,}", " ", paragraph)).strip()


def _milder(paragraph: str, pattern: str) -> str:
    """The claim in a milder word: "the best archive in the world" becomes "a good archive"."""

    def mild(match: re.Match[str]) -> str:
        claim = match["claim"].lower()
        word = MILDER.get(claim, claim.removeprefix("most ") if claim.startswith("most ") else "")
        noun = match["noun"] or ""
        article = "" if not match["the"] or not noun or not word else "an " if word[0] in "aeiou" else "a "
        return f"{article}{word}{noun}"

    return re.sub(
        rf"(?P<the>\bthe )?(?P<claim>{pattern})(?P<noun> (?!in\b|on\b|of\b|and\b|or\b|ever\b)[a-z]+)?"
        r"(?: (?:in the world|on the market|ever|of all time))?",
        mild,
        paragraph,
        flags=re.IGNORECASE,
    )


def _lengthen(paragraphs: list[str], about: str, least: int) -> list[str]:
    words = list(dict.fromkeys([*keywords(about, 3), *keywords("\n".join(paragraphs), 9)])) or [about]
    added: list[str] = []
    for turn in range(len(MORE) * len(words)):
        if count("\n".join([*paragraphs, *added])) >= least:
            break
        added.append(MORE[turn % len(MORE)].format(word=words[turn % len(words)]))
    return [*paragraphs, " ".join(added)]


def _shorten(paragraphs: list[str], most: int) -> list[str]:
    """Drop last sentences first, the very first never."""
    kept = [sentences(paragraph) for paragraph in paragraphs]
    while count("\n".join(" ".join(one) for one in kept)) > most and sum(map(len, kept)) > 1:
        longest = max((one for one in kept if one), key=len)
        longest.pop()
    return [" ".join(one) for one in kept if one]

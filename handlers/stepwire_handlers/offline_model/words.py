"""Words: a text comes in; its sentences, its words without their endings and its language go out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from stepwire_handlers.offline_model.page import fold

STOP = {
    "en": (
        "the a an and or of to in is are was were be been it this that these those for on with as at by from "
        "we you i my our your have has had do does did can could will would should not no but if so they them "
        "their there here what which who when how why about into than then also any all some more most its "
        "his her he she me us please thank thanks hello dear one only just out up over same"
    ),
    "de": (
        "der die das und ist sind ein eine einen einem einer nicht ich wir sie es auf mit fur von zu im in "
        "den dem des bitte danke hallo auch wie dass bei aus nach noch nur haben habe hat wird werden kann"
    ),
    "fr": (
        "le la les un une des et est sont pas je nous vous il elle de du au aux en que qui pour dans sur avec "
        "ce cette depuis hier cest jai mon ma mes votre notre bonjour merci plus ne se par"
    ),
    "es": (
        "el la los las un una y es son no yo nosotros usted de del al en que para por con su mi se lo me hola "
        "gracias como mas pero este esta hay"
    ),
    "it": (
        "il lo la i gli le un una e non sono che di del della al alla in per con su mi si ho ha questo questa "
        "grazie ciao buongiorno come piu"
    ),
    "nl": (
        "de het een en is zijn niet ik wij we u je jullie van voor met op in te aan dat die dit er om als bij "
        "maar naar graag dank hallo ook wel kan heb heeft"
    ),
}
STOPWORDS = {language: frozenset(words.split()) for language, words in STOP.items()}
ALL_STOPWORDS = frozenset().union(*STOPWORDS.values())
ABBREVIATED = re.compile(
    r"\b(?:mr|mrs|ms|dr|st|no|nr|inc|ltd|co|vs|etc|e\.g|i\.e|z\.b|bzw|ca|approx|art)\.$", re.IGNORECASE
)
LONGEST = 200  # sentences that a summary is made of
ENDINGS = ("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ied", "ed", "es", "en", "ly", "s", "e", "y")


def tokens(text: str) -> list[str]:
    """The words of a text, folded, in order."""
    return re.findall(r"[a-z][a-z0-9]*|\d+", fold(text))


def stem(word: str) -> str:
    """A word without its ending: billing, billed and bills are one."""
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def stems(text: str) -> list[str]:
    """The stems of the words that carry meaning."""
    return [stem(word) for word in tokens(text) if word not in ALL_STOPWORDS and len(word) > 1]


def name_words(name: str) -> list[str]:
    """The words of an identifier: `dueDate`, `due_date` and `DueDate` are two words."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return tokens(parted.replace("_", " ").replace("-", " "))


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line of its own that ends in no mark is one, too."""
    found: list[str] = []
    for line in text.splitlines():
        rest = ""
        for piece in re.split(r"(?<=[.!?])\s+(?=[^a-z\s])", line.strip()):
            rest = f"{rest} {piece}".strip()
            if not ABBREVIATED.search(rest):
                found.append(rest)
                rest = ""
        if rest:
            found.append(rest)
    return [sentence for sentence in found if sentence]


def keywords(text: str, count: int) -> list[str]:
    """The words that a text is about, most frequent first, as they are written."""
    written: dict[str, str] = {}
    weights: Counter[str] = Counter()
    for word in re.findall(r"[^\W\d_][\w'-]{2,}", text):
        folded = fold(word)
        if folded not in ALL_STOPWORDS and len(folded) > 3:
            key = stem(folded)
            written.setdefault(key, word)
            weights[key] += 2 if word[0].isupper() else 1
    return [written[key].strip("'-") for key, _ in weights.most_common(count)]


def language(text: str) -> str:
    """The language a text is most likely in, as a code of two letters."""
    words = Counter(tokens(text))
    return max(STOPWORDS, key=lambda code: sum(words[word] for word in STOPWORDS[code]))


def count(text: str) -> int:
    """How many words a text has."""
    return len(re.findall(r"[\w'’-]*[^\W_][\w'’-]*", text))


def overlap(one: Iterable[str], other: Iterable[str]) -> int:
    """How many stems two texts share."""
    return len(set(one) & set(other))


def summary(text: str) -> str:
    """The two sentences that share most words with the rest, in their order."""
    spoken = sentences(text)[:LONGEST]
    if len(spoken) <= 2:
        return " ".join(spoken)
    every = [stems(sentence) for sentence in spoken]
    weight = [
        sum(overlap(own, other) for at, other in enumerate(every) if at != index) / (len(own) + 3) + (index == 0)
        for index, own in enumerate(every)
    ]
    best = sorted(range(len(spoken)), key=lambda index: -weight[index])[:2]
    return " ".join(spoken[index] for index in sorted(best))

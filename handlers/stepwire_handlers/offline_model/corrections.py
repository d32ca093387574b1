"""Corrections: what a person's remark says a field should be.

"The total should be 119.00" beats what stands in the document for `total`, and nothing else.
"""

from __future__ import annotations

import re

from stepwire_handlers.offline_model.dates import american, dates
from stepwire_handlers.offline_model.fields import Field
from stepwire_handlers.offline_model.money import amounts, style
from stepwire_handlers.offline_model.reading import Reading
from stepwire_handlers.offline_model.words import name_words, sentences, stem, tokens

REMARKS = ("remark", "remarks", "correction", "corrections", "feedback", "comment", "comments", "note", "why")
SHOULD = re.compile(
    r"\b(?:should (?:be|read|say)|must be|has to be|is(?! (?:not|wrong|incorrect|missing))|=)\s*|:\s*", re.IGNORECASE
)


def correction(reading: Reading, asked: Field) -> str | None:
    """The value that a remark gives for a field, as text; None if it gives none."""
    wanted = {stem(word) for word in name_words(asked.name)}
    for name in REMARKS:
        said = reading.facts.get(name)
        for line in said if isinstance(said, list) else [said]:
            for sentence in sentences(str(line or "")):
                if wanted & {stem(word) for word in tokens(sentence)} and not sentence.endswith("?"):
                    found = _said(sentence, asked)
                    if found:
                        return found
    return None


def _said(sentence: str, asked: Field) -> str | None:
    claim = SHOULD.search(sentence)
    if claim is None:
        return None
    rest = re.split(r",? (?:not|instead of|rather than)\b", sentence[claim.end() :])[0]
    if asked.type in ("number", "integer"):
        found = amounts(rest, style(sentence))
        return str(found[0].value) if found else None
    days = dates(rest, month_first=american(sentence))
    if days and ("date" in asked.words or asked.schema.get("format") == "date"):
        return days[0].value.isoformat()
    return rest.strip(" .\"'“”") or None

"""Answering: a checked request comes in; the text of the answer, and why it ended there, go out."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stepwire_handlers.offline_model.draft import answer as found_answer
from stepwire_handlers.offline_model.draft import kind_of, write
from stepwire_handlers.offline_model.messages import CHARACTERS_PER_TOKEN, Request, tokens
from stepwire_handlers.offline_model.reading import LABEL, Reading, read
from stepwire_handlers.offline_model.schema import fill


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    text: str
    stop_reason: str  #: end_turn or max_tokens
    output_tokens: int


def answer(request: Request) -> Answer:
    """Compute the answer from what was sent, and from nothing else."""
    reading = read(request.system_text, request.user_texts)
    schema = request.schema
    text = json.dumps(fill(schema, reading), ensure_ascii=False) if schema is not None else _free(reading)
    if tokens(text) > request.max_tokens:
        cut = text[: request.max_tokens * CHARACTERS_PER_TOKEN]
        return Answer(cut, "max_tokens", request.max_tokens)
    return Answer(text, "end_turn", tokens(text))


def _free(reading: Reading) -> str:
    """Free text, with its label: nobody should take it for a large model's."""
    question = reading.value("question") or next(iter(reading.instructions.splitlines()[-1:]), "")
    found = found_answer(reading, question) if question.rstrip().endswith("?") else None
    return f"{found or write(reading, kind_of('', reading.instructions))}\n\n{LABEL}"

"""The Messages API as data: what a request may hold, what answers, errors and streams look like.

JSON comes in and is checked as the provider checks it; JSON and server-sent events go out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MODEL = "offline-model/1"
CHARACTERS_PER_TOKEN = 4
PIECE = 48  # characters in one event of a stream


class Text(BaseModel):
    """A block of text; other kinds of blocks are refused."""

    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    content: Annotated[str, Field(min_length=1)] | Annotated[list[Text], Field(min_length=1)]

    @property
    def text(self) -> str:
        """All it says."""
        return self.content if isinstance(self.content, str) else "\n".join(block.text for block in self.content)


class Format(BaseModel):
    """How the answer must look."""

    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class OutputConfig(BaseModel):
    """What the API knows of the answer's form; other settings are accepted and without effect."""

    model_config = ConfigDict(extra="allow")
    format: Format | None = None


class Counted(BaseModel):
    """What both endpoints take."""

    model_config = ConfigDict(extra="allow")
    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Turn], Field(min_length=1)]
    system: str | list[Text] = ""
    output_config: OutputConfig | None = None

    @property
    def system_text(self) -> str:
        """The system prompt."""
        return self.system if isinstance(self.system, str) else "\n".join(block.text for block in self.system)

    @property
    def user_texts(self) -> list[str]:
        """What the user said, turn by turn."""
        return [turn.text for turn in self.messages if turn.role == "user"]

    @property
    def schema(self) -> dict[str, Any] | None:  # type: ignore[override]
        """What is asked for, if it is asked for by a schema."""
        form = self.output_config.format if self.output_config else None
        return form.json_schema if form else None

    @property
    def input_tokens(self) -> int:
        """Tokens of all that was sent."""
        said = [self.system_text, *(turn.text for turn in self.messages)]
        if self.schema is not None:
            said.append(json.dumps(self.schema))
        return sum(map(tokens, said))


class Request(Counted):
    """A request for an answer."""

    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool = False


def tokens(text: str) -> int:
    """About how many tokens a text is."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def problem(error: ValidationError) -> str:
    """The first thing that is wrong with a request, as the API says it: `max_tokens: Field required`."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"] if not isinstance(part, str) or "[" not in part)
    return f"{where}: {first['msg']}"


def failure(kind: str, message: str, request_id: str) -> dict[str, Any]:
    """The body of an error."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def message(identity: str, text: str, stop_reason: str | None, usage: dict[str, int]) -> dict[str, Any]:
    """The body of an answer."""
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, **usage},
    }


def stream(identity: str, text: str, stop_reason: str, input_tokens: int, output_tokens: int) -> Iterator[str]:
    """The answer as server-sent events."""
    opening = message(identity, "", None, {"input_tokens": input_tokens, "output_tokens": 1})
    yield _event({"type": "message_start", "message": opening})
    yield _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    yield _event({"type": "ping"})
    for at in range(0, len(text), PIECE):
        piece = {"type": "text_delta", "text": text[at : at + PIECE]}
        yield _event({"type": "content_block_delta", "index": 0, "delta": piece})
    yield _event({"type": "content_block_stop", "index": 0})
    ending = {"stop_reason": stop_reason, "stop_sequence": None}
    yield _event({"type": "message_delta", "delta": ending, "usage": {"output_tokens": output_tokens}})
    yield _event({"type": "message_stop"})


def _event(data: dict[str, Any]) -> str:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n"

"""Asking the offline model without a server: a prompt and what is wanted go in, what it says comes out."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import anthropic
from pydantic import BaseModel

from stepwire_handlers.offline_model.answer import answer
from stepwire_handlers.offline_model.messages import Request
from stepwire_handlers.steps.template import DATA_RULE, parse

Asked = TypeVar("Asked", bound=BaseModel)


def ask(prompt: str, *, system: str = "", schema: dict[str, Any] | None = None, **values: Any) -> str:
    """The text of the answer; values are fenced as a prompt file's are."""
    request: dict[str, Any] = {
        "model": "any",
        "max_tokens": 8192,
        "system": f"{system}\n\n{DATA_RULE}",
        "messages": [{"role": "user", "content": parse("test.md", prompt).render(values)}],
    }
    if schema is not None:
        request["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return answer(Request.model_validate(request)).text


def fill(asked: type[Asked], prompt: str, **values: Any) -> Asked:
    """The answer as a model, through the schema that the SDK makes of it."""
    return asked.model_validate_json(ask(prompt, schema=anthropic.transform_schema(asked), **values))


def raw(prompt: str, schema: dict[str, Any], **values: Any) -> Any:
    """The answer to a schema, as JSON."""
    return json.loads(ask(prompt, schema=schema, **values))

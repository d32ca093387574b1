"""JSON of our own records: headers, metas, bodies.

pydantic's encoder is several times as fast as the standard library's, but refuses what a foreign header may hold:
bytes that are no UTF-8, which travel as surrogate escapes. Only then the slow one is used.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json


def dump(data: Any) -> bytes:
    """Compact JSON."""
    try:
        return to_json(data)
    except (PydanticSerializationError, UnicodeEncodeError):
        return json.dumps(data, separators=(",", ":")).encode()


def load(text: str | bytes) -> Any:
    """What `dump` wrote. Raises ValueError."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)

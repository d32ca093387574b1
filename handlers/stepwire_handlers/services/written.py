"""Data as JSON, whatever texts are in it.

In: data. Out: UTF-8. A header on the bus, and so the message of an error, may hold half a surrogate pair: the name of a
file that is no UTF-8, say. It is written as `?`, so that one such record does not hide a whole list.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json


def written(data: Any, indent: int | None = None) -> bytes:
    """JSON, compact unless it is indented."""
    try:
        return to_json(data, indent=indent)
    except (PydanticSerializationError, UnicodeEncodeError):
        marks = (",", ":") if indent is None else (",", ": ")
        return json.dumps(data, ensure_ascii=False, indent=indent, separators=marks).encode("utf-8", "replace")

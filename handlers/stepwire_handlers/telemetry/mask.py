"""Masks what an author marked `Sensitive`, wherever events are shown."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from stepwire.event import sensitive_fields

MASK = "***"
LONG = 500  #: characters of a text that are shown where payloads are redacted


@lru_cache(maxsize=1_024)
def _sensitive(kind: type[BaseModel]) -> frozenset[str]:
    return sensitive_fields(kind)


def masked(value: Any, *, shorten: bool = True) -> Any:
    """Plain data for a log line or a page: sensitive fields masked at any depth, long texts cut if asked."""
    if isinstance(value, str):
        return value if not shorten or len(value) <= LONG else f"{value[:LONG]}… ({len(value)} characters)"
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, BaseModel):
        hidden = _sensitive(type(value))
        return {name: MASK if name in hidden else masked(field, shorten=shorten) for name, field in value}
    if isinstance(value, (list, tuple)):
        return [masked(item, shorten=shorten) for item in value]
    if isinstance(value, dict):
        return {str(name): masked(item, shorten=shorten) for name, item in value.items()}
    return str(value)

"""SQL literals: values put into SQL text, for servers that take nothing but an SQL string.

In: values from events, which anybody may have written.  Out: PostgreSQL text where they can only be values.

Promises: a literal reads as the same value whatever `standard_conforming_strings` says; a value is never
read again for placeholders; what cannot be written as a literal is refused. Where a server takes parameters,
use those instead.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

# Where no placeholder may stand, and where `$1` does not mean a parameter. Comments nest in PostgreSQL, so
# that pattern is greedy; strings, quotes and comments that never end reach to the end of the text.
OPAQUE = re.compile(
    r"""
      \b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)             # E'…' with backslash escapes
    | '(?:[^']|'')*(?:'|\Z)                         # '…'
    | "(?:[^"]|"")*(?:"|\Z)                         # "identifier"
    | (?<![\w$])\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)   # $tag$…$tag$
    | --[^\n]*
    | /\*.*(?:\*/|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_PARAMETER = re.compile(rf"(?P<opaque>{OPAQUE.pattern})|(?<![\w$])\$(?P<number>[1-9]\d*)", OPAQUE.flags)


def literal(value: object) -> str:
    """The PostgreSQL literal of a JSON value: a list becomes an array, a mapping jsonb.

    Raises:
        ValueError: the value has no literal, such as a string with a NUL character.
    """
    match value:
        case None:
            text = "NULL"
        case bool():
            text = "TRUE" if value else "FALSE"
        case int() | float():
            text = _number(value)
        case str():
            text = _quoted(value)
        case Mapping():
            text = f"{_quoted(json.dumps(value))}::jsonb"
        case Sequence():
            text = f"ARRAY[{', '.join(literal(item) for item in value)}]" if value else "'{}'"
        case _:
            raise ValueError(f"a {type(value).__name__} cannot be written as an SQL literal")
    return text


def bind(sql: str, params: Sequence[object]) -> str:
    """SQL text with every `$1`, `$2` … replaced by the literal of its parameter.

    Raises:
        ValueError: a number without a parameter, or a parameter that no number names.
    """
    used: set[int] = set()

    def replace(match: re.Match[str]) -> str:
        if match["opaque"] is not None:
            return match["opaque"]
        number = int(match["number"])
        if number > len(params):
            raise ValueError(f"the SQL text names ${number}, and there are {len(params)} parameters")
        used.add(number)
        return literal(params[number - 1])

    bound = _PARAMETER.sub(replace, sql)
    if len(used) != len(params):
        raise ValueError(f"the SQL text names {len(used)} of {len(params)} parameters (as $1, $2 …, outside of quotes)")
    return bound


def _number(value: float) -> str:
    if not math.isfinite(value):
        return f"'{value}'::float8"
    # After a minus sign, a bare negative number would begin a comment.
    return f"({value!r})" if repr(value).startswith("-") else repr(value)


def _quoted(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a string with a NUL character cannot be written as an SQL literal")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a string with half a surrogate pair cannot be written as an SQL literal")
    doubled = text.replace("'", "''")
    if "\\" not in doubled:
        return f"'{doubled}'"
    # In E'…' a backslash is an escape under every setting of the server; in '…' it depends. The space keeps
    # the E apart from a word before it.
    escaped = doubled.replace("\\", "\\\\")
    return f" E'{escaped}'"

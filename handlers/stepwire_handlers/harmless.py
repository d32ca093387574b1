"""Text from elsewhere on a terminal: an event, an error, a remark or another host's answer moves no cursor there.

In: any text. Out: the same with as many characters. What a terminal would obey is a sign that does nothing: `␛` for an
escape, `�` for what has no sign, and for what turns the writing round. In JSON such a character is escaped, so that
whoever reads it has the same data.
"""

from __future__ import annotations

import re

TURNS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  #: overrides, embeddings and isolates of both directions
HIGH = range(0x80, 0xA0)  #: C1: a terminal may take U+009B for the beginning of an escape sequence
SIGNS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}, 0x7F: 0x2421,
    **dict.fromkeys((*HIGH, *TURNS), 0xFFFD),
}  # fmt: skip
OBEYED = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  #: what JSON leaves as it is


def harmless(text: str) -> str:
    """The text as a person may see it."""
    return text.translate(SIGNS)


def harmless_json(text: str) -> str:
    """JSON that says the same."""
    return OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

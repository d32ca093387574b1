"""An event with files as a form, for a door: what is small in memory, files piece by piece.

In: fields and paths. Out: headers and the pieces of a body. Raises SettingsError for a field that a form cannot hold:
each of its parts is one text.
"""

from __future__ import annotations

import json
import mimetypes
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepwire.errors import SettingsError

CHUNK = 256 * 1024
END = b"\r\n"  #: of a part


class Form:
    """One form.

    Args:
        fields: the event's; texts, numbers and truth values. Null is left out.
        files: (field, path) of each.
    """

    def __init__(self, fields: Mapping[str, Any], files: Sequence[tuple[str, Path]]) -> None:
        self._boundary = secrets.token_hex(16)
        texts = {name: value for name, value in fields.items() if value is not None}
        self._texts = [self._head(name) + _text(name, value) + END for name, value in texts.items()]
        self._files = [(self._head(field, path.name), path, path.stat().st_size) for field, path in files]
        self._last = f"--{self._boundary}--\r\n".encode()

    def _head(self, field: str, file: str = "") -> bytes:
        """The head of a part, as browsers write it."""
        named, kind = "", ""
        if file:
            named = f'; filename="{_quoted(file)}"'
            kind = f"content-type: {mimetypes.guess_type(file)[0] or 'application/octet-stream'}\r\n"
        head = f'--{self._boundary}\r\ncontent-disposition: form-data; name="{_quoted(field)}"{named}\r\n{kind}\r\n'
        return head.encode("utf-8", "replace")

    @property
    def size(self) -> int:
        """Bytes of the body."""
        files = sum(len(head) + size + len(END) for head, _, size in self._files)
        return sum(map(len, self._texts)) + files + len(self._last)

    @property
    def headers(self) -> dict[str, str]:
        """What says how to read it."""
        return {"content-type": f"multipart/form-data; boundary={self._boundary}", "content-length": str(self.size)}

    def pieces(self) -> Iterator[bytes]:
        """The body."""
        yield from self._texts
        for head, path, size in self._files:
            yield head
            left = size  # one that grows meanwhile keeps the length that was said
            with path.open("rb") as file:
                while left > 0 and (piece := file.read(min(CHUNK, left))):
                    left -= len(piece)
                    yield piece
            yield END
        yield self._last


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _text(name: str, value: object) -> bytes:
    if isinstance(value, Mapping | list):
        raise SettingsError(f"{name} is no single value: beside a file a door takes texts, numbers, true and false")
    return (value if isinstance(value, str) else json.dumps(value)).encode()

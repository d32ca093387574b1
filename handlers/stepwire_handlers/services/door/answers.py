"""Answers of door and console that can be sent, whatever texts are in them: what has no UTF-8 is sent as `?`."""

from __future__ import annotations

from typing import Any

from starlette.responses import HTMLResponse, JSONResponse

from stepwire_handlers.services.written import written


class Json(JSONResponse):
    """An answer of data."""

    def render(self, content: Any) -> bytes:
        """As bytes."""
        return written(content)


class Html(HTMLResponse):
    """A page."""

    def render(self, content: Any) -> bytes:
        """As bytes."""
        return str(content).encode("utf-8", "replace")

"""What a failed call means for whoever asked: tool errors whose text begins with a code.

`NotHappened` is a promise: the back end surely did nothing. Its codes say what to do about that:

    rejected          never ask again
    retry-later 7.5   ask again, not before 7.5 seconds
    not-done          ask again

`MaybeHappened` is the honest rest: `unknown-outcome`. `steps.tool_errors` reads the codes, and so do people.
"""

from __future__ import annotations

from typing import Literal

from mcp.server.mcpserver.exceptions import ToolError


class NotHappened(ToolError):
    """The back end surely did nothing.

    Args:
        code: what the asker should do.
        message: what happened, without the content of the call.
        seconds: with `retry-later`: how long to wait at least.
    """

    def __init__(
        self, code: Literal["rejected", "retry-later", "not-done"], message: str, seconds: float = 5.0
    ) -> None:
        wait = f" {seconds:g}" if code == "retry-later" else ""
        super().__init__(f"{code}{wait}: {message}")


class MaybeHappened(ToolError):
    """Nobody knows whether the back end did it."""

    def __init__(self, message: str) -> None:
        super().__init__(f"unknown-outcome: {message}")

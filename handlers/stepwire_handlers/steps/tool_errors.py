"""What can go wrong with a tool call, and what each case means for the event.

    ToolError
    ├── ToolRefused         never sent: unknown tool, arguments that do not fit, not allowed   Reject
    ├── ToolUnreachable     no connection: nothing was sent                                    NotDone
    ├── ToolFailed          the server answered that the tool failed                           by its code
    ├── ToolOutcomeUnknown  it was sent, and nobody knows what came of it                      Transient, None
    └── InvalidToolAnswer   it was done, but the answer is not what was asked for              None

In: the text of a tool's error result.  Out: the exception for it, and the kernel's signal for an exception.

A server may say what its error means by the first word of the text; any language can write it:

    rejected: …         never try this again                 Reject
    retry-later 7.5: …  not done; not before 7.5 seconds     RetryLater
    not-done: …         surely not done                      NotDone
    unknown-outcome: …  perhaps done, perhaps not            None: a few attempts, then a person

An error without such a word may have been half done: `Transient`, which `effect="once"` parks for a person.
"""

from __future__ import annotations

import re
from typing import Literal, cast

from stepwire.errors import NotDone, Reject, RetryLater, Signal, StepwireError, Transient

Code = Literal["failed", "rejected", "retry-later", "not-done"]

_SDK_WORDS = re.compile(r"Error executing tool \S+: ")  # it puts them before a message that a tool raises
_CODED = re.compile(
    r"(?P<code>rejected|retry-later|not-done|unknown-outcome)"
    r"(?: (?P<seconds>\d+(?:\.\d+)?))?: (?P<message>.*)",
    re.DOTALL,
)
_DEFAULT_WAIT = 5.0  # seconds; for a `retry-later` that does not say how long
_LONGEST_TEXT = 500  # characters of a server's message that are kept; the rest is in the server's own log


class ToolError(StepwireError):
    """A tool call did not give what was asked for."""

    def __init__(self, tool: str, reason: str) -> None:
        super().__init__(tool, reason)
        self.tool, self.reason = tool, reason

    def __str__(self) -> str:
        return f"tool {self.tool}: {self.reason}"


class ToolRefused(ToolError):
    """The call was not sent, because it cannot be right: repeating it would not help."""


class ToolUnreachable(ToolError):
    """There is no connection to the tool's server: nothing was sent."""


class ToolFailed(ToolError):
    """The server answered that the tool failed.

    Args:
        tool: name of the tool, as the flow has it.
        reason: the server's message.
        code: what the server says about it; `failed` if it says nothing.
        seconds: with `retry-later`: how long to wait at least.
    """

    def __init__(self, tool: str, reason: str, code: Code = "failed", seconds: float = 0.0) -> None:
        super().__init__(tool, reason)
        self.args = (tool, reason, code, seconds)  # all arguments, so that it pickles
        self.code: Code = code
        self.seconds = seconds


class ToolOutcomeUnknown(ToolError):
    """The call was sent, and it is not known whether the tool did it.

    Args:
        tool: name of the tool, as the flow has it.
        reason: how the answer was lost.
        said_by: `server` if the server itself does not know, because the key of the call is claimed and
            has no answer. It says the same again until a person has looked.
    """

    def __init__(self, tool: str, reason: str, said_by: Literal["connection", "server"] = "connection") -> None:
        super().__init__(tool, reason)
        self.args = (tool, reason, said_by)
        self.said_by = said_by


class InvalidToolAnswer(ToolError):
    """The tool did it, and its answer fits neither the flow nor, perhaps, the server's own schema."""


def failure(tool: str, text: str) -> ToolFailed | ToolOutcomeUnknown:
    """The exception for a tool's error result.

    Args:
        tool: name of the tool, as the flow has it.
        text: the text of the result, perhaps with a code before it.
    """
    text = _SDK_WORDS.sub("", text, count=1) if _SDK_WORDS.match(text) else text
    coded = _CODED.match(text)
    if coded is None:
        return ToolFailed(tool, _short(text) or "the server gave no reason")
    message = _short(coded["message"])
    if coded["code"] == "unknown-outcome":
        return ToolOutcomeUnknown(tool, message, said_by="server")
    return ToolFailed(tool, message, cast("Code", coded["code"]), float(coded["seconds"] or _DEFAULT_WAIT))


def signal_of(error: Exception) -> Signal | None:
    """What an exception of a tool call means for the event; None leaves it to the kernel's own rule."""
    signal: Signal | None = None
    match error:
        case ToolRefused() | ToolFailed(code="rejected"):
            signal = Reject(str(error))
        case ToolUnreachable() | ToolFailed(code="not-done"):
            signal = NotDone(str(error))
        case ToolFailed(code="retry-later"):
            signal = RetryLater(error.seconds, str(error))
        case ToolFailed() | ToolOutcomeUnknown(said_by="connection"):
            signal = Transient(str(error))
        case _:
            # An outcome the server does not know, and an answer that does not fit, do not change by asking
            # again and again. And they are not "not done", so they must never become a Reject.
            signal = None
    return signal


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"

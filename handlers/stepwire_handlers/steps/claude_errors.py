"""What went wrong with a model call: the SDK's error comes in, a signal for the kernel goes out.

Pure, and without the SDK: it looks only at what an error carries (status, type, code, headers).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import ValidationError

from stepwire.errors import Reject, RetryLater, Signal, Transient

LONGEST_WAIT = 600.0  # a provider may say an hour; after ten minutes it is worth asking again
PASSING_TYPES = ("overloaded_error", "api_error", "rate_limit_error", "timeout_error")
NO_KEY = (
    "no key for Claude. Set ANTHROPIC_API_KEY; or set ANTHROPIC_BASE_URL to run against the offline model, "
    "which `stepwire offline-model` starts and whose address it prints"
)


class InvalidAnswer(Reject):
    """No model of the chain gave a usable answer. The message never holds the answer itself."""


class Refused(InvalidAnswer):
    """A model declined to answer."""


def status_signal(error: Any, said: str) -> Signal:
    """An answer with an error status, or an error in the middle of a stream, which has status 200.

    Args:
        error: the SDK's APIStatusError.
        said: what the server said, without secrets.
    """
    kind, why = f" {error.type}" if error.type else "", f": {said}" if said else ""
    request = f" (request {error.request_id})" if error.request_id else ""
    reason = f"Claude answered {error.status_code}{kind}{why}{request}"
    if error.status_code in (401, 403):
        return Reject(f"{reason}. Check the key in ANTHROPIC_API_KEY")
    if not _passing(error):
        return Reject(reason)
    seconds = retry_after(error.response.headers)
    return Transient(reason) if seconds is None else RetryLater(min(seconds, LONGEST_WAIT), reason)


def exchange_signal(error: Any) -> Signal:
    """The exchange of a workload's identity for a token failed.

    Args:
        error: the SDK's WorkloadIdentityError; without a status if nobody answered.
    """
    status = error.status_code
    if status is None or status in (408, 429) or status >= 500:
        return Transient(f"the exchange of this workload's identity failed (status {status})")
    return Reject(f"this workload's identity was refused (status {status}). Check the rule that lets it in")


def next_model_may_help(error: Any) -> bool:
    """Is it this one model's trouble: retired, overloaded, failing or slow?"""
    status = getattr(error, "status_code", None)
    if status is None:
        return type(error).__name__ == "APITimeoutError"  # any other lost connection, the next would lose too
    if status < 400:
        return error.type in PASSING_TYPES and error.type != "rate_limit_error"
    return status in (404, 408) or status >= 500


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, or None if the server does not say, or not so that one understands it."""
    said = headers.get("retry-after", "")
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000 if "retry-after-ms" in headers else float(said))
    except ValueError:
        pass  # then it is a date, or nothing
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def unfit(error: ValueError) -> tuple[str, str]:
    """What is wrong with an answer: for messages, without a word of it; and for the model, in full."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)
        places = [".".join(str(part) for part in item["loc"]) or "the whole" for item in found]
        return (
            "; ".join(f"{place}: {item['type']}" for place, item in zip(places, found, strict=True)),
            "; ".join(f"{place}: {item['msg']}" for place, item in zip(places, found, strict=True)),
        )
    if isinstance(error, json.JSONDecodeError):
        return "not JSON", f"not JSON: {error.msg} at character {error.pos}"
    return str(error), str(error)


def _passing(error: Any) -> bool:
    """May the same request succeed later? What the server says of it comes first."""
    if error.error_code and "spend_limit" in error.error_code:
        return False
    if error.status_code < 400:
        return error.type in PASSING_TYPES
    asked = error.response.headers.get("x-should-retry")
    if asked in ("true", "false"):
        return bool(asked == "true")
    return bool(error.status_code in (408, 409, 429) or error.status_code >= 500)

"""What a browser keeps for the console and cannot change: a kind, data and an end, signed with HMAC-SHA256.

In: data that is JSON. Out: text for a cookie, and the data again while its signature and its end hold. Signed, not
encrypted: whoever has the browser can read it. The kind is signed too, so one cookie never passes for another.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any


class Seal:
    """Signs and verifies.

    Args:
        secret: whoever has it can write any cookie.
        now: seconds since the epoch.
    """

    def __init__(self, secret: bytes, now: Callable[[], float] = time.time) -> None:
        self._secret, self.now = secret, now

    def signature(self, told: str) -> str:
        """Of a text."""
        return hmac.new(self._secret, told.encode(), hashlib.sha256).hexdigest()

    def holds(self, told: str, signature: str) -> bool:
        """Is it the signature of this text? Takes as long for a wrong one."""
        return hmac.compare_digest(signature.encode(), self.signature(told).encode())

    def close(self, kind: str, data: Mapping[str, Any], life: float) -> str:
        """Data as text that counts for `life` seconds."""
        body = json.dumps({**data, "until": self.now() + life}, separators=(",", ":")).encode()
        told = f"{kind}.{urlsafe_b64encode(body).rstrip(b'=').decode()}"  # with = the cookie would need quotes
        return f"{told}.{self.signature(told)}"

    def open(self, kind: str, text: str) -> dict[str, Any] | None:
        """The data of a text that was closed as this kind and has not ended; else None."""
        told, _, signature = text.rpartition(".")
        if not told.startswith(f"{kind}.") or not self.holds(told, signature):
            return None
        data: dict[str, Any] = json.loads(urlsafe_b64decode(told.partition(".")[2] + "=="))
        return data if data["until"] > self.now() else None

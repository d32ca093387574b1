"""JSON Web Tokens of an OIDC issuer, verified with the keys that it publishes.

In: a token. Out: its claims. Raises Problem: 401 for a token that does not hold, 503 when the issuer's keys cannot be
had. Keys are fetched in a thread, kept for `LIFE`, and asked for anew at most every `PAUSE`, so that tokens with made-
up key ids are no load on the issuer. An issuer that is away harms nobody while its last keys are known.
"""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from collections.abc import Mapping
from typing import Any

import jwt
from anyio.to_thread import run_sync

from stepwire_handlers.services.door.access import Oidc, safe_address
from stepwire_handlers.services.door.problems import Problem, unavailable

LIFE = 300.0  #: seconds until keys are looked at again: an issuer that takes a key back is believed within five minutes
PAUSE = 10.0  #: seconds between two questions to the issuer
PATIENCE = 5.0  #: seconds for its answer
MOST = 1024 * 1024  #: bytes of its answer
REASONS: Mapping[type[Exception], str] = {  # what people meet; the rest is told by its name
    jwt.InvalidAudienceError: "it is meant for somebody else (aud)", jwt.ExpiredSignatureError: "it has expired",
    jwt.InvalidIssuerError: "it is from another issuer (iss)", jwt.InvalidSignatureError: "its signature is wrong",
}  # fmt: skip
CHALLENGE = {"www-authenticate": 'Bearer realm="stepwire", error="invalid_token"'}


def refused(why: str) -> Problem:
    """401; the reason never holds the token."""
    return Problem(401, "unauthorized", why, headers=CHALLENGE)


class Tokens:
    """Verifies the tokens of one issuer."""

    def __init__(self, oidc: Oidc) -> None:
        self._oidc, self._lock = oidc, asyncio.Lock()
        self._keys: list[jwt.PyJWK] = []
        self._asked = float("-inf")
        self._known = float("-inf")

    async def claims(self, token: str) -> Mapping[str, Any]:
        """What a token says, once everything about it holds."""
        try:
            head = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise refused("the bearer token is no JWT") from None
        if head.get("alg") not in self._oidc.algorithms:
            raise refused(f"the token is not signed with one of {', '.join(self._oidc.algorithms)}")
        key = await self._key(head.get("kid"))
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token, key, algorithms=[*self._oidc.algorithms], audience=self._oidc.audience,
                issuer=self._oidc.issuer, leeway=self._oidc.leeway, options={"require": ["exp", "iss", "aud"]},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise refused(f"the token does not hold: {REASONS.get(type(error), type(error).__name__)}") from None
        return claims

    async def _key(self, kid: object) -> jwt.PyJWK:
        now = asyncio.get_running_loop().time()
        found = self._find(kid)
        if found is None or now - self._known > LIFE:
            async with self._lock:
                if now >= self._asked:  # nobody asked while this waited for its turn
                    await self._refresh()
            found = self._find(kid)
        if not self._keys:
            raise unavailable("the issuer of your token cannot be reached to verify it")
        if found is None:
            raise refused("the token is signed with a key that the issuer does not publish")
        return found

    def _find(self, kid: object) -> jwt.PyJWK | None:
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == kid), None)

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked < PAUSE:
            return
        self._asked = loop.time()
        try:
            data = await run_sync(self._fetched)
            self._keys = [*jwt.PyJWKSet.from_dict(data).keys]
            self._known = loop.time()
        except (OSError, ValueError, TypeError, AttributeError, KeyError, jwt.PyJWTError) as error:
            logging.getLogger("stepwire").warning("keys of %s: %s", self._oidc.issuer, type(error).__name__)

    def _fetched(self) -> dict[str, Any]:
        address = self._oidc.jwks
        if address is None:
            address = _get(self._oidc.issuer.rstrip("/") + "/.well-known/openid-configuration")["jwks_uri"]
        return _get(address)


def _get(url: str) -> dict[str, Any]:
    """A JSON object. Raises OSError, ValueError."""
    with urllib.request.urlopen(safe_address(url), timeout=PATIENCE) as answer:  # noqa: S310 - its kind was looked at
        data = json.loads(answer.read(MOST))
    if not isinstance(data, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - it is the issuer's data, not our type
    return data

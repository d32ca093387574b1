"""JSON Web Tokens of an OIDC issuer, verified with the keys that it publishes.

In: a token. Out: its claims. Raises Problem: 401 for a token that does not hold, 503 when the issuer's keys cannot be
had. Keys are fetched in a thread, kept for `LIFE`, and asked for anew at most every `PAUSE`, so that tokens with made-
up key ids are no load on the issuer. An issuer that is away, or hangs, harms nobody while its last keys are known: one
request waits for it, the others for none.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

import jwt
from anyio.to_thread import run_sync

from stepwire_handlers.services.door.access import Oidc, safe_address
from stepwire_handlers.services.door.problems import Problem, unavailable

LIFE = 300.0  #: seconds until keys are looked at again: an issuer that takes a key back is believed within five minutes
PAUSE = 10.0  #: seconds between two questions to the issuer
PATIENCE = 5.0  #: seconds for its answer, from connecting to its last byte; it may have to say first where its keys are
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
        self._oidc = oidc
        self._keys: list[jwt.PyJWK] = []
        self._asking: asyncio.Task[None] | None = None
        self._asked = self._known = float("-inf")
        self._away = False  #: did the last question come to nothing?

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
        found = self._find(kid)
        if found is None or asyncio.get_running_loop().time() - self._known > LIFE:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._refresh())
            if found is None or not self._away:
                await asyncio.shield(self._asking)
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
        try:
            async with asyncio.timeout(2 * PATIENCE):
                data = await run_sync(self._fetched, abandon_on_cancel=True)
            self._keys = [*jwt.PyJWKSet.from_dict(data).keys]
            self._known, self._away = loop.time(), False
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError, jwt.PyJWTError) as error:
            self._away = True
            logging.getLogger("stepwire").warning("keys of %s: %s", self._oidc.issuer, type(error).__name__)
        finally:
            self._asked = loop.time()

    def _fetched(self) -> dict[str, Any]:
        address = self._oidc.jwks
        if address is None:
            address = _get(self._oidc.issuer.rstrip("/") + "/.well-known/openid-configuration")["jwks_uri"]
        return _get(address)


class _Safe(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to where an address in the access file may lead."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Raises ValueError."""
        try:
            return super().redirect_request(req, fp, code, msg, headers, safe_address(newurl))
        except ValueError:
            fp.close()  # nobody else would
            raise


def _get(url: str) -> dict[str, Any]:
    """A JSON object. Raises OSError, ValueError."""
    body, end = b"", time.monotonic() + PATIENCE
    with urllib.request.build_opener(_Safe).open(safe_address(url), timeout=PATIENCE) as answer:
        while piece := answer.read1(MOST):
            body += piece
            if len(body) > MOST or time.monotonic() > end:
                raise OSError("too large, or too slow")
    data = json.loads(body)
    if not isinstance(data, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - it is the issuer's data, not our type
    return data

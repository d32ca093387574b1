"""The issuer that people log in at: an authorization code with PKCE becomes claims that hold.

In: what one login began with, and the code that the browser brings back. Out: the issuer's address to send the browser
to; verified claims. Raises Problem: 503 if the issuer does not answer within `PATIENCE`, 502 if it answers what no
issuer should or does not take this console for its client, 401 if the code or the id token does not hold.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx2

from stepwire_handlers.services.door.access import Login, Oidc, safe_address
from stepwire_handlers.services.door.problems import Problem, unavailable
from stepwire_handlers.services.door.tokens import Tokens, refused

PATIENCE = 5.0  #: seconds for one answer of the issuer, from connecting to its last byte
LIFE = 300.0  #: seconds until its description is asked for again
PAUSE = 2.0  #: seconds between two questions to an issuer that did not answer
MOST = 1024 * 1024  #: bytes of an answer
BACK = "/login/callback"  #: where the issuer sends the browser
CODE = re.compile(r"[a-z_]{1,40}")  #: an error of OAuth that may be logged


@cache
def _trust() -> ssl.SSLContext:
    """The system's certificates, as for the issuer's keys; to read them takes long."""
    return ssl.create_default_context()


class Begun(NamedTuple):
    """What a login begins with; all three are random and used once."""

    state: str
    nonce: str
    verifier: str


class Endpoints(NamedTuple):
    """What of the issuer's description is used."""

    authorization: str
    token: str
    basic: bool  #: the secret goes into a header, else into the form


class Issuer:
    """An OIDC issuer at which this console is a client.

    Args:
        oidc: the issuer, its keys and claims.
        login: what the console is called there.
        secret: of the client; empty: a public client, which PKCE alone protects.
    """

    def __init__(self, oidc: Oidc, login: Login, secret: str) -> None:
        self.oidc, self.login, self._secret = oidc, login, secret
        self.host = urlsplit(oidc.issuer).netloc
        self._tokens = Tokens(oidc.model_copy(update={"audience": login.client}))
        self._trust = _trust()
        self._lock = asyncio.Lock()
        self._known: Endpoints | None = None
        self._asked = self._until = float("-inf")

    async def address(self, begun: Begun) -> str:
        """Where the browser logs in."""
        endpoint = (await self._endpoints()).authorization
        challenge = urlsafe_b64encode(sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": self.login.client, "redirect_uri": self.login.url + BACK,
            "scope": " ".join(self.login.scopes), "state": begun.state, "nonce": begun.nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return endpoint + ("&" if urlsplit(endpoint).query else "?") + urlencode(asked)

    async def claims(self, code: str, begun: Begun) -> Mapping[str, Any]:
        """Whom a code stands for."""
        endpoints = await self._endpoints()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.login.url + BACK,
                "code_verifier": begun.verifier}  # fmt: skip
        auth = None
        if self._secret and endpoints.basic:
            auth = httpx2.BasicAuth(quote_plus(self.login.client), quote_plus(self._secret))  # RFC 6749, 2.3.1
        else:
            form |= {"client_id": self.login.client} | ({"client_secret": self._secret} if self._secret else {})
        status, said = await self._ask("POST", endpoints.token, data=form, auth=auth)
        if status != 200:
            raise self._no_token(status, said.get("error"))
        token = said.get("id_token")
        if not isinstance(token, str):
            raise self._odd("its answer to the code has no id_token; is openid among the scopes?")
        return await self._verified(token, begun.nonce)

    async def _verified(self, token: str, nonce: str) -> Mapping[str, Any]:
        claims = await self._tokens.claims(token)
        given, party = claims.get("nonce"), claims.get("azp", self.login.client)
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise refused("the token belongs to another login (nonce)")
        if party != self.login.client:
            raise refused("the token was made for another client (azp)")
        return claims

    async def _endpoints(self) -> Endpoints:
        """As the issuer describes itself; while it is away, as it last did."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now >= self._until and now - self._asked >= PAUSE:
                try:
                    self._known = await self._described()
                    self._until = now + LIFE
                except Problem:
                    if self._known is None:
                        raise
                finally:  # who waited for this answer is not made to wait for another one
                    self._asked = asyncio.get_running_loop().time()
            if self._known is None:
                raise self._away()
            return self._known

    async def _described(self) -> Endpoints:
        status, said = await self._ask("GET", self.oidc.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if status != 200:
            raise self._odd(f"its /.well-known/openid-configuration is answered with {status}")
        if said.get("issuer") != self.oidc.issuer:
            raise self._odd("it calls itself by another name than [oidc] issuer; copy the name exactly")
        try:
            authorization, token = (safe_address(said[f"{name}_endpoint"]) for name in ("authorization", "token"))
        except (KeyError, ValueError, TypeError, AttributeError):
            raise self._odd("it does not name its authorization_endpoint and token_endpoint with https://…") from None
        ways = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Endpoints(authorization, token, basic=not isinstance(ways, list) or "client_secret_basic" in ways)

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON object. Raises Problem 502, 503."""
        try:
            async with (
                asyncio.timeout(PATIENCE),
                httpx2.AsyncClient(verify=self._trust, timeout=PATIENCE, follow_redirects=False) as client,
                client.stream(method, url, headers={"accept": "application/json"}, **more) as answer,
            ):
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MOST:
                        raise self._odd("its answer is larger than any issuer's")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:  # a TimeoutError is an OSError
            logging.getLogger("stepwire").warning("issuer %s: %s", self.oidc.issuer, type(error).__name__)
            raise self._away() from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise self._away()
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            if answer.status_code == 200:
                raise self._odd("its answer is no JSON object")
            said = {}
        return answer.status_code, said

    def _no_token(self, status: int, error: object) -> Problem:
        if error == "invalid_grant":
            return refused("the issuer takes the code no more: it was used, or waited too long")
        known = error if isinstance(error, str) and CODE.fullmatch(error) else f"status {status}"
        return self._odd(f"it does not give this console a token ({known}); compare client and secret with it")

    def _away(self) -> Problem:
        return unavailable(f"{self.host} does not answer, so nobody can log in with it now; try again in a moment")

    def _odd(self, why: str) -> Problem:
        logging.getLogger("stepwire").warning("issuer %s: %s", self.oidc.issuer, why)
        return Problem(502, "bad-gateway", f"{self.host} cannot log you in; tell whoever runs the console: {why}")

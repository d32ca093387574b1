"""An OIDC issuer on this machine: discovery, authorization, tokens and keys over real HTTP, with a real RSA key.

In: a console's requests. Out: what an issuer answers, or what a test makes it answer. It is as strict as a real one: a
code counts once, for its own redirect address, client, secret and PKCE verifier.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

OWN, STRANGE = (rsa.generate_private_key(65537, 2048) for _ in range(2))
CLIENT, SECRET = "stepwire console", "s3cr:et/+?"  # both need escaping in a header


class Issuer:
    """One that listens."""

    def __init__(self) -> None:
        self.person: dict[str, Any] = {"sub": "ann"}  #: claims beside those of every id token; None: left out
        self.description: dict[str, Any] = {}  #: what differs in its description
        self.denies = ""  #: an error instead of a code
        self.signs = OWN
        self.secret = SECRET
        self.hangs = threading.Event()
        self.hangs.set()  # cleared: it takes requests and does not answer
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _pages(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        """It is away."""
        self.hangs.set()
        self._server.shutdown()
        self._server.server_close()

    def describe(self) -> dict[str, Any]:
        """Its discovery document."""
        found = {name: f"{self.url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        return {"issuer": self.url, **found, **self.description}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where a person who agrees is sent."""
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT and "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        said = {"error": self.denies, "error_description": "<b>no</b>"} if self.denies else {"code": code}
        return asked["redirect_uri"] + "?" + urlencode({**said, "state": asked["state"]})

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """A token for a code."""
        name, given = form.get("client_id", ""), form.get("client_secret", "")
        if authorization:
            name, given = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
            name, given = unquote_plus(name), unquote_plus(given)
        if (name, given) != (CLIENT, self.secret):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"], None)
        hashed = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
        if asked is None or (asked["redirect_uri"], asked["code_challenge"]) != (form["redirect_uri"], challenge):
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": self.token(asked["nonce"])}

    def token(self, nonce: str) -> str:
        """An id token, as it should be unless `person` says otherwise."""
        now = time.time()
        said = {"iss": self.url, "aud": CLIENT, "exp": now + 60, "iat": now, "nonce": nonce, **self.person}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self.signs, algorithm="RS256", headers={"kid": "one"})


def _pages(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorization_endpoint":
                self.send_response(302)
                self.send_header("location", issuer.authorize(dict(parse_qsl(parts.query))))
                self.end_headers()
            elif parts.path == "/jwks_uri":
                public = jwt.algorithms.RSAAlgorithm.to_jwk(OWN.public_key(), as_dict=True)
                self._answer(200, {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]})
            else:
                self._answer(200, issuer.describe())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer(*issuer.exchange(dict(parse_qsl(body)), self.headers.get("authorization", "")))

        def _answer(self, status: int, data: dict[str, Any]) -> None:
            issuer.asked.append(urlsplit(self.path).path)
            issuer.hangs.wait()
            with suppress(ConnectionError):  # who asked has left
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(data).encode())

        def log_message(self, *_: Any) -> None:
            """Silent."""

    return Pages

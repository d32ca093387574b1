"""Logging in at the issuer: from the link on the login page to a session.

In: the browser's two requests, the one that goes and the one that comes back. Out: redirects. State, nonce and verifier
lie meanwhile in a signed cookie of that browser, so a link that somebody else made or caught opens nothing here.
Raises Problem with what to do; no text of the issuer's or of the address is ever repeated on a page.
"""

from __future__ import annotations

import hmac
import secrets

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stepwire_handlers.services.console.issuer import Begun, Issuer
from stepwire_handlers.services.console.session import LARGEST, Sessions
from stepwire_handlers.services.door.identity import Caller, named
from stepwire_handlers.services.door.places import Places
from stepwire_handlers.services.door.problems import Problem, unavailable

START = "/login/oidc"
COOKIE, KIND = "stepwire_console_login", "login"
LIFE = 600.0  #: seconds from the link to the way back; people look for their second factor
LONGEST = 4_096  #: characters of a code


class SignIn:
    """One issuer's logins.

    Args:
        issuer: where people log in.
        sessions: what they get.
        places: somebody without a role in any of these gets no session.
    """

    def __init__(self, issuer: Issuer, sessions: Sessions, places: Places) -> None:
        self._issuer, self._sessions, self._places = issuer, sessions, places
        self.host = issuer.host

    async def go(self, then: str) -> Response:
        """To the issuer; afterwards to `then`, a path of this console. Raises Problem 502, 503."""
        begun = Begun(*(secrets.token_urlsafe(32) for _ in Begun._fields))
        response = RedirectResponse(await self._issuer.address(begun), 303)
        text = self._sessions.seal.close(KIND, {**begun._asdict(), "then": then}, LIFE)
        if len(text) > LARGEST:
            text = self._sessions.seal.close(KIND, {**begun._asdict(), "then": "/"}, LIFE)
        response.set_cookie(
            COOKIE, text, max_age=int(LIFE), path="/login", httponly=True, samesite="lax",
            secure=self._issuer.login.url.startswith("https:"),
        )  # fmt: skip
        return response

    def begun(self, request: Request) -> tuple[Begun, str]:
        """What this browser began, and where it wants to go. Raises Problem 400 if it began nothing that fits."""
        data = self._sessions.seal.open(KIND, request.cookies.get(COOKIE, ""))
        state = request.query_params.get("state", "")
        if data is None or not hmac.compare_digest(state.encode(), data["state"].encode()):
            raise Problem(
                400, "bad-request", "this login was not begun in this browser, took longer than ten minutes, "
                f"or another one was begun since; begin again at {self._issuer.login.url}"
            )  # fmt: skip
        return Begun(data["state"], data["nonce"], data["verifier"]), data["then"]

    async def back(self, request: Request) -> Response:
        """From the issuer. Raises Problem 400, 401, 403, 502, 503."""
        begun, then = self.begun(request)
        code = self._code(request)
        user, groups = named(self._issuer.oidc, await self._issuer.claims(code, begun))
        response = RedirectResponse(then, 303)
        caller = self._sessions.begin_person(request, user, groups, self._issuer.login.session, response)
        self._refuse_without_role(caller)
        forget(response)
        return response

    def _code(self, request: Request) -> str:
        asked = request.query_params
        if asked.get("iss", self._issuer.oidc.issuer) != self._issuer.oidc.issuer:
            raise Problem(400, "bad-request", "another issuer sent you here; begin again")
        if (error := asked.get("error")) is not None:
            if error == "access_denied":
                raise Problem(403, "forbidden", f"{self.host} did not let you in: you or its rules said no")
            if error in ("temporarily_unavailable", "server_error"):
                raise unavailable(f"{self.host} cannot log anybody in now; try again in a moment")
            raise Problem(400, "bad-request", f"{self.host} ended this login; begin again")
        code = asked.get("code", "")
        if not code or len(code) > LONGEST:
            raise Problem(400, "bad-request", f"{self.host} sent you back without a code; begin again")
        return code

    def _refuse_without_role(self, caller: Caller) -> None:
        if not any(caller.may("viewer", place.app.name) for place in self._places.all):
            raise Problem(
                403, "forbidden", f"{caller.name} is known but has no role here; whoever runs the console gives one "
                "by grants to your name or to a group of yours in the access file"
            )  # fmt: skip


def forget(response: Response) -> None:
    """A login is over, well or badly: what it began with counts no more in this browser."""
    response.delete_cookie(COOKIE, path="/login")

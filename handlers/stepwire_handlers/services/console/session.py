"""Who is logged in: a signed cookie that names a key of the access file by its hash, and whether a form is our own.

In: a request. Out: a `Caller`, or None. The cookie holds no key. It is read against the access file again with each
request, so a key that was taken out of the file is out after the restart that reads the file, whatever cookies say.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from stepwire_handlers.services.door.access import Access, hashed
from stepwire_handlers.services.door.identity import Caller, Identity
from stepwire_handlers.services.door.problems import Problem

COOKIE = "stepwire_console"
LIFE = 12 * 3_600  #: seconds; a working day
LONGEST = 512  #: characters of a key that are looked at


class Sessions:
    """Logs people in and knows them again.

    Args:
        access: None: everybody is let in, which start-up warned of.
        secret: signs cookies; whoever has it can be anybody.
    """

    def __init__(self, access: Access | None, secret: bytes) -> None:
        self._access, self._secret, self._identity = access, secret, Identity(access)

    @property
    def needs_login(self) -> bool:
        """Does anybody have to say who they are?"""
        return self._access is not None

    async def of(self, request: Request) -> Caller | None:
        """Who asks; None: nobody that is known. A header of a proxy, a key or a token counts as at the door."""
        if self._access is None:
            return await self._identity.of(request)
        if (cookie := request.cookies.get(COOKIE)) and (caller := self._by_cookie(self._access, cookie)):
            return caller
        try:
            return await self._identity.of(request)
        except Problem as problem:
            if problem.status == 401:
                return None
            raise

    def begin(self, request: Request, key: str, response: Response) -> bool:
        """Log in with a key; False if there is no such key."""
        mine = hashed(key.strip()[:LONGEST])
        keys = self._access.keys if self._access else ()
        if not [each for each in keys if hmac.compare_digest(each.hash, mine)]:
            return False
        told = f"{mine.partition(':')[2]}.{int(time.time()) + LIFE}"
        response.set_cookie(
            COOKIE, f"{told}.{self._signed(told)}", max_age=LIFE, httponly=True, samesite="lax",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return True

    def _by_cookie(self, access: Access, cookie: str) -> Caller | None:
        told, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signed(told).encode()):
            return None
        digest, _, until = told.partition(".")
        if int(until) < time.time():
            return None
        found = next((key for key in access.keys if key.hash == f"sha256:{digest}"), None)
        return None if found is None else Caller(f"key:{found.name}", found.roles, found.rate)

    def _signed(self, told: str) -> str:
        return hmac.new(self._secret, told.encode(), hashlib.sha256).hexdigest()


def refuse_foreign_forms(request: Request) -> None:
    """A form is sent by our own page or not at all: the browser says whose it is. Raises Problem 403."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = site == "same-origin" if site is not None else urlsplit(origin or "").netloc == request.headers.get("host")
    if not own:
        raise Problem(403, "forbidden", "this form was not sent by a page of this console; open the page and try again")

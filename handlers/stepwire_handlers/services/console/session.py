"""Who is logged in: a signed cookie that names a key by its hash or a person by name, and whether a form is our own.

In: a request. Out: a `Caller`, or None. The cookie holds no key and no token. Roles are read from the access file with
each request, so a key or a grant that was taken out of the file is out as soon as the file is read again, whatever
cookies say.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from stepwire_handlers.services.console.seal import Seal
from stepwire_handlers.services.door.access import Access, hashed
from stepwire_handlers.services.door.identity import Caller, Identity, trusted
from stepwire_handlers.services.door.problems import Problem

COOKIE = "stepwire_console"
PERSON = "person"  #: the kind of a cookie that names a person; one that names a key begins with the key's hash
LIFE = 12 * 3_600  #: seconds; a working day
LONGEST = 512  #: characters of a key that are looked at
LARGEST = 3_500  #: characters of a cookie; browsers drop one of 4,096 with its name and attributes


class Sessions:
    """Logs people in and knows them again.

    Args:
        access: None: everybody is let in, which start-up warned of.
        secret: signs cookies; whoever has it can be anybody.
    """

    def __init__(self, access: Access | None, secret: bytes) -> None:
        self._access, self._identity = access, Identity(access)
        self.seal = Seal(secret)

    def renew(self, access: Access) -> None:
        """Judge cookies and credentials by another access file from now on."""
        self._access = access
        self._identity.renew(access)

    @property
    def needs_login(self) -> bool:
        """Does anybody have to say who they are?"""
        return self._access is not None

    @property
    def takes_keys(self) -> bool:
        """Is there a key that somebody could log in with?"""
        return self._access is not None and bool(self._access.keys)

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
        told = f"{mine.partition(':')[2]}.{int(self.seal.now()) + LIFE}"
        self._set(request, response, f"{told}.{self.seal.signature(told)}", LIFE)
        return True

    def begin_person(
        self, request: Request, user: str, groups: Sequence[str], life: float, response: Response
    ) -> Caller:
        """Log in whom the issuer named, for `life` seconds. Raises Problem 403 if no cookie can hold the name."""
        assert self._access is not None
        granted = [group for group in groups if f"group:{group}" in self._access.grants]  # the others give no role
        text = self.seal.close(PERSON, {"user": user, "groups": granted}, life)
        if len(text) > LARGEST:
            raise Problem(403, "forbidden", "your name and groups with a role here are too long for a session")
        self._set(request, response, text, int(life))
        return Caller(f"user:{user}", self._access.granted(user, granted))

    def _set(self, request: Request, response: Response, text: str, life: int) -> None:
        response.set_cookie(
            COOKIE, text, max_age=life, httponly=True, samesite="lax", secure=over_tls(self._access, request)
        )

    def _by_cookie(self, access: Access, cookie: str) -> Caller | None:
        if cookie.startswith(f"{PERSON}."):
            person = self.seal.open(PERSON, cookie)
            if person is None or access.oidc is None or access.oidc.login is None:
                return None
            return Caller(f"user:{person['user']}", access.granted(person["user"], person["groups"]))
        told, _, signature = cookie.rpartition(".")
        digest, _, until = told.partition(".")
        if not self.seal.holds(told, signature) or not until.isdecimal() or int(until) < self.seal.now():
            return None
        found = next((key for key in access.keys if key.hash == f"sha256:{digest}"), None)
        return None if found is None else Caller(f"key:{found.name}", found.roles, found.rate)


def over_tls(access: Access | None, request: Request) -> bool:
    """Did the browser come by HTTPS? So the console sees, or was told of its own address, or hears from its proxy."""
    if request.scope.get("scheme") == "https":  # not its URL: that one is read from what the caller says of the host
        return True
    if access is None:
        return False
    if access.oidc is not None and access.oidc.login is not None:
        own = urlsplit(access.oidc.login.url)
        if own.scheme == "https" and own.netloc.lower() == request.headers.get("host", "").lower():
            return True
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return said == "https" and access.proxy is not None and trusted(access.proxy, request)


def refuse_foreign_forms(request: Request) -> None:
    """A form is sent by our own page or not at all: the browser says whose it is. Raises Problem 403."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    host = request.headers.get("host") or None
    own = site == "same-origin" if site is not None else _host_of(origin or "") == host
    if not own:
        raise Problem(403, "forbidden", "this form was not sent by a page of this console; open the page and try again")


def _host_of(origin: str) -> str:
    """The host and port of an Origin header; empty if it is none, as `null` is."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""

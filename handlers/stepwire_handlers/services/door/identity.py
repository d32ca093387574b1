"""Who calls, and what they may: an API key, a token, or what a trusted proxy says of them.

In: a request. Out: a `Caller`, or Problem 401. The first credential that is there decides; one that does not hold is
never made good by another. Of keys only hashes are compared, all of them, in constant time.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.requests import Request

from stepwire_handlers.services.door.access import EVERY, PREFIX, Access, Key, Oidc, Proxy, Role, Roles, hashed
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.door.tokens import Tokens, refused

LONGEST = 16_384  #: characters of a credential that are looked at
ALL: Roles = {"*": frozenset(EVERY)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose identity holds."""

    name: str  #: `key:NAME` or `user:NAME`; stands in decisions, logs and the ids of idempotency keys
    roles: Roles
    rate: float | None = None
    until: float | None = None  #: when their token ends, epoch seconds; what is answered for long ends with it

    def _has(self, app: str) -> frozenset[Role]:
        return self.roles.get(app, frozenset()) | self.roles.get("*", frozenset())

    def may(self, role: Role, app: str) -> bool:
        """Do they have the role there? Every role may look, but that of systems, which only publish."""
        has = self._has(app)
        if role == "viewer":
            return bool(has - {"publisher"})
        return role in has or (role == "publisher" and "operator" in has)

    def knows(self, app: str) -> bool:
        """Do they have any role there? Nobody else is told that there is such an app."""
        return bool(self._has(app))

    @property
    def share(self) -> str:
        """Whose share of what lasts is used; with --insecure nobody is told from anybody."""
        return "" if self is ANYBODY else self.name

    def must(self, role: Role, app: str) -> None:
        """Raises Problem 403."""
        if not self.may(role, app):
            which = app if self.knows(app) else "an app that this would reach too"
            raise Problem(403, "forbidden", f"{self.name} is no {role} of {which}; the door's access file gives roles")


ANYBODY = Caller("anybody", ALL)  #: only with --insecure


class Identity:
    """Says who calls.

    Args:
        access: None: everybody is `ANYBODY`, which start-up warned of.
    """

    def __init__(self, access: Access | None) -> None:
        self._access, self._tokens = access, _tokens(access)
        self.version = 0  #: of the access file; who was let in under an earlier one may not be now

    def renew(self, access: Access) -> None:
        """Judge by another access file from now on; an issuer that is still the same keeps its keys."""
        if self._access is None or access.oidc != self._access.oidc:
            self._tokens = _tokens(access)
        self._access = access
        self.version += 1

    async def of(self, request: Request) -> Caller:
        """The caller. Raises Problem 401, 503."""
        access, tokens = self._access, self._tokens
        if access is None:
            return ANYBODY
        given = _credential(request)
        if given is not None:
            if given.startswith(PREFIX) or "x-api-key" in request.headers:
                return _by_key(access, given)
            if tokens is None or access.oidc is None:
                raise refused("the bearer token is no key of this door, and it knows no issuer of tokens")
            claims = await tokens.claims(given)
            name, groups = named(access.oidc, claims)
            return Caller(f"user:{name}", access.granted(name, groups), until=int(claims["exp"]) + access.oidc.leeway)
        if access.proxy is not None and (user := _by_proxy(access.proxy, request)) is not None:
            told = _once(request, access.proxy.groups) or "" if access.proxy.groups else ""
            names = [name.strip() for name in told.split(",") if name.strip()]
            return Caller(f"user:{user}", access.granted(user, names))
        raise Problem(
            401, "unauthorized", "send X-API-Key, or Authorization: Bearer with a key or a token",
            headers={"www-authenticate": 'Bearer realm="stepwire"'},
        )  # fmt: skip


def _tokens(access: Access | None) -> Tokens | None:
    return Tokens(access.oidc) if access is not None and access.oidc is not None else None


def _credential(request: Request) -> str | None:
    given = request.headers.get("x-api-key")
    if given is None:
        said = request.headers.get("authorization")
        if said is None:
            return None
        scheme, _, given = said.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise refused("write Authorization: Bearer KEY, or Bearer TOKEN")
        given = given.strip()
    if len(given) > LONGEST:
        raise refused("the credential is too long to be one")
    return given


def _by_key(access: Access, given: str) -> Caller:
    mine, found = hashed(given), list[Key]()
    for key in access.keys:  # to the end, so that time does not tell which one fits
        if hmac.compare_digest(key.hash, mine):
            found.append(key)
    if not found:
        raise refused("there is no such key")
    return Caller(f"key:{found[0].name}", found[0].roles, found[0].rate)


def named(oidc: Oidc, claims: Mapping[str, object]) -> tuple[str, list[str]]:
    """Who a token's claims say that somebody is, and in which groups. Raises Problem 401."""
    name, groups = claims.get(oidc.name), claims.get(oidc.groups, [])
    if not isinstance(name, str) or not name:
        raise refused(f"the token has no claim {oidc.name}, which would say who you are")
    names = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return name, [each for each in names if isinstance(each, str)]


def trusted(proxy: Proxy, request: Request) -> bool:
    """Is it the proxy that connects?"""
    try:
        peer = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return any(peer in network for network in proxy.networks)


def _by_proxy(proxy: Proxy, request: Request) -> str | None:
    """The user that a trusted proxy names; None if it is not the proxy that connects, or it names nobody."""
    if not trusted(proxy, request):
        return None
    return (_once(request, proxy.user) or "").strip() or None


def _once(request: Request, name: str) -> str | None:
    """A header that a proxy sets; one that came twice is the proxy's beside the caller's own. Raises Problem 401."""
    given = request.headers.getlist(name)
    if len(given) > 1:
        raise refused(f"{name} came twice; the proxy must replace what callers send")
    return given[0] if given else None

"""Who may do what, as a file says it: hashed API keys, an OIDC issuer, a trusted proxy, and what each of them may.

In: a TOML file (setting `door_access`). Out: an `Access`, checked. Raises SettingsError that names the
place in the file and never shows a value. The file holds no secret: of a key only its hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stepwire import SettingsError

Role = Literal["viewer", "publisher", "operator", "approver"]
Roles = Mapping[str, frozenset[Role]]  #: app, or `*` for all of them -> roles
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
PREFIX = "sw_"  #: how our keys begin, so that scanners of repositories know them
EVERY: tuple[Role, ...] = ("viewer", "operator", "approver")
SHOWN = 5  #: mistakes that are told at once
LOCAL = ("127.0.0.1", "localhost", "::1")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_hash(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError("this is no hash of a key; make key and hash with: stepwire door --new-key NAME")
    return text


class Key(_Table):
    """An API key."""

    name: str = Field(min_length=1, max_length=100)  #: who holds it; stands in decisions and logs
    hash: Annotated[str, AfterValidator(_is_hash)]  #: a key is 256 random bits, so a slow hash would gain nothing
    roles: dict[str, frozenset[Role]]
    rate: float | None = Field(None, gt=0)  #: requests a second, if other than for everybody


def safe_address(url: str) -> str:
    """Keys that come over plain HTTP are anybody's keys."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL):
        return url
    raise ValueError("write https://… (http:// only for this host)")


Address = Annotated[str, AfterValidator(safe_address)]


def _origin(url: str) -> str:
    """Pages, cookies and the way back from the issuer all begin at the root of one host."""
    parts = urlsplit(safe_address(url))
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("write scheme and host alone, as browsers see them: https://console.example.com")
    return url.rstrip("/")


Scope = Annotated[str, Field(pattern=r"^[!#-\[\]-~]+$", max_length=200)]  #: as RFC 6749 spells them


class Login(_Table):
    """How people log in to the console at the issuer; its client secret is a setting, not part of this file."""

    client: str = Field(min_length=1)  #: what the console is called at the issuer; id tokens must be meant for it
    url: Annotated[str, AfterValidator(_origin)]  #: of the console, as browsers call it
    scopes: tuple[Scope, ...] = ("openid", "profile")  #: some issuers list groups only if asked to
    session: float = Field(12 * 3_600.0, ge=60, le=12 * 3_600)  #: seconds until people log in again

    @field_validator("scopes")
    @classmethod
    def _with_openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("openid must be one of them, or the issuer gives no id token")
        return scopes


class Oidc(_Table):
    """Whose tokens count."""

    issuer: Address
    audience: str = Field(min_length=1)
    jwks: Address | None = None  #: none: as the issuer's /.well-known/openid-configuration says
    algorithms: tuple[Algorithm, ...] = Field(("RS256", "ES256"), min_length=1)  #: only ones with a public key
    leeway: float = Field(30.0, ge=0, le=300)  #: seconds between two clocks
    name: str = "sub"  #: the claim that names the caller
    groups: str = "groups"  #: the claim that lists groups
    login: Login | None = None  #: none: people come to the console with a key or by the proxy


class Proxy(_Table):
    """A proxy that says who the caller is; believed only if it connects from one of these networks."""

    networks: tuple[IPv4Network | IPv6Network, ...] = Field(min_length=1)
    user: str = "x-forwarded-user"
    groups: str | None = None  #: a header with names, comma between them


class Access(_Table):
    """The whole file."""

    keys: tuple[Key, ...] = ()
    oidc: Oidc | None = None
    proxy: Proxy | None = None
    grants: dict[str, dict[str, frozenset[Role]]] = {}  #: `user:NAME` or `group:NAME` -> app -> roles
    rate: float = Field(1_000.0, gt=0)  #: requests a second of one caller; a person needs two, a system hundreds
    burst: float = Field(2_000.0, ge=1)  #: that may come at once

    @model_validator(mode="after")
    def _complete(self) -> Access:
        if not (self.keys or self.oidc or self.proxy):
            raise ValueError("nobody could come in: it has neither keys nor oidc nor proxy")
        names = [key.name for key in self.keys]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"several keys are named {', '.join(twice)}; a name says who did it, so each has its own")
        if wrong := [name for name in self.grants if not name.startswith(("user:", "group:"))]:
            raise ValueError(f"grants are for user:NAME or group:NAME, not {', '.join(sorted(wrong))}")
        return self

    def granted(self, user: str, groups: Iterable[str]) -> Roles:
        """What a user may, by name and by groups."""
        found: dict[str, frozenset[Role]] = {}
        for name in (f"user:{user}", *(f"group:{group}" for group in groups)):
            for app, roles in self.grants.get(name, {}).items():
                found[app] = found.get(app, frozenset()) | roles
        return found


def load_access(path: Path) -> Access:
    """Read the file. Raises SettingsError."""
    found: Mapping[str, object] = {}
    try:
        found = tomllib.loads(path.read_text("utf-8"))
        return Access.model_validate(found)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {getattr(error, 'strerror', '') or error}") from None
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        told = [(_where(found, one["loc"]), _what(one["type"], one["msg"], one["loc"])) for one in faults[:SHOWN]]
        said = "; ".join(f"{where}: {what}" if where else what for where, what in told)
        raise SettingsError(f"{path}: {said}") from None


def _what(kind: str, message: str, place: Sequence[int | str]) -> str:
    """What is wrong there; of a name that there is not, which names there are."""
    if kind != "extra_forbidden":
        return message.removeprefix("Value error, ")
    tables: dict[int | str, type[_Table]] = {"keys": Key, "oidc": Oidc, "login": Login, "proxy": Proxy}
    table = next((tables[name] for name in reversed(place[:-1]) if name in tables), Access)
    return f"there is no such setting here; there are {', '.join(table.model_fields)}"


def _where(found: Mapping[str, object], place: Sequence[int | str]) -> str:
    """A place in the file as its writer knows it: a key by its name, the items of a set by their field."""
    inner = list(place)
    begin: list[str] = []
    if len(inner) > 1 and inner[0] == "keys" and isinstance(inner[1], int):
        keys = found["keys"]
        key = keys[inner[1]] if isinstance(keys, list) else None
        name = key.get("name") if isinstance(key, dict) else None
        begin = [f'key "{name}"' if isinstance(name, str) and name.isprintable() and name else f"key {inner[1] + 1}"]
        inner = [part for part in inner[2:] if isinstance(part, str)]
    return " ".join([*begin, *([".".join(map(str, inner))] if inner else [])])


def new_key() -> tuple[str, str]:
    """A key, shown once, and its hash for the file."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, hashed(key)


def hashed(key: str) -> str:
    """What stands in the file."""
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()

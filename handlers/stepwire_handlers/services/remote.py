"""A door as a caller sees it: what waits, and what a person decides, over HTTP.

In: its address and a key of its access file. Out: plain data as the door tells it. Raises SettingsError for what the
door says makes no sense (422), else StepwireError with what to do about it. The key goes to that address alone: no
redirection is followed, and plain HTTP is for this host only.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from stepwire.errors import SettingsError, StepwireError
from stepwire_handlers.services.door.access import safe_address

PATIENCE = 30.0  #: seconds for an answer; a door lists for less than one
MOST = 64 * 1024 * 1024  #: bytes of an answer
KEY = "STEPWIRE_DOOR_KEY"
PAGE = 500  #: items that are asked for at once
Query = Mapping[str, str]


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nobody: whoever answers elsewhere must not get the key."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Remote:
    """One door.

    Args:
        url: its address.
        key: an API key, or a token of its issuer.
    """

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        try:
            safe_address(url)
        except ValueError as error:
            raise SettingsError(f"--door: a key does not go over plain HTTP; {error}") from None
        if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
            raise SettingsError("--door takes an address alone, such as https://door.example.com")
        if not key:
            raise SettingsError(f"--door needs a key: set {KEY}, or {KEY}_FILE to a file that holds it")
        if not (key.isascii() and key.isprintable()):
            raise SettingsError(f"{KEY} is no key: it has characters that no header may have")
        self._url, self._key = url.rstrip("/"), key
        direct = [urllib.request.ProxyHandler({})] if parts.scheme == "http" else []
        self._opener = urllib.request.build_opener(_Stay, *direct)

    # -- what waits

    def gates(self, **query: str) -> Iterator[dict[str, Any]]:
        """What waits for a person, oldest first."""
        return self._pages("gates", "/gates", query)

    def letters(self, **query: str) -> Iterator[dict[str, Any]]:
        """Dead letters, oldest first."""
        return self._pages("dead_letters", "/dead-letters", query)

    def letter(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """One of them whole."""
        shown: dict[str, Any] = self._ask("GET", f"/dead-letters/{quote(found['id'], safe='')}", _where(found))
        return shown

    def _pages(self, name: str, path: str, query: Query) -> Iterator[dict[str, Any]]:
        wanted = {"limit": str(PAGE)} | {name: text for name, text in query.items() if text}
        cursor: str | None = ""
        while cursor is not None:
            page = self._ask("GET", path, wanted | ({"cursor": cursor} if cursor else {}))
            try:
                yield from page[name]
                cursor = page["next"]
            except (KeyError, TypeError):
                raise StepwireError(f"{self._url} is another release's door: it gives no pages of {path}") from None

    # -- answers

    def decide(self, found: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        """Decide a gate, or say what became of an unknown outcome."""
        self._ask("POST", f"/gates/{quote(found['id'], safe='')}", _where(found), body)

    def replay(self, found: Mapping[str, Any], edited: Mapping[str, Any] | None = None) -> None:
        """Resume a delivery, with another payload if there is one."""
        body = {} if edited is None else {"edited": edited}
        self._ask("POST", f"/dead-letters/{quote(found['id'], safe='')}/replay", _where(found), body)

    def drop(self, found: Mapping[str, Any]) -> None:
        """Give a delivery up."""
        self._ask("POST", f"/dead-letters/{quote(found['id'], safe='')}/drop", _where(found), {})

    # -- one request

    def _ask(self, method: str, path: str, query: Query, body: Mapping[str, Any] | None = None) -> Any:
        address = self._url + path + ("?" + urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self._key}", "accept": "application/json"}
        headers |= {"content-type": "application/json"} if data is not None else {}
        request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310 - its kind was looked at
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return json.loads(answer.read(MOST))
        except urllib.error.HTTPError as error:
            raise self._refused(error.code, error.read(MOST)) from None
        except urllib.error.URLError as error:
            raise StepwireError(
                f"no door answers at {self._url}: {error.reason}; is it up, and the address right?"
            ) from None
        except ValueError:
            raise StepwireError(f"{self._url} is no Stepwire door: what it answers is no JSON") from None
        except (OSError, http.client.HTTPException) as error:  # it took the request, and the answer did not come
            cure = "look, then repeat it" if method == "POST" else "repeat it"
            raise StepwireError(f"{self._url} did not answer ({str(error) or type(error).__name__}); {cure}") from None

    def _refused(self, status: int, body: bytes) -> StepwireError:
        """What a problem detail means to who runs a command."""
        try:
            problem = json.loads(body)
            detail, errors = str(problem["detail"]), problem.get("errors") or []
        except (ValueError, KeyError, TypeError, AttributeError):
            return StepwireError(f"{self._url} is no Stepwire door: it answers {status} without saying why")
        match status:
            case 401:
                return StepwireError(f"the door does not take the key in {KEY}: {detail}")
            case 403:
                return StepwireError(f"the door refuses this: {detail}")
            case 422:
                faults = "".join(f"; {each.get('pointer', '')}: {each.get('reason', '')}" for each in errors)
                return SettingsError(detail + faults)
            case 404 | 409 | 429:
                return StepwireError(detail)
            case 503:
                return StepwireError(f"the door cannot do it now: {detail}")
            case _:
                return StepwireError(f"the door answers {status}: {detail} {problem.get('instance', '')}".rstrip())


def _where(found: Mapping[str, Any]) -> dict[str, str]:
    """Where an id is looked for: one event may wait in two handlers."""
    return {"app": found["app"], "handler": found["handler"]}

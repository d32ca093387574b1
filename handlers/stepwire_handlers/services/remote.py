"""A door as a caller sees it: what waits, and what a person decides, over HTTP.

In: its address and a key of its access file. Out: plain data as the door tells it. Raises SettingsError for what the
door says makes no sense (422), else StepwireError with what to do about it. The key goes to that address alone: no
redirection is followed, and plain HTTP is for this host only. Whoever answers there may be anybody: an answer has an
end, in time and in size, and what is no answer of a door is said to be none.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepwire.errors import SettingsError, StepwireError
from stepwire_handlers.services.door.access import safe_address

PATIENCE = 30.0  #: seconds between two pieces of an answer; a door lists for less than one
LONGEST = 120.0  #: seconds for all of it, however it comes: 64 MB on a slow line
MOST = 64 * 1024 * 1024  #: bytes of an answer
KEY = "STEPWIRE_DOOR_KEY"
PAGE = 500  #: items that are asked for at once
PAGES = 2_000  #: a million items
WORDS = 300  #: characters of an error that are told
Query = Mapping[str, str]


Moment = Annotated[float, Field(ge=0, le=250_000_000_000, allow_inf_nan=False)]  #: up to the year 9892


class _Item(BaseModel):
    """What commands read of whatever a page lists."""

    model_config = ConfigDict(strict=True, frozen=True)

    app: str
    id: str
    handler: str
    run: str


class _Gate(_Item):
    kind: str
    why: str
    since: Moment
    until: Moment | None
    event: dict[str, Any] | None


class _Letter(_Item):
    status: str
    error: str
    message: str
    attempts: int
    replays: int
    time: Moment


class _Block(BaseModel):
    handler: str
    id: str
    slot: str


class _Done(BaseModel):
    handler: str
    id: str
    decision: str
    by: str
    why: str
    edited: dict[str, Any] | None
    time: Moment


class _Whole(_Letter):
    headers: dict[str, str]
    payload: Any
    blocks: list[_Block]
    said: list[_Done]


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
        try:
            parts = urlsplit(url)
            whole = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
        except ValueError:  # a bracket that is not closed, a port that is no number
            parts, whole = urlsplit(""), False
        if whole:
            try:
                safe_address(url)
            except ValueError as error:
                raise SettingsError(f"--door: a key does not go over plain HTTP; {error}") from None
        if not whole or parts.query or parts.fragment or "@" in parts.netloc:
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
        return self._pages("gates", "/gates", query, _Gate)

    def letters(self, **query: str) -> Iterator[dict[str, Any]]:
        """Dead letters, oldest first."""
        return self._pages("dead_letters", "/dead-letters", query, _Letter)

    def letter(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """One of them whole."""
        path = f"/dead-letters/{quote(found['id'], safe='')}"
        return self._checked(self._ask("GET", path, _where(found)), path, _Whole)

    def _pages(self, name: str, path: str, query: Query, kind: type[BaseModel]) -> Iterator[dict[str, Any]]:
        wanted = {"limit": str(PAGE)} | {name: text for name, text in query.items() if text}
        cursor: str | None = ""
        for _ in range(PAGES):
            page = self._ask("GET", path, wanted | ({"cursor": cursor} if cursor else {}))
            items, last = (page.get(name), cursor) if isinstance(page, dict) and "next" in page else (None, cursor)
            if not isinstance(items, list):
                raise self._strange(path)
            yield from (self._checked(item, path, kind) for item in items)
            cursor = page["next"]
            if cursor is None:
                return
            if not isinstance(cursor, str) or cursor in ("", last):
                break
        raise StepwireError(f"{self._url} is no Stepwire door: its pages of {path} have no end")

    def _checked(self, item: Any, path: str, kind: type[BaseModel]) -> dict[str, Any]:
        """What commands can read."""
        try:
            kind.model_validate(item)
        except (ValidationError, RecursionError):
            raise self._strange(path) from None
        found: dict[str, Any] = item
        return found

    def _strange(self, path: str) -> StepwireError:
        return StepwireError(f"{self._url} is another release's door: it gives no pages of {path}")

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
        """The answer, or what went wrong, within `LONGEST`; a thread that hangs until then ends with the process."""
        found: list[Any] = []

        def ask() -> None:
            try:
                found.append(self._tried(method, path, query, body))
            except Exception as error:  # noqa: BLE001 - it is raised where somebody hears it
                found.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(LONGEST)
        said = found[0] if found else self._unanswered(method, f"not whole within {LONGEST:g} s")
        if isinstance(said, Exception):
            raise said
        return said

    def _tried(self, method: str, path: str, query: Query, body: Mapping[str, Any] | None) -> Any:
        """One request: what it is answered with, or an error to raise."""
        address = self._url + path + ("?" + urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self._key}", "accept": "application/json"}
        headers |= {"content-type": "application/json"} if data is not None else {}
        request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310 - its kind was looked at
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return json.loads(answer.read(MOST))
        except urllib.error.HTTPError as error:
            return self._refused(error.code, self._rest(error))
        except urllib.error.URLError as error:
            return StepwireError(f"no door answers at {self._url}: {error.reason}; is it up, and the address right?")
        except (ValueError, RecursionError):
            return StepwireError(f"{self._url} is no Stepwire door: what it answers is no JSON")
        except (OSError, http.client.HTTPException) as error:  # it took the request, and the answer did not come
            return self._unanswered(method, " ".join(str(error).split())[:WORDS] or type(error).__name__)

    @staticmethod
    def _rest(error: urllib.error.HTTPError) -> bytes:
        """Why it was refused; empty if that did not come."""
        with error, contextlib.suppress(OSError, http.client.HTTPException):
            return error.read(MOST)
        return b""

    def _unanswered(self, method: str, why: str) -> StepwireError:
        return StepwireError(
            f"{self._url} did not answer ({why}); {'look, then repeat it' if method == 'POST' else 'repeat it'}"
        )

    def _refused(self, status: int, body: bytes) -> StepwireError:
        """What a problem detail means to who runs a command."""
        try:
            problem = json.loads(body)
            detail, errors = str(problem["detail"]), problem.get("errors") or []
            faults = "".join(f"; {each.get('pointer', '')}: {each.get('reason', '')}" for each in errors)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return StepwireError(f"{self._url} is no Stepwire door: it answers {status} without saying why")
        match status:
            case 401:
                return StepwireError(f"the door does not take the key in {KEY}: {detail}")
            case 403:
                return StepwireError(f"the door refuses this: {detail}")
            case 422:
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

"""A door as a caller sees it: events in, runs, what waits, and what a person decides, over HTTP.

In: its address and a key of its access file. Out: plain data as the door tells it. Raises SettingsError for what the
door says makes no sense (422), else StepwireError with what to do about it. The key goes to that address alone: no
redirection is followed, and plain HTTP is for this host only. Whoever answers there may be anybody: an answer has an
end, in time and in size, and what is no answer of a door is said to be none.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pydantic import BaseModel, ValidationError

from stepwire.errors import SettingsError, StepwireError
from stepwire_handlers.services.door.access import safe_address
from stepwire_handlers.services.remote_answers import Accepted, Gate, Letter, Listed, Run, StepByStep, WholeLetter
from stepwire_handlers.services.remote_form import Form

PATIENCE = 30.0  #: seconds between two pieces of an answer; a door lists for less than one
LONGEST = 120.0  #: seconds for all of it, however it comes: 64 MB on a slow line
MOST = 64 * 1024 * 1024  #: bytes of an answer
KEY = "STEPWIRE_DOOR_KEY"
PAGE = 500  #: items that are asked for at once
PAGES = 2_000  #: a million items
WORDS = 300  #: characters of an error that are told
TURN = 20.0  #: seconds that a door is asked to wait with its answer, so that it comes within `PATIENCE`
SLOW = 100_000  #: bytes a second of a line on which files go up
Query = Mapping[str, str]
Body = Mapping[str, Any] | Form | None


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
        return self._pages("gates", "/gates", query, Gate)

    def letters(self, **query: str) -> Iterator[dict[str, Any]]:
        """Dead letters, oldest first."""
        return self._pages("dead_letters", "/dead-letters", query, Letter)

    def letter(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """One of them whole."""
        path = f"/dead-letters/{quote(found['id'], safe='')}"
        return self._checked(self._ask("GET", path, _where(found)), path, WholeLetter)

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
        return StepwireError(f"{self._url} is another release's door: it gives no such answer at {path}")

    # -- runs

    def runs(self, limit: int, **query: str) -> tuple[list[dict[str, Any]], bool]:
        """The newest runs; and whether these are all that fit."""
        wanted = {"limit": str(limit)} | {name: text for name, text in query.items() if text}
        page = self._ask("GET", "/runs", wanted)
        if not isinstance(page, dict) or not isinstance(page.get("runs"), list):
            raise self._strange("/runs")
        return [self._checked(item, "/runs", Listed) for item in page["runs"]], page.get("whole") is True

    def steps(self, run: str, app: str) -> dict[str, Any]:
        """One of them step by step."""
        path = f"/runs/{quote(run, safe='')}/steps"
        return self._checked(self._ask("GET", path, {"app": app}), path, StepByStep)

    def rested(self, run: str, app: str, seconds: float) -> dict[str, Any]:
        """One of them once it has its result or waits for a person, or after so long, at most `TURN`."""
        path, wait = f"/runs/{quote(run, safe='')}", f"wait={math.ceil(min(seconds, TURN))}"
        return self._checked(self._ask("GET", path, {"app": app}, prefer=wait), path, Run)

    def publish(
        self, app: str, kind: str, fields: Mapping[str, Any], files: Sequence[tuple[str, Path]], key: str | None
    ) -> dict[str, Any]:  # fmt: skip
        """An event; a repeat with the same key follows the run that the first one began."""
        path = f"/apps/{quote(app, safe='')}/{quote(kind, safe='')}"
        body = Form(fields, files) if files else fields
        headers = {} if key is None else {"idempotency_key": key}
        return self._checked(self._ask("POST", path, {}, body, **headers), path, Accepted)

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

    def _ask(self, method: str, path: str, query: Query, body: Body = None, **more: str) -> Any:
        """The answer, or what went wrong, within `LONGEST`; a thread that hangs until then ends with the process.

        `more` are headers, with `_` for `-`.
        """
        found: list[Any] = []
        longest = LONGEST + (body.size / SLOW if isinstance(body, Form) else 0.0)

        def ask() -> None:
            try:
                found.append(self._tried(method, path, query, body, more))
            except Exception as error:  # noqa: BLE001 - it is raised where somebody hears it
                found.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(longest)
        said = found[0] if found else self._unanswered(method, f"not whole within {longest:g} s")
        if isinstance(said, Exception):
            raise said
        return said

    def _tried(self, method: str, path: str, query: Query, body: Body, more: Mapping[str, str]) -> Any:
        """One request: what it is answered with, or an error to raise."""
        address = self._url + path + ("?" + urlencode(query) if query else "")
        headers = {"authorization": f"Bearer {self._key}", "accept": "application/json"}
        headers |= {name.replace("_", "-"): text for name, text in more.items()}
        data: Any = None
        if isinstance(body, Form):
            data, headers = body.pieces(), headers | body.headers
        elif body is not None:
            data, headers = json.dumps(body).encode(), headers | {"content-type": "application/json"}
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

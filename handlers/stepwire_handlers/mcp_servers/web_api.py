"""A web API with a bearer token: requests, and what their failures mean.

In: a path and a body.  Out: the response, if its status is below 400; else `NotHappened` or `MaybeHappened`.

A request that never left, and one that was answered by a status from 400 to 499, did nothing. One that got no
answer, or a status from 500 on, may have been done, unless it only reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

from stepwire_handlers.mcp_servers.verdict import MaybeHappened, NotHappened

_TIMEOUT = httpx2.Timeout(20.0, connect=5.0)  # seconds; under the 30 that Stepwire waits for a tool
_NEVER_LEFT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_DEFAULT_WAIT = 5.0  # seconds; for a 429 that does not say how long


class WebApi:
    """One web API.

    Args:
        name: for messages.
        base_url: where it is, without a slash at the end.
        secret: the environment's variable with the token, or with `_FILE` appended, with a file's path. The
            file is read for every request, so that something else can renew the token.
        environ: the environment.
        busy: does an error status mean that it is asked too often? By default 429 does.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        secret: str,
        environ: Mapping[str, str],
        busy: Callable[[httpx2.Response], bool] = lambda response: response.status_code == 429,
    ) -> None:
        self._name, self._base_url = name, base_url.rstrip("/")
        self._secret, self._environ, self._busy = secret, environ, busy

    async def post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """Send a request that has an effect."""
        try:
            response = await self._request("POST", path, json=body)
        except _NEVER_LEFT as error:
            raise self._unreachable(error) from None
        except httpx2.TransportError as error:
            raise MaybeHappened(f"{self._name} gave no answer ({type(error).__name__})") from None
        if response.status_code >= 500:
            raise MaybeHappened(f"{self._name} answered with status {response.status_code}")
        return self._accepted(response)

    async def get(self, path: str, query: Mapping[str, Any]) -> httpx2.Response:
        """Send a request that only reads."""
        try:
            response = await self._request("GET", path, params=query)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from None
        if response.status_code >= 500:
            raise NotHappened("not-done", f"{self._name} answered with status {response.status_code}")
        return self._accepted(response)

    async def _request(self, method: str, path: str, **content: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self._token()}"}
        async with httpx2.AsyncClient(timeout=_TIMEOUT) as client:
            return await client.request(method, f"{self._base_url}{path}", headers=headers, **content)

    def _token(self) -> str:
        if token := self._environ.get(self._secret):
            return token
        if path := self._environ.get(f"{self._secret}_FILE"):
            try:
                return Path(path).read_text("utf-8").strip()
            except OSError as error:
                raise NotHappened("not-done", f"{self._secret}_FILE {path!r}: {error.strerror}") from None
        raise NotHappened("not-done", f"there is no token. Set {self._secret} or {self._secret}_FILE")

    def _accepted(self, response: httpx2.Response) -> httpx2.Response:
        status = response.status_code
        if status >= 400 and self._busy(response):
            raise NotHappened("retry-later", f"{self._name} is asked too often", retry_after(response))
        if status in {401, 403}:
            raise NotHappened("not-done", f"{self._name} answered with status {status}. Check {self._secret}")
        if status >= 400:
            raise NotHappened("rejected", f"{self._name} answered with status {status}")
        return response

    def _unreachable(self, error: Exception) -> NotHappened:
        reason = f"{self._name} at {self._base_url} cannot be reached ({type(error).__name__})"
        return NotHappened("not-done", reason)


def retry_after(response: httpx2.Response) -> float:
    """The seconds that a response asks to wait."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.replace(".", "", 1).isdigit() else _DEFAULT_WAIT

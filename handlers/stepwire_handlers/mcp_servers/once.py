"""Once: an effect that a key names happens at most once, however often it is asked for.

In: a tool, the key of a call (from its `_meta`), and the effect itself.  Out: the effect's answer, or the
stored one of the first time. The order, with the points where a test may end the process:

1. (before-claim) Claim the key. Is it answered: that answer. Is it claimed without one: unknown outcome.
2. (after-claim) Make the call. If it surely did nothing (`NotHappened`): release the claim.
3. (after-call) Store the answer. If the file takes none, give it all the same: the claim stays.
4. (after-answer) Give it.

A second call with a key that is being worked on here waits for the first one's answer. The call outlives its
caller: if that one stops waiting, the answer is stored all the same. The same key with other arguments gets
the stored answer too: a model may put a message differently on the next attempt, and sent it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from mcp.server.mcpserver import Context
from pydantic import BaseModel

from stepwire_handlers.mcp_servers.claims import Claims
from stepwire_handlers.mcp_servers.verdict import MaybeHappened, NotHappened

Model = TypeVar("Model", bound=BaseModel)

_log = logging.getLogger("stepwire.mcp_servers")


class Once:
    """Effects that happen once.

    Args:
        path: the file with the claims; opened when a first call carries a key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claims: Claims | None = None
        self._opening = threading.Lock()
        self._running: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def __call__(
        self, tool: str, key: str | None, effect: Callable[[], Awaitable[Model]], answer: type[Model]
    ) -> Model:
        """The effect's answer; without a key, the effect is simply done.

        Raises:
            NotHappened: the effect surely did nothing; the key may be used again.
            MaybeHappened: the key was claimed before, and no answer was stored.
        """
        if key is None:
            return await effect()
        task = self._running.get((tool, key))
        if task is None:
            task = asyncio.create_task(self._once(tool, key, effect, answer))
            self._running[tool, key] = task
            task.add_done_callback(lambda done: self._forget(tool, key, done))
        return cast("Model", await asyncio.shield(task))

    async def _once(self, tool: str, key: str, effect: Callable[[], Awaitable[Model]], answer: type[Model]) -> Model:
        claims = await asyncio.to_thread(self._open)
        fault("before-claim")
        try:
            standing = await asyncio.to_thread(claims.claim, tool, key)
        except sqlite3.Error as error:
            raise NotHappened("not-done", f"the claims at {self._path} cannot be written ({error})") from error
        if standing.answer is not None:
            return answer.model_validate_json(standing.answer)
        if not standing.ours:
            since = datetime.fromtimestamp(standing.since, UTC).isoformat(timespec="seconds")
            raise MaybeHappened(
                f"{tool} was begun under this key at {since}, and no answer was stored. Look whether it "
                "happened; if not, release the claim (python -m stepwire_handlers.mcp_servers.claims)"
            )
        fault("after-claim")
        try:
            done = await effect()
        except NotHappened:
            with self._best_effort(tool, key):
                await asyncio.to_thread(claims.release, tool, key)
            raise
        fault("after-call")
        with self._best_effort(tool, key):
            await asyncio.to_thread(claims.answer, tool, key, done.model_dump_json())
        fault("after-answer")
        return done

    @contextmanager
    def _best_effort(self, tool: str, key: str) -> Iterator[None]:
        # Who waits is told what happened all the same. The claim stays, so a second call is told "unknown".
        try:
            yield
        except sqlite3.Error as error:
            _log.warning("%s: what came of key %s is not in the claims at %s (%s)", tool, key, self._path, error)

    def _open(self) -> Claims:
        with self._opening:
            if self._claims is None:
                try:
                    self._claims = Claims(self._path)
                except (OSError, sqlite3.Error) as error:
                    reason = f"the claims at {self._path} cannot be opened ({error}). Set STEPWIRE_CLAIMS"
                    raise NotHappened("not-done", reason) from error
            return self._claims

    def _forget(self, tool: str, key: str, done: asyncio.Task[Any]) -> None:
        self._running.pop((tool, key), None)
        if not done.cancelled():
            done.exception()  # marks it as seen: the caller may have gone


def key_of(ctx: Context) -> str | None:
    """The delivery key that a call carries, if it does."""
    key = (ctx.request_context.meta or {}).get("stepwire/delivery-key")
    return key if isinstance(key, str) and key else None


def fault(point: str) -> None:
    """End this process here, if the environment's STEPWIRE_FAULT names this point: a hook for tests."""
    if os.environ.get("STEPWIRE_FAULT") == point:
        os.kill(os.getpid(), signal.SIGKILL)

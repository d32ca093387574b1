"""The access file as it is now: a key or a grant that is taken out stops counting without a restart.

In: the file that was read at start, and who is to hear of another. Out: nothing; each new content is told once, within
`LOOK` and `LOOK` more. A file that is being written is not read by halves: it must have stayed the same between two
looks. One that cannot be read is logged, and what counted before goes on counting, so that a typing error locks
nobody out. A Secret mounted by Kubernetes is one that changes its target: the file is looked at through its links.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from stepwire import SettingsError
from stepwire_handlers.services.door.access import Access, load_access

LOG = logging.getLogger("stepwire")
LOOK = 0.5  #: seconds between two looks
Look = tuple[int, ...] | None  #: what tells one content from another; None: there is no file


@asynccontextmanager
async def reloaded(
    path: Path | str | None, access: Access | None, *tell: Callable[[Access], None]
) -> AsyncIterator[None]:
    """Tell of each new content while the context is open.

    Args:
        path: the file; None: nobody is asked who they are.
        access: what it held when it was read.
        tell: is called with what it holds since.
    """
    if path is None or access is None:
        yield
        return
    watching = asyncio.create_task(_watch(Path(path), access, tell))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(path: Path, access: Access, tell: tuple[Callable[[Access], None], ...]) -> None:
    judged: Look = ()  # the first look reads it once more: it may have changed while the process started
    last: Look = ()
    while True:
        seen = _look(path)
        if seen == last and seen != judged:
            judged = seen
            found = _read(path)
            if found is not None and found != access:
                access = found
                for each in tell:
                    each(access)
                LOG.warning("access file: %s changed, and counts as it is now", path)
        last = seen
        await asyncio.sleep(LOOK)


def _read(path: Path) -> Access | None:
    if path.exists() and not path.is_file():  # to open a pipe would wait, and everybody with it, for who writes into it
        LOG.error("access file: %s is no file; what it said before goes on counting", path)
        return None
    try:
        return load_access(path)
    except SettingsError as error:
        LOG.error("access file: %s; what it said before goes on counting", error)  # noqa: TRY400 - no fault of ours
    except Exception as error:  # noqa: BLE001 - such as a RecursionError: whoever watches must not end over a file
        LOG.error("access file: %s; what it said before goes on counting", type(error).__name__)  # noqa: TRY400 - as above
    return None


def _look(path: Path) -> Look:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns

"""What it means when the operating system refuses to write a file: shared by all who write drafts."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from stepwire.errors import RetryLater, Transient

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FULL_SECONDS = 60.0  #: somebody has to make room first: no use in asking every second


@contextmanager
def writing(where: str) -> Iterator[None]:
    """Around blocking writes: turns an OSError into what the step's retry should do about it.

    Raises:
        RetryLater: no room: the disk, the quota or the allowed file size is used up.
        Transient: any other refusal.
    """
    try:
        yield
    except OSError as error:
        reason = f"cannot write to {where}: {error.strerror or error}"
        if error.errno in FULL:
            raise RetryLater(FULL_SECONDS, f"{reason}. Make room there; nothing was stored by halves") from error
        raise Transient(f"{reason}. Check that the folder exists and may be written") from error

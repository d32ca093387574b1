"""What a folder of blobs promises beyond the rest: nothing by halves, whatever fails or is killed."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from stepwire.errors import RetryLater, SettingsError, Transient
from stepwire_handlers.blobs import blob_store

if TYPE_CHECKING:
    from conftest import FolderSite

HOUR = 3600.0

HALF_A_PUT = """
import sys, anyio
from stepwire_handlers.blobs import blob_store

async def half():
    yield b"x" * 3_000_000
    print("half", flush=True)
    await anyio.sleep_forever()

async def main():
    async with blob_store(sys.argv[1]) as blobs:
        await blobs.put(half())

anyio.run(main)
"""


def half_a_put(url: str) -> None:
    """Kills a process that has written one half of a file and waits for the other."""
    with subprocess.Popen([sys.executable, "-c", HALF_A_PUT, url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)


async def test_kill_9_in_the_middle_leaves_no_blob_and_the_rest_is_swept(folder: FolderSite) -> None:
    half_a_put(folder.url)
    (left,) = folder.names()
    assert left.startswith(".draft-")
    async with folder.open() as blobs:
        assert await blobs.expire(0.0) == 0
        assert folder.names() == [left], "it might be another worker's that is still writing"
        folder.age(left, 2 * HOUR)
        assert await blobs.expire(0.0) == 0
    assert folder.names() == []


async def test_no_room_is_told_and_waited_for_and_leaves_nothing(folder: FolderSite) -> None:
    """The operating system itself refuses: the process may not make files of over 64 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with folder.open() as blobs:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
        try:
            with pytest.raises(RetryLater, match=r"cannot write to .*blobs: File too large\. Make room") as told:
                await blobs.put(b"x" * 1_000_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert told.value.seconds == 60.0
        assert folder.names() == []
        assert (await blobs.put(b"x" * 1_000_000)).size == 1_000_000, "it goes on once there is room"


@pytest.mark.parametrize(
    ("code", "signal_", "text"),
    [
        (errno.ENOSPC, RetryLater, "No space left on device. Make room there; nothing was stored by halves"),
        (errno.EDQUOT, RetryLater, "Disk quota exceeded. Make room"),
        (errno.EIO, Transient, "Input/output error. Check that the folder exists and may be written"),
    ],
)
async def test_a_disk_that_refuses_at_the_last_moment_leaves_nothing(
    folder: FolderSite, monkeypatch: pytest.MonkeyPatch, code: int, signal_: type[Exception], text: str
) -> None:
    """File systems that allocate late report a full disk only when the bytes are forced to it."""

    def refuse(_: int) -> NoReturn:
        raise OSError(code, os.strerror(code))

    async with folder.open() as blobs:
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(signal_, match=text):
            await blobs.put(b"data")
    assert folder.names() == []


async def test_looking_at_a_lease_and_deleting_are_one_step(
    folder: FolderSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a blob is being deleted nobody can renew it or put it again, and the other way round."""
    seen: list[tuple[str, bool, bool]] = []

    def free(how: int) -> bool:
        with (folder.root / ".lock").open("ab") as lock:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def watch(owner: Any, name: str, only: str) -> None:
        real = getattr(owner, name)

        def watched(first: Any, *args: Any, **options: Any) -> Any:
            if only in str(first):
                seen.append((name, free(fcntl.LOCK_SH), free(fcntl.LOCK_EX)))
            return real(first, *args, **options)

        monkeypatch.setattr(owner, name, watched)

    async with folder.open() as blobs:
        key = sha256(b"data").hexdigest()
        watch(Path, "rename", ".draft-")
        watch(Path, "unlink", key)
        watch(os, "utime", key)
        put = await blobs.put(b"data")
        await blobs.renew(put)
        assert await blobs.expire(-1.0) == 1
    assert seen == [("rename", True, False), ("utime", True, False), ("unlink", False, False)]


async def test_a_blob_is_durable_before_put_returns(folder: FolderSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is forced to disk under its draft name, the folder after the renaming."""
    steps: list[str] = []
    real = os.fsync

    def noting(number: int) -> None:
        steps.append(Path(f"/proc/self/fd/{number}").readlink().name[:7])
        steps.append("blob" if any(len(name) == 64 for name in folder.names()) else "no blob")
        real(number)

    async with folder.open() as blobs:
        monkeypatch.setattr(os, "fsync", noting)
        await blobs.put(b"data")
    assert steps == [".draft-", "no blob", "blobs", "blob"]


async def test_the_bytes_are_the_owners_alone(folder: FolderSite) -> None:
    async with folder.open() as blobs:
        put = await blobs.put(b"a secret invoice")
    assert (folder.root / put.sha256).stat().st_mode & 0o777 == 0o600


async def test_files_are_touched_off_the_event_loop(folder: FolderSite, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    real = os.fsync

    def noting(number: int) -> None:
        threads.add(threading.current_thread())
        real(number)

    monkeypatch.setattr(os, "fsync", noting)
    async with folder.open() as blobs:
        await blobs.put(b"data")
    assert threads
    assert threading.main_thread() not in threads


async def test_a_folder_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match=r"cannot be used: Not a directory\. Name a folder"):
        async with blob_store(tmp_path / "file" / "blobs"):
            pass


@pytest.mark.parametrize("url", ["file://relative/path", "file:///", "file:///a?b=c", "ftp://x/y", "gs://x/y"])
def test_an_address_of_no_known_kind_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(SettingsError, match="file:///path"):
        blob_store(url)


def test_a_path_may_hold_spaces(tmp_path: Path) -> None:
    spaced = tmp_path / "my blobs"
    assert repr(blob_store(spaced.as_uri())) == repr(blob_store(spaced)) == f"BlobStore({spaced})"

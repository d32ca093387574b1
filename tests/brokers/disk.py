"""A small disk for one broker: a tmpfs on its data folder, which a test fills to the last byte.

In: a broker that runs. Out: the same broker on the small disk. Promise: when it is over the broker runs on its old
folder again, with all that it had. Mounting needs root.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.brokers.node import Node

BLOCK = b"\0" * 4096


class SmallDisk:
    """One that can be filled."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Not a block is left."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(BLOCK)
            except OSError as full:
                if full.errno != errno.ENOSPC:
                    raise

    def clear(self) -> None:
        """There is room again."""
        self._ballast.unlink()


@asynccontextmanager
async def small_disk(node: Node, room: int) -> AsyncIterator[SmallDisk]:
    """Move a broker's data to a disk with so many bytes to spare; the broker is stopped and started for it, and after.

    Raises PermissionError if this process may not mount.
    """
    if os.geteuid():
        raise PermissionError("a small disk is a mount, which needs root")
    aside = node.data.with_name(node.data.name + ".aside")
    await asyncio.to_thread(node.stop)
    node.data.rename(aside)
    node.data.mkdir()
    size = int(_run("du", "-s", "--block-size=1", str(aside)).split()[0]) + room
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "stepwire-chaos", str(node.data))
    try:
        await asyncio.to_thread(_move, aside, node.data)
        await _up(node)
        yield SmallDisk(node.data)
    finally:
        if node.pid:
            await asyncio.to_thread(node.stop)
        await asyncio.to_thread(_move, node.data, aside)
        _run("umount", str(node.data))
        node.data.rmdir()
        aside.rename(node.data)
        await _up(node)


async def _up(node: Node) -> None:
    node.launch()
    await asyncio.to_thread(node.wait)


def _move(here: Path, there: Path) -> None:
    """All that lies in a folder. Indexes are mostly holes, and stay so."""
    _run("cp", "-a", "--sparse=always", f"{here}/.", str(there))
    for each in here.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

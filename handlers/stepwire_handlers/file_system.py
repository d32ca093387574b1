"""Where the local bus's file may lie: its locks must hold.

In: a path. Out: the type of its file system, if that is one of a network.
"""

from __future__ import annotations

from pathlib import Path

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs"})


def network(path: Path) -> str:
    """The type of the network file system that `path` lies on; empty if it is a local one, or unknown."""
    kind = file_system(path.resolve())
    return kind if kind in NETWORK else ""


def file_system(path: Path) -> str:
    """The type of the file system that `path` lies on, as /proc/mounts says; empty where that is unknown."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    best, kind = "", ""
    for line in mounts.read_text().splitlines():
        _, where, fs, *_ = line.split()
        if str(path).startswith(where) and len(where) >= len(best):
            best, kind = where, fs
    return kind

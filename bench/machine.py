"""On what it was measured: the machine, and the versions of everything that was installed.

No host name and no path: the results are published. `python -m bench.machine` prints the versions of the
environment that it runs in; the harness asks both environments.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from importlib.metadata import distributions
from pathlib import Path


def description(scratch: Path) -> dict[str, str | int | float]:
    """The machine as a reader needs it to compare; `scratch` is where the files of the run lie."""
    return {
        "cpu": _after_colon(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(_kibibytes(Path("/proc/meminfo"), "MemTotal") / 1e6 * 1.024, 1),
        "system": f"{platform.system()} {platform.release()}",
        "file_system": file_system(scratch.resolve(), Path("/proc/mounts").read_text()),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Every installed distribution of this environment, with its version."""
    found = {dist.metadata["Name"].lower(): dist.version for dist in distributions()}
    return dict(sorted(found.items()))


def memory_mb(field: str) -> float:
    """A field of this process's status, `VmRSS` or `VmHWM` (its peak), in MB of 1,000,000 bytes."""
    return round(_kibibytes(Path("/proc/self/status"), field) * 1024 / 1e6, 2)


def seconds_since_start() -> float:
    """How long ago this process was started by the system, before Python was."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # field 22 of the line
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, by the longest mount point above it."""
    best, kind = -1, "unknown"
    for line in mounts.splitlines():
        _, point, found, *_ = line.split()
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), found
    return kind


def _after_colon(file: Path, field: str) -> str:
    for line in file.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""


def _kibibytes(file: Path, field: str) -> int:
    return int(_after_colon(file, field).split()[0])


if __name__ == "__main__":
    print(json.dumps(versions()))

"""A real Chromium and axe-core, fetched once and kept in the user's cache.

In: a browser of this machine, else apt (nothing is installed, so nobody must be root); npm for axe-core. Out: paths;
`NotHere` with what to install.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from tests.helm.tools import NotHere, kept, run

AXE = "4.11.0"  #: MPL-2.0; used by the tests only, never shipped
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> tuple[Path, dict[str, str]]:
    """The program, and what its environment needs: libraries that lie beside it."""
    if found := next(filter(None, map(shutil.which, BROWSERS)), None):
        return Path(found), {}
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NotHere("no chromium on the PATH, and no apt-get to fetch it: install Chromium")
    folder = kept("chromium", _unpack)
    libraries = sorted({str(path.parent) for path in folder.glob("usr/lib/**/*.so*")})
    return folder / "usr/lib/chromium/chromium", {"LD_LIBRARY_PATH": ":".join(libraries)}


def axe() -> str:
    """axe-core as a script."""
    if not shutil.which("npm"):
        raise NotHere("no npm on the PATH: install Node.js")
    return (kept(f"axe-core-{AXE}", _axe) / "node_modules/axe-core/axe.min.js").read_text("utf-8")


def _unpack(folder: Path) -> None:
    """The package and what of its dependencies this machine lacks."""
    told = run(["apt-get", "install", "--print-uris", "-qq", "--no-install-recommends", "chromium"], folder)
    names = [shlex.split(line)[1].partition("_")[0] for line in told.splitlines() if line.startswith("'")]
    run(["apt-get", "download", "-q", *names], folder)
    for package in folder.glob("*.deb"):
        run(["dpkg-deb", "-x", str(package), "."], folder)
        package.unlink()


def _axe(folder: Path) -> None:
    run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"axe-core@{AXE}"], folder)


def works(program: Path, environment: dict[str, str]) -> bool:
    """Does it start at all?"""
    done = subprocess.run([program, "--version"], env=environment, capture_output=True, check=False, timeout=30)
    return done.returncode == 0

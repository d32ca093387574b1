"""The examples of docs/publish.md as programs: copied, built with their own tools, started as their README says.

In: a language. Out: a command for `publish`, `results` and `post`; `NotHere` with what is missing. What was built is
kept in the user's cache under a name made from the sources: another source is another build.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from tests.helm.tools import NotHere, kept

EXAMPLES = Path(__file__).parents[2] / "examples" / "publish"
LANGUAGES = ("python", "java", "go", "typescript")
MADE = ("target", "dist", "node_modules", "__pycache__")  #: what a person's own build leaves there
#: what these say, among other things, when a package cannot be fetched
AWAY = ("Could not transfer artifact", "Could not resolve", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED",
        "no such host", "dial tcp")  # fmt: skip
SECONDS = 300  #: for a first build; with full caches it takes twenty
BUILD = {
    "java": [["mvn", "-q", "-B", "package"]],
    "go": [["go", "vet", "."], ["go", "build", "-mod=readonly", "-o", "shop", "."]],
    "typescript": [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["npm", "run", "build"]],
}


class Program:
    """An example that can be started."""

    def __init__(self, language: str, folder: Path) -> None:
        self.language, self.folder = language, folder

    def command(self, what: str, *words: str) -> list[str]:
        """As its README says it, from its folder."""
        return [
            *{
                "python": [sys.executable, f"{what}.py"],
                "java": ["java", "-jar", "target/shop.jar", what],
                "go": ["./shop", what],
                "typescript": ["node", f"dist/{what}.js"],
            }[self.language],
            *words,
        ]


def program(language: str) -> Program:
    """Built, unless it is already. Raises NotHere, AssertionError with what its compiler said."""
    source = EXAMPLES / language
    steps = BUILD.get(language, [])
    if not steps:
        return Program(language, source)
    if missing := next((step[0] for step in steps if not shutil.which(step[0])), None):
        raise NotHere(f"no {missing} on the PATH")
    return Program(language, kept(f"example-{language}-{_hash(source)}", lambda folder: _build(source, steps, folder)))


def _build(source: Path, steps: list[list[str]], folder: Path) -> None:
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*MADE))
    for step in steps:
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS)
        said = (done.stdout + done.stderr).strip()
        if done.returncode and any(word in said for word in AWAY):
            raise NotHere(f"{' '.join(step)} cannot fetch what it needs: {said[-300:]}")
        assert done.returncode == 0, f"{' '.join(step)} in {source}: {said[-3_000:]}"


def _hash(source: Path) -> str:
    """Of names and contents."""
    found = sha256()
    for path in sorted(source.rglob("*")):
        if path.is_file() and not set(path.relative_to(source).parts) & set(MADE):
            found.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]

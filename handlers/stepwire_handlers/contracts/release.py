"""Where the last release's document is found: a file, or the same file as a git ref has it.

In: a path, a ref or none. Out: the document. Raises SettingsError that says how to make one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from stepwire import SettingsError

LONGEST = 10.0  #: seconds for git; it reads one object


def last_release(path: Path, ref: str | None) -> dict[str, Any]:
    """Read it."""
    text = _of_ref(path, ref) if ref is not None else _of_file(path)
    where = f"{ref}:{path}" if ref is not None else str(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise SettingsError(f"{where} is no JSON; name a file that `stepwire contracts export` wrote") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{where} is no AsyncAPI document; name a file that `stepwire contracts export` wrote")
    return found


def _of_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"there is no {path}: export the last release there and keep it in the repository "
            f"(stepwire contracts export MODULE:app --out {path}), or name it with --against"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _of_ref(path: Path, ref: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise SettingsError("--git needs git, which is not installed; name a file with --against")
    if ref.startswith("-") or ":" in ref:
        raise SettingsError(f"--git {ref}: a tag, a branch or a commit; the file is named with --against")
    folder = path.parent if path.parent.is_dir() else Path()
    name = path.name if folder == path.parent else str(path)
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and no option can be smuggled in
            [git, "-C", str(folder), "show", f"{ref}:./{name}"], capture_output=True, check=False, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        raise SettingsError(f"git did not show {ref}:{path} within {LONGEST:g} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise SettingsError(f"git cannot show {path} at {ref}: {said}")
    return done.stdout.decode("utf-8", "replace")

"""What `stepwire new` writes: files with `@name@` and `@package@` in the places of the project's name."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from stepwire.errors import SettingsError

#: what is written -> the file here that it comes from
LAYOUT = {
    "pyproject.toml": "pyproject.toml.txt",
    "Makefile": "Makefile.txt",
    "README.md": "README.md.txt",
    "stepwire.toml": "stepwire.toml.txt",
    ".gitignore": "gitignore.txt",
    ".dockerignore": "dockerignore.txt",
    "Dockerfile": "Dockerfile.txt",
    "values.yaml": "values.yaml.txt",
    "wheels/.gitignore": "wheels.txt",
    "@package@/__init__.py": "package.py.txt",
    "@package@/flow.py": "flow.py.txt",
    "@package@/prompts/answer.md": "answer.md.txt",
    "tests/test_flow.py": "test_flow.py.txt",
}


def package_of(name: str) -> str:
    """The package of a project. Raises SettingsError if the name cannot be one, or would hide another package."""
    package = name.replace("-", "_").lower()
    if not package.isidentifier() or not package.isascii() or package.startswith("_") or keyword.iskeyword(package):
        raise SettingsError(f"{name!r} is no name for a package; use letters, digits and -, a letter first")
    if package in sys.stdlib_module_names or package == "tests" or _is_installed(package):
        raise SettingsError(f"there is a package {package} already, which this one would hide; choose another name")
    return package


def _is_installed(package: str) -> bool:
    found = find_spec(package)
    return found is not None and found.origin is not None  # a folder without code is found too


def write(folder: Path, name: str, package: str) -> Iterator[Path]:
    """Write the project; every path as it is written."""
    for target, source in LAYOUT.items():
        path = folder / target.replace("@package@", package)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = files(__package__).joinpath("files", source).read_text("utf-8")
        path.write_text(text.replace("@name@", name).replace("@package@", package), "utf-8")
        yield path

"""What `stepwire new` writes: files with `@name@` and `@package@` in the places of the project's name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

#: what is written -> the file here that it comes from
LAYOUT = {
    "pyproject.toml": "pyproject.toml.txt",
    "Makefile": "Makefile.txt",
    "README.md": "README.md.txt",
    "stepwire.toml": "stepwire.toml.txt",
    ".gitignore": "gitignore.txt",
    "Dockerfile": "Dockerfile.txt",
    "@package@/__init__.py": "package.py.txt",
    "@package@/flow.py": "flow.py.txt",
    "@package@/prompts/answer.md": "answer.md.txt",
    "tests/test_flow.py": "test_flow.py.txt",
}


def write(folder: Path, name: str, package: str) -> Iterator[Path]:
    """Write the project; every path as it is written."""
    for target, source in LAYOUT.items():
        path = folder / target.replace("@package@", package)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = files(__package__).joinpath("files", source).read_text("utf-8")
        path.write_text(text.replace("@name@", name).replace("@package@", package), "utf-8")
        yield path

"""The kernel keeps its shape: exports, sizes, what a file opens with, and what importing it costs."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import stepwire

ROOT = Path(__file__).parents[2]
KERNEL = ROOT / "kernel" / "stepwire"
SOURCES = sorted(
    path
    for root in ("kernel/stepwire", "topics/stepwire_topics", "handlers/stepwire_handlers")
    for path in (ROOT / root).rglob("*.py")
    if "scaffold" not in path.parts
)
FILES = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def code_lines(path: Path) -> int:
    """Lines of code: no blank lines, no comments, no docstrings."""
    source = path.read_text()
    docs: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0]
            if isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                docs |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines: set[int] = set()
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skip:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docs)


def test_exports_are_few_and_sorted() -> None:
    """`import stepwire` offers at most 25 names, sorted, and all of them exist."""
    assert stepwire.__all__ == sorted(stepwire.__all__)
    assert len(stepwire.__all__) <= 25
    assert all(hasattr(stepwire, name) for name in stepwire.__all__)


@FILES
def test_a_file_is_short_and_says_what_it_is_for(path: Path) -> None:
    """No file is over 400 lines, no function over 50; each file opens with a docstring."""
    source = path.read_text()
    tree = ast.parse(source)
    assert source.count("\n") <= 400
    assert ast.get_docstring(tree), "a file opens with what comes in, what goes out, what it promises"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno + 1 <= 50, node.name


def test_the_kernel_is_small() -> None:
    """The kernel does not grow unnoticed; DESIGN aims at 2,900 lines of code, and 1,000 more for Kafka."""
    kafka = [path for path in KERNEL.rglob("*.py") if "kafka" in path.parts]
    rest = [path for path in KERNEL.rglob("*.py") if path not in kafka and path.name != "testing.py"]
    assert sum(map(code_lines, rest)) <= 5_394
    assert sum(map(code_lines, kafka)) <= 1_283


def test_importing_the_kernel_imports_no_client() -> None:
    """`import stepwire` brings no LLM, no HTTP, no command line."""
    code = "import sys, stepwire; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"anthropic", "mcp", "starlette", "uvicorn", "typer", "rich", "prometheus_client"} & set(modules)

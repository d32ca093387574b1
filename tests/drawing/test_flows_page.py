"""The page `docs/flows.md`: every shipped flow in a sentence and a picture, made from its code by `make docs`."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from stepwire_handlers.drawing import mermaid

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "flows.md"
FLOWS = ("articles", "support", "review", "polish", "invoices")
SITTING = 100  #: lines that a reader takes in at one sitting, imports and blank lines included
HEAD = """<!-- made from the code: make docs -->
# The flows that come with Stepwire

Five workflows of the usual shapes, each in one file that is read from top to bottom. They run without a key and without
a network. The pictures are what `stepwire graph` draws from the signatures.
"""


def module(flow: str) -> ModuleType:
    return importlib.import_module(f"stepwire_handlers.flows.{flow}")


def page() -> str:
    parts = [HEAD]
    for flow in FLOWS:
        source = Path(inspect.getfile(module(flow))).relative_to(ROOT)
        sentence = (module(flow).__doc__ or "").strip()
        code = f"Code: [{source}](../{source}). `make demo FLOW={flow}`"
        parts.append(f"## {flow}\n\n{sentence}\n\n```mermaid\n{mermaid(module(flow).app).rstrip()}\n```\n\n{code}\n")
    return "\n".join(parts)


def test_the_page_shows_the_flows_as_they_are() -> None:
    """A flow that changes changes its picture: run `make docs`."""
    assert PAGE.read_text("utf-8") == page()


@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_is_taken_in_at_one_sitting(flow: str) -> None:
    """One file has all handlers and the app, and is short."""
    source = Path(inspect.getfile(module(flow))).read_text("utf-8")
    assert len(source.splitlines()) <= SITTING
    names = [step.name for step in module(flow).app.runnable]
    assert names and all(f"async def {name}(" in source or f'prompt("{name}"' in source for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

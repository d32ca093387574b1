"""`stepwire offline-model`: the local server that speaks the Messages API."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: a free one.")] = 8085,
) -> None:
    """Answer model calls by rules, labelled as such. Point ANTHROPIC_BASE_URL at it."""
    import runpy

    sys.argv = ["offline-model", "--host", host, "--port", str(port)]
    runpy.run_module("stepwire_handlers.offline_model", run_name="__main__")

"""`stepwire offline-model`: the local server that speaks the Messages API."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stepwire_handlers.cli.target import USAGE, complain


def command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: a free one.", min=0, max=65_535)] = 8085,
) -> None:
    """Answer model calls by rules, labelled as such. Point ANTHROPIC_BASE_URL at it."""
    import runpy

    sys.argv = ["offline-model", "--host", host, "--port", str(port)]
    try:
        runpy.run_module("stepwire_handlers.offline_model", run_name="__main__")
    except ImportError as error:
        complain(f"the offline model needs {error.name}: install Stepwire's extra serve")
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]  # Python repeats the address there
        complain(f"cannot listen on {host}:{port}: {why}; choose another --port (0: any free one)")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    else:
        return
    raise typer.Exit(USAGE)

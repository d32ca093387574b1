"""After the table: what the flow needs stays up, for a worker and events of one's own.

In: the environment that the surroundings made. Out: `env` in the demo's folder, to be read by a shell, and the commands
that go with it; returns at SIGINT or SIGTERM, which take `env` away.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from stepwire import App
from stepwire_handlers.demo.report import program


async def stay(
    app: App, flow: str, folder: Path, bus: str, before: Mapping[str, str], tell: Callable[[str], None]
) -> None:  # fmt: skip
    """Write the environment, say what to type, wait for a signal."""
    stepwire = shlex.quote(str(Path(program()).absolute())) if os.sep in program() else program()
    file, module = folder / "env", f"stepwire_handlers.flows.{flow}:app"
    made = {name: value for name, value in os.environ.items() if before.get(name) != value}
    made["STEPWIRE_BUS"] = bus
    file.touch(mode=0o600)  # it holds tokens
    file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(made.items())))
    graph = app.wiring.graph
    entry = next(event for event in graph.entries if event not in graph.emitted)
    what = next((f"--attach {name}=FILE" for name in ("pdf",) if name in entry.model_fields), "--json-data '{…}'")
    tell("what the flow needs stays up until Ctrl-C. In another shell:")
    tell(f"  . {shlex.quote(str(file))}; {stepwire} run {module}")
    tell("and in a third:")
    tell(f"  . {shlex.quote(str(file))}; {stepwire} publish {entry.__name__} --app {module} {what} --wait --json")
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
    file.unlink(missing_ok=True)  # its addresses answer no more

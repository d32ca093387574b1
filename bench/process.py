"""One measurement: a script in a fresh process, and the line of JSON that it ends with.

In: a `Measure` and a scratch directory, which the script gets as `--scratch`. Out: its line as a dict. Its
log (our log lines are part of what is measured) goes to a file in that directory, not to the terminal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.bars import Environment, Measure

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
CURE = "UV_PROJECT_ENVIRONMENT=.venv-peers uv sync --frozen --only-group peers"
LIMIT = 600.0  #: seconds; the longest script fills a file with 1,000,000 events
SHOWN_LOG = 2_000  #: characters of the log's end that a failure shows


class MeasureFailed(Exception):
    """A script ended without a figure, or its outputs did not add up."""


def measured(measure: Measure, scratch: Path) -> dict[str, Any]:
    """Run the script and return the line it printed last. Raises MeasureFailed with the end of its log."""
    script = ("-m", measure.module, *measure.arguments)
    command = [python(measure.environment), *script, "--scratch", str(scratch)]
    log = scratch / "log.txt"
    with log.open("w") as errors:
        output, code = run(command, errors.fileno())
    if code != 0:
        raise MeasureFailed(f"{measure.name} ended with code {code}; its log ends:\n{_end(log)}")
    try:
        line: dict[str, Any] = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        raise MeasureFailed(f"{measure.name} printed no JSON; its log ends:\n{_end(log)}") from None
    return line


def installed(environment: Environment) -> dict[str, str]:
    """The versions of all packages in the environment. Raises MeasureFailed if it is not there."""
    command = [python(environment), "-m", "bench.machine"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def python(environment: Environment) -> str:
    """The interpreter of an environment. Raises MeasureFailed if it is not there."""
    if environment == "ours":
        return sys.executable
    if not PEERS.exists():
        raise MeasureFailed(f"the peers' environment .venv-peers is not there; make it with: {CURE}")
    return str(PEERS)


def run(command: list[str], errors: int) -> tuple[str, int]:
    """Output and exit code; on a timeout the script and what it started are killed, as one process group.

    Raises MeasureFailed on that timeout.
    """
    environment = {
        **os.environ,
        "LANGSMITH_TRACING": "false",
    }  # a peer must not pay for a tracer somebody set up
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except BaseException as reason:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(reason, subprocess.TimeoutExpired):
            raise MeasureFailed(f"{' '.join(command[1:])} did not end within {LIMIT:g} s") from None
        raise
    return output, process.returncode


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-SHOWN_LOG:]

"""Runs one command with a broker at hand: `python -m tests.brokers.lend COMMAND … kafka://{}`.

In: a command; each `{}` in it becomes the bootstrap servers. Out: its exit code. The broker is found as the tests find
theirs, and ends with the command if it was started for it. Exit code 1, and the reason of each way, if there is none.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.brokers.jars import NotHere
from tests.brokers.place import VARIABLE, open_broker

ENDS = f"; it ends with this command, and what lies on it is gone then (to keep one, name yours in {VARIABLE})"


def lend(command: Sequence[str]) -> int:
    """Run the command; Ctrl-C reaches it too, SIGTERM is handed on, so this waits until it has ended by itself."""
    given = os.environ.get(VARIABLE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # while the broker starts
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True)))
        try:
            servers = open_broker(stack, home)
        except (NotHere, ConnectionError) as wrong:
            sys.stderr.write(f"no Kafka broker: {wrong}\n")
            return 1
        sys.stderr.write(f"Kafka broker at {servers}{'' if given else ENDS}\n")
        running, told = list[subprocess.Popen[bytes]](), list[int]()
        signal.signal(signal.SIGTERM, lambda number, _: [told.append(number), *(one.terminate() for one in running)])
        running.append(subprocess.Popen([word.replace("{}", servers) for word in command]))
        if told:  # while it was being started, when nobody handed it on
            running[0].terminate()
        while True:
            try:
                code = running[0].wait()
            except KeyboardInterrupt:
                continue
            if not given:
                sys.stderr.write(f"that broker has ended, with what lay on it; to keep one, name yours in {VARIABLE}\n")
            return code


if __name__ == "__main__":
    sys.exit(lend(sys.argv[1:]))

"""Of `helm test`: publish an event by the door and wait for its run, so that no topic is copied into the test's pod.

In: the door's URL, the app (MODULE:name), the event and its fields as JSON; DOOR_KEY in the environment, if the door
asks for one. Out: 0 if the run has its result or is completed; else 1 and what stands in its way.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

SECONDS = 120  #: until the run must be done
WAIT = "wait=30"  #: seconds of one request


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    """What the door answers. Ends the program with its words if it refuses, or cannot be reached."""
    headers = {"Prefer": WAIT, "Content-Type": "application/json"}
    if key := os.environ.get("DOOR_KEY"):
        headers["X-API-Key"] = key
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the chart writes it: http://
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            told: dict[str, Any] = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        sys.exit(f"{url} answered {error.code}: {error.read(2_000).decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"{url} cannot be reached: {error}")
    return told


def main(door: str, app: str, event: str, data: str) -> None:
    """Publish, and look again until the run rests or time is up."""
    sys.path.insert(0, str(Path.cwd()))  # as `stepwire run` finds apps
    module, _, name = app.partition(":")
    known = getattr(importlib.import_module(module), name).name
    end = time.monotonic() + SECONDS
    told = ask(f"{door}/apps/{quote(known)}/{quote(event)}", data.encode())
    while "state" not in told or not (told["result"] or told["state"] == "completed"):
        if stuck := [*told.get("gates", ()), *told.get("dead_letters", ())]:
            sys.exit(f"the run {told['run']} waits for a person: {json.dumps(stuck)}")
        if time.monotonic() > end:
            sys.exit(f"the run {told['run']} is not done after {SECONDS} s: {json.dumps(told)}")
        told = ask(f"{door}/runs/{quote(told['run'])}")
    sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

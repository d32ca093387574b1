"""`make audit` without the network, against advisories that lie in a folder: `python -m tests.audit.stored FOLDER`.

In: a folder with advisories in OSV's format (YAML or JSON, at any depth), such as a checkout of PyPI's advisory
database. Out: what `uv audit` says, asked of a service on this machine that answers as OSV's does, and its exit code;
above it how many advisories there were and how old the newest is, for a verdict is worth what its database is.
Exit code 2 if the folder holds no advisory for PyPI.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

AUDIT = ("audit", "--frozen", "--preview-features", "audit-command")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  #: ten times as fast, where libyaml is


class Advisories:
    """Those of one folder that concern PyPI and were not withdrawn.

    Args:
        folder: where they lie. Raises ValueError if none does.
    """

    def __init__(self, folder: Path) -> None:
        self.all: dict[str, dict[str, Any]] = {}
        self._by_name: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
                self._add(path)
        if not self.all:
            raise ValueError(f"{folder}: no file below it is an advisory for PyPI in OSV's format")

    def _add(self, path: Path) -> None:
        found = yaml.load(path.read_text(), LOADER)  # noqa: S506 - safe loaders, both; JSON is YAML
        if not isinstance(found, dict) or "id" not in found or "withdrawn" in found:
            return
        for affected in found.get("affected", ()):
            package = affected.get("package", {})
            if package.get("ecosystem") == "PyPI":
                self.all[found["id"]] = found
                self._by_name.setdefault(canonicalize_name(package["name"]), []).append((found["id"], affected))

    @property
    def newest(self) -> str:
        """When the last of them was modified."""
        return max(str(one.get("modified", "")) for one in self.all.values())

    def of(self, name: str, version: str) -> list[str]:
        """Ids of the advisories for this version."""
        about = self._by_name.get(canonicalize_name(name), ())
        return sorted({id_ for id_, affected in about if concerns(affected, version)})


def concerns(affected: Mapping[str, Any], version: str) -> bool:
    """Is this version in the list, or between `introduced` and what ends it? As OSV's schema evaluates it."""
    if version in affected.get("versions", ()):
        return True
    own = Version(version)
    for span in affected.get("ranges", ()):
        if span.get("type") != "ECOSYSTEM":
            continue
        inside = False
        for event in sorted(span["events"], key=_moment):
            at = _moment(event)[0]
            if "introduced" in event and own >= at:
                inside = True
            elif ("fixed" in event and own >= at) or ("last_affected" in event and own > at):
                inside = False
        if inside:
            return True
    return False


def _moment(event: Mapping[str, Any]) -> tuple[Version, bool]:
    ((kind, text),) = event.items()
    try:
        return Version(str(text)), kind == "introduced"
    except InvalidVersion:
        return Version("0"), kind == "introduced"


@contextmanager
def service(advisories: Advisories) -> Iterator[str]:
    """OSV's two calls on a free port of this machine; its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(advisories.all.get(self.path.rpartition("/")[2]))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            results = [{"vulns": [{"id": id_} for id_ in advisories.of(one["package"]["name"], one["version"])]}
                       for one in asked["queries"]]  # fmt: skip
            self._say({"results": results})

        def _say(self, found: Mapping[str, Any] | None) -> None:
            body = json.dumps(found or {}, default=str).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def main(arguments: Sequence[str]) -> int:
    """Audit the project in the working directory against the folder."""
    try:
        advisories = Advisories(Path(arguments[0]))
    except ValueError as wrong:
        sys.stderr.write(f"AUDIT_DATABASE={wrong}\n")
        return 2
    sys.stderr.write(f"{len(advisories.all)} advisories for PyPI, the newest modified {advisories.newest}\n")
    with service(advisories) as address:
        uv = Path(sys.executable).with_name("uv")
        return subprocess.run([uv, *AUDIT, "--service-url", address], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

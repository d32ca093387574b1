"""A schema registry for a test: the parts of the REST API that clients use, over HTTP on 127.0.0.1."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Registry:
    """Schemas by id and by subject; `down` answers 503; `asked` counts requests."""

    def __init__(self) -> None:
        self.schemas: list[dict[str, Any]] = []  #: id = place + 1
        self.subjects: dict[str, list[int]] = {}
        self.down, self.asked, self.url = False, 0, ""

    def register(self, subject: str, schema: dict[str, Any]) -> dict[str, Any]:
        """As a producer with auto.register does."""
        body = {"schemaType": "AVRO", "references": [], **schema}
        same = next((n for n, known in enumerate(self.schemas, 1) if known["schema"] == body["schema"]), None)
        if same is None:
            self.schemas.append({**body, "guid": str(uuid.uuid4())})
            same = len(self.schemas)
        versions = self.subjects.setdefault(subject, [])
        if same not in versions:
            versions.append(same)
        return self._found(subject, versions.index(same) + 1)

    def _found(self, subject: str, version: int) -> dict[str, Any]:
        id_ = self.subjects[subject][version - 1]
        return {**self.schemas[id_ - 1], "id": id_, "subject": subject, "version": version}

    def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        if self.down:
            return 503, {"error_code": 50301, "message": "away"}
        if parts[:2] == ["schemas", "ids"]:
            known = [s for n, s in enumerate(self.schemas, 1) if str(n) == parts[2]]
            return (200, known[0]) if known else (404, {"error_code": 40403, "message": "Schema not found"})
        if parts[:2] == ["schemas", "guids"]:
            known = [s for s in self.schemas if s["guid"] == parts[2]]
            return (200, known[0]) if known else (404, {"error_code": 40403, "message": "Schema not found"})
        if parts[0] == "subjects" and body is not None:
            return 200, self.register(parts[1], body)
        if parts[0] == "subjects" and parts[1] in self.subjects:
            versions = self.subjects[parts[1]]
            return 200, self._found(parts[1], len(versions) if parts[3] == "latest" else int(parts[3]))
        return 404, {"error_code": 40401, "message": f"Subject '{parts[-1]}' not found."}


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry that listens until the block ends."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(None)

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _reply(self, body: dict[str, Any] | None) -> None:
            registry.asked += 1
            status, said = registry.answer(self.path, body)
            raw = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        registry.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()

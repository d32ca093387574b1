"""Run the offline model: `python -m stepwire_handlers.offline_model --port 8085`.

When it is ready it prints one line of JSON, `{"url": "http://127.0.0.1:8085"}`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import threading

import uvicorn

from stepwire_handlers.offline_model.server import application


def main() -> None:
    """Serve until SIGTERM or SIGINT, or with --until-eof until standard input closes."""
    parser = argparse.ArgumentParser(prog="stepwire_handlers.offline_model", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input closes")
    arguments = parser.parse_args()
    with socket.create_server((arguments.host, arguments.port)) as listening:
        host, port = listening.getsockname()[:2]
        print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)  # noqa: T201 - whoever started it reads this
        asyncio.run(_serve(listening, until_eof=arguments.until_eof))


async def _serve(listening: socket.socket, *, until_eof: bool) -> None:
    """The socket listens already: whoever connects before the first request is served waits, and is served."""
    server = uvicorn.Server(uvicorn.Config(application(), log_level="warning", lifespan="off", ws="none"))
    if until_eof:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    await server.serve(sockets=[listening])


def _stop_at_eof(server: uvicorn.Server) -> None:
    """Wait, in a thread of its own, for the end of standard input: whoever started this process is gone."""
    while os.read(0, 4096):
        continue
    server.should_exit = True


if __name__ == "__main__":
    main()

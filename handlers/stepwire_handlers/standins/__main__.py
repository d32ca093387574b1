"""Serve the stand-ins of the Slack Web API and the Gmail API.

Prints one line of JSON when it is ready: `url`, and for the servers `SLACK_BASE_URL` and `GMAIL_BASE_URL`.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from pathlib import Path

import uvicorn

from stepwire_handlers.standins.web import GMAIL_TOKEN, SLACK_TOKEN, application


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="standins", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where messages and drafts are kept")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    parser.add_argument("--slack-token", default=SLACK_TOKEN, help="the valid one (default: %(default)s)")
    parser.add_argument("--gmail-token", default=GMAIL_TOKEN, help="the valid one (default: %(default)s)")
    options = parser.parse_args()
    with socket.create_server((options.host, options.port)) as listener:
        url = "http://{}:{}".format(*listener.getsockname()[:2])

        def ready() -> None:
            addresses = {"url": url, "SLACK_BASE_URL": f"{url}/api", "GMAIL_BASE_URL": url}
            sys.stdout.write(json.dumps(addresses) + "\n")
            sys.stdout.flush()

        app = application(options.folder, options.slack_token, options.gmail_token, ready)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()

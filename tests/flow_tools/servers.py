"""MCP servers and workers in processes of their own, on one file, and clients of the SDK."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from tests.door.doors import ROOT, STEPWIRE

APPS = ("tests.flow_tools.shop:APP", "tests.door.shop:FILES")


class Servers:
    """Processes on one file; they end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPWIRE_")}
        return {**kept, "STEPWIRE_BUS": f"sqlite:///{self.folder / 'bus.db'}",
                "STEPWIRE_BLOBS": str(self.folder / "blobs"), "PYTHONPATH": str(ROOT)}  # fmt: skip

    def begin(self, *arguments: str, pipes: bool = False) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE if pipes else None
        process = subprocess.Popen(
            [*STEPWIRE, *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.PIPE,
        )
        self._started.append(process)
        return process

    def http(self, *options: str, apps: tuple[str, ...] = APPS) -> tuple[subprocess.Popen[str], str]:
        """A server over HTTP, once it listens; its address."""
        process = self.begin("mcp", *apps, "--http", "--port", "0", *(options or ("--insecure",)))
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"mcp: (http://\S+)", line):
                return process, found[1]
        raise AssertionError(f"the server did not open: {process.wait()}")

    def worker(self, app: str = APPS[0]) -> subprocess.Popen[str]:
        return self.begin("run", app, "--log", "off")

    def stdio(self, *options: str, apps: tuple[str, ...] = APPS) -> Client:
        """A client that starts a server of its own."""
        arguments = [*STEPWIRE[1:], "mcp", *apps, *options]
        return Client(StdioServerParameters(command=STEPWIRE[0], args=arguments, env=self.environment, cwd=str(ROOT)))

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


@asynccontextmanager
async def asking(url: str, **headers: str) -> AsyncIterator[Client]:
    """A client over HTTP."""
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def text(result: Any) -> str:
    """What a model reads."""
    return "".join(block.text for block in result.content)

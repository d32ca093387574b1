"""What every test needs: the event loop, and what to do when a service is missing."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.brokers.plugin"]


@pytest.fixture
def anyio_backend() -> str:
    """The kernel runs on asyncio; anyio's other loop is not ours."""
    return "asyncio"


def pytest_configure(config: pytest.Config) -> None:
    # a shell starts what runs in the background with Ctrl-C ignored, and the commands under test would inherit that
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_MISSED] = set()


_MISSED = pytest.StashKey[set[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that may take longest come first, so that at the end no core waits for another's long one."""
    seconds: Counter[Path] = Counter()
    for item in items:
        limit = item.get_closest_marker("timeout")
        if item.get_closest_marker("slow"):
            seconds[item.path] += limit.args[0] if limit else 60
    items.sort(key=lambda item: -seconds[item.path])  # stable: what else is in a file's order stays


def missing(config: pytest.Config, service: str, why: str) -> None:
    """Skip for a missing service; in `make test-all` (STEPWIRE_TEST_ALL=1) that is an error instead."""
    config.stash[_MISSED].add(service)
    if os.environ.get("STEPWIRE_TEST_ALL"):
        pytest.fail(f"{service} is missing ({why}); `make test-all` skips nothing")
    pytest.skip(f"{service} is missing: {why}")


@pytest.fixture(scope="session")
def service(pytestconfig: pytest.Config):
    """`service("node", found, why)`: skip, or fail in `make test-all`, unless `found`."""

    def need(name: str, found: object, why: str = "not installed") -> None:
        if not found:
            missing(pytestconfig, name, why)

    return need


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)  # only where several processes share the tests
    if output is not None:
        output["missed"] = sorted(session.config.stash[_MISSED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_MISSED].update(getattr(node, "workeroutput", {}).get("missed", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    missed = sorted(config.stash[_MISSED])
    terminalreporter.write_line(f"services missed: {', '.join(missed) if missed else 'none'}")

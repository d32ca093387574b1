"""Tools of the chart's tests; the first run on a machine fetches them, before any test's time limit runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.helm import tools

Need = Callable[[str, object, str], None]
FETCHED = {"promtool": tools.promtool, "prometheus": tools.prometheus, "kube_score": tools.kube_score,
           "definitions": tools.definitions}  # fmt: skip


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())} & set(FETCHED)
    if session.config.option.collectonly:
        return
    for name in wanted:
        with suppress(tools.NotHere):  # the fixture says so
            FETCHED[name]()


def _found(service: Need, name: str) -> Path:
    try:
        return FETCHED[name]()
    except tools.NotHere as wrong:
        service(name.replace("_", "-"), False, str(wrong))
        raise


@pytest.fixture(scope="session")
def promtool(service: Need) -> Path:
    return _found(service, "promtool")


@pytest.fixture(scope="session")
def prometheus(service: Need) -> Path:
    return _found(service, "prometheus")


@pytest.fixture(scope="session")
def kube_score(service: Need) -> Path:
    return _found(service, "kube_score")


@pytest.fixture(scope="session")
def definitions(service: Need) -> Path:
    return _found(service, "definitions")

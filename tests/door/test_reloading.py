"""The access file as it is now, at a door, a console and an MCP server, without a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.brokers.asking import wait_until
from tests.door.doors import APPS, Doors

from stepwire_handlers.services.door import reloading
from stepwire_handlers.services.door.access import Access, load_access, new_key
from stepwire_handlers.services.door.identity import Identity
from stepwire_handlers.services.door.limits import Limits

SOON = 20.0  #: seconds; it takes one
KEYS = {"ann": new_key(), "ben": new_key()}


def _text(*names: str) -> str:
    keys = (f'[[keys]]\nname = "{n}"\nhash = "{KEYS[n][1]}"\nroles = {{ "*" = ["operator"] }}\n' for n in names)
    return "\n".join(keys)


class Mounted:
    """A Secret as the kubelet mounts it: a link to a file below a link, which alone is replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        folder.mkdir()
        self.path = folder / "access.toml"

    def write(self, text: str) -> None:
        """Another content, in one step."""
        self._count += 1
        version = self._folder / f"..version-{self._count}"
        version.mkdir()
        (version / "access.toml").write_text(text)
        (self._folder / "..new").symlink_to(version.name)
        (self._folder / "..new").rename(self._folder / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/access.toml")


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    found = Mounted(tmp_path / "mounted")
    found.write(_text("ann", "ben"))
    return found


@pytest.fixture
def begin(tmp_path: Path, mounted: Mounted) -> Iterator[Callable[..., str]]:
    """Starts a process that asks callers who they are; its address."""
    doors = Doors(tmp_path)

    def begin_(command: str, *options: str) -> str:
        process = doors._begin(command, APPS[0], "--port", "0", "--access", str(mounted.path), *options)
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(rf"{command}: (http://\S+)", line):
                return found[1]
        raise AssertionError(f"it did not open: {process.wait()}")

    yield begin_
    doors.close()


ASKED = {
    "door": ((), "GET", "/runs", 401),
    "console": ((), "GET", "/", 303),  # to the login
    "mcp": (("--http",), "POST", "", 401),
}


@pytest.mark.parametrize("command", ASKED)
@pytest.mark.slow
def test_a_key_that_left_a_mounted_secret_lets_nobody_in(
    command: str, begin: Callable[..., str], mounted: Mounted
) -> None:
    """Without a restart; the other key goes on counting, and one that comes back begins to."""
    options, method, path, refused = ASKED[command]
    url = begin(command, *options) + path

    def status(name: str) -> int:
        return httpx2.request(method, url, headers={"x-api-key": KEYS[name][0]}).status_code

    known = status("ann")
    assert status("ben") == known != refused
    mounted.write(_text("ann"))
    assert wait_until(lambda: status("ben") == refused, SOON)
    assert status("ann") == known
    mounted.write(_text("ann", "ben"))
    assert wait_until(lambda: status("ben") == known, SOON)


def test_a_stream_of_a_key_that_left_ends(begin: Callable[..., str], mounted: Mounted) -> None:
    """It ends by itself, and its client, which comes back to go on, is refused."""
    url, headers = begin("door"), {"x-api-key": KEYS["ben"][0]}
    run = httpx2.post(f"{url}/apps/shop/Order", json={"n": 1}, headers=headers).headers["location"]
    with httpx2.stream("GET", f"{url}{run}/stream", headers=headers, timeout=SOON) as stream:
        lines = stream.iter_lines()
        assert any(line.startswith("event: state") for line in lines)
        mounted.write(_text("ann"))
        assert not any(line.startswith("event: end") for line in lines)
    assert httpx2.get(f"{url}{run}/stream", headers=headers).status_code == 401


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("stepwire"), "propagate", True)
    monkeypatch.setattr(reloading, "LOOK", 0.01)
    return caplog


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_broken_file_changes_nothing_and_is_told_once(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """Broken, then gone: nobody is told of another access, and the log says why each time, without a value."""
    path, told = tmp_path / "access.toml", list[Access]()
    path.write_text(_text("ann"))
    async with reloading.reloaded(path, load_access(path), told.append):
        path.write_text('secret = "hunter2hunter2"')
        await _until(lambda: "access file" in log.text)
        path.unlink()
        await _until(lambda: "cannot be read" in log.text)
        assert (told, log.text.count("goes on counting"), "hunter2" in log.text) == ([], 2, False)
        path.write_text(_text("ben"))
        await _until(lambda: bool(told))
    assert [[key.name for key in one.keys] for one in told] == [["ben"]]


async def test_a_pipe_in_its_place_stops_nobody(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """Whoever opens one waits for somebody who writes: it is not opened, and a file that comes after it counts."""
    path, told = tmp_path / "access.toml", list[Access]()
    path.write_text(_text("ann"))
    async with reloading.reloaded(path, load_access(path), told.append):
        path.unlink()
        os.mkfifo(path)
        writing = threading.Timer(SOON, lambda: os.close(os.open(path, os.O_RDWR)))  # so that a failure has an end
        writing.start()
        await _until(lambda: "is no file; what it said before goes on counting" in log.text)
        writing.cancel()
        path.unlink()
        path.write_text(_text("ben"))
        await _until(lambda: bool(told))


async def test_what_changed_while_the_process_started_counts(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """Between reading the file and looking at it nothing is missed."""
    path, told = tmp_path / "access.toml", list[Access]()
    path.write_text(_text("ann", "ben"))
    access = load_access(path)
    path.write_text(_text("ann"))
    async with reloading.reloaded(path, access, told.append):
        await _until(lambda: bool(told))
    assert len(told[0].keys) == 1 and "changed" in log.text


async def test_a_file_that_is_being_written_is_not_read_by_halves(
    tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While each look finds another size nothing is read, although what is there is a whole file each time."""
    path, told, looks = tmp_path / "access.toml", list[int](), 0
    path.write_text(_text("ann"))
    access, look = load_access(path), reloading._look

    def growing(file: Path) -> Any:
        nonlocal looks
        looks += 1
        if looks < 20:
            file.write_text(_text("ben") + "#" * looks)
        return look(file)

    monkeypatch.setattr(reloading, "_look", growing)
    async with reloading.reloaded(path, access, lambda _: told.append(looks)):
        await _until(lambda: bool(told))
    assert told == [20]  # 19 were other than the one before


def test_an_issuer_keeps_its_keys_and_a_caller_the_bucket() -> None:
    """A changed key asks the issuer nothing; a changed rate gives nobody a full bucket."""
    issuer = {"issuer": "https://login.example", "audience": "a"}
    before = Access.model_validate({"oidc": issuer})
    after = Access.model_validate({"oidc": issuer, "rate": 5, "burst": 5})
    identity, limits = Identity(before), Limits(before.rate, 1.0, lambda: 0.0)
    tokens = identity._tokens
    identity.renew(after)
    assert identity._tokens is tokens and identity.version == 1
    identity.renew(Access.model_validate({"oidc": {**issuer, "audience": "b"}}))
    assert identity._tokens is not tokens
    limits.take("ann")
    limits.renew(after)
    with pytest.raises(Exception, match="more than 5 requests"):
        limits.take("ann")

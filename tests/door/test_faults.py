"""What a door does when what it stands on is gone: the bus, the blob store, its own code."""

from __future__ import annotations

import asyncio
import errno
import io
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.door.doors import Inside, damage
from tests.door.shop import APP

from stepwire.errors import BusUnavailable, OutcomeUnknown


async def test_a_bus_that_is_away_is_503_and_the_repeat_makes_one_run(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After; nothing is half there; with the same key the repeat is the first event."""
    bus, key = inside.door.places.all[0].bus, {"idempotency-key": "k"}

    async def away(_: Any) -> Any:
        raise BusUnavailable("gone, with a secret in its message")

    with monkeypatch.context() as patch:
        patch.setattr(bus, "publish", away)
        answer = await inside.order(7, **key)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "secret" not in answer.text
    assert (await inside.order(7, **key)).json()["repeated"] is False


async def test_an_unknown_outcome_says_how_to_repeat_it(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was written although the door could not tell: the repeat follows that run."""
    bus = inside.door.places.all[0].bus
    publish = bus.publish

    async def lost(outs: Any) -> Any:
        await publish(outs)
        raise OutcomeUnknown("?")

    with monkeypatch.context() as patch:
        patch.setattr(bus, "publish", lost)
        answer = await inside.order(7, **{"idempotency-key": "k"})
    assert answer.status_code == 503 and "Idempotency-Key" in answer.json()["detail"]
    assert (await inside.order(7, **{"idempotency-key": "k"})).json()["repeated"] is True


async def test_a_locked_file_is_waited_for(inside: Inside) -> None:
    """Another process writes for a moment: the event is taken all the same."""
    other = sqlite3.connect(inside.door.places.all[0].bus.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asking = asyncio.create_task(inside.order(7))
    await asyncio.sleep(0.2)
    assert not asking.done()
    other.execute("ROLLBACK")
    other.close()
    assert (await asking).status_code == 202


async def test_a_bus_that_cannot_be_read_is_not_ready(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """/readyz fails until it can be read again; /livez does not look at it."""

    def away() -> int:
        raise BusUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(inside.door.places.all[0].bus.store, "data_version", away)
        while (await inside.client.get("/readyz")).status_code != 503:
            await asyncio.sleep(0.01)
        assert (await inside.client.get("/livez")).status_code == 200
    while (await inside.client.get("/readyz")).status_code != 200:
        await asyncio.sleep(0.01)


async def test_a_full_disk_of_the_blob_store_is_503(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is published for a file that is not there."""

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    place = inside.door.blobs._place
    monkeypatch.setattr(place, "draft", Full)
    monkeypatch.setattr(place, "discard", lambda _: None)
    answer = await inside.client.post("/apps/files/Scan", content=b"x", headers={"content-type": "application/pdf"})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:stepwire:problem:unavailable")


async def test_a_door_without_a_blob_store_takes_everything_but_files(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    """Although its store cannot be made, events come in; a file as body or in a form is 503 with why."""
    (tmp_path / "file").touch()
    async with opened(most=0, blobs=str(tmp_path / "file" / "below")) as inside:
        assert (await inside.order(7)).status_code == 202
        pdf = {"content-type": "application/pdf"}
        told = [await inside.client.post("/apps/files/Scan", content=b"x", headers=pdf)]
        for size in (1, 3_000_000):
            file = {"pdf": ("a.pdf", b"x" * size, "application/pdf")}
            told.append(await inside.client.post("/apps/files/Scan", files=file))
        for answer in told:
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:stepwire:problem:no-blob-store")
            assert "there is no blob store" in answer.json()["detail"] and "retry-after" not in answer.headers
        document = await inside.get("/openapi.json")
        assert "Files are refused" in document["paths"]["/apps/files/Scan"]["post"]["description"]
        assert (await inside.get("/runs?app=files"))["runs"] == []


async def test_a_fault_of_the_door_is_500_without_its_message(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A problem with an instance; the log has the instance, kind and place, neither has the message."""
    quoted = "hunter2" * 2

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(quoted)

    monkeypatch.setattr(APP.__class__, "record", broken)
    async with opened() as inside:
        answer = await inside.order(7)
    logged = capfd.readouterr().err
    assert answer.status_code == 500
    assert answer.json()["instance"] in logged and "RuntimeError" in logged
    assert "hunter2" not in answer.text + logged


async def test_requests_are_counted_by_route(inside: Inside) -> None:
    """By route as declared, method and code; a path that is none counts as other, so nobody can make series."""
    await inside.order(1)
    await inside.client.get("/runs/nope")
    await inside.client.request("BREW", "/coffee")
    text = (await inside.client.get("/metrics")).text
    assert 'stepwire_ingress_requests_total{code="202",method="POST",route="/apps/{app}/{type}"} 1.0' in text
    assert 'stepwire_ingress_requests_total{code="404",method="GET",route="/runs/{run}"} 1.0' in text
    assert 'stepwire_ingress_requests_total{code="404",method="other",route="other"} 1.0' in text
    assert 'stepwire_ingress_events_total{app="shop",outcome="published"} 1.0' in text
    assert 'stepwire_ingress_events_total{app="shop",outcome="repeated"} 0.0' in text
    assert "nope" not in text and "coffee" not in text


async def test_why_nothing_is_taken_stands_in_the_log(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once for many requests: callers hear 503, and whoever runs the door reads of the disk."""

    async def full(_: Any) -> Any:
        raise BusUnavailable("the disk of bus.db is full")

    async with opened() as inside:
        with monkeypatch.context() as patch:
            patch.setattr(inside.door.places.all[0].bus, "publish", full)
            for _ in range(3):
                assert (await inside.order(7)).status_code == 503
        assert (await inside.client.get("/readyz")).status_code == 200  # runs are shown still
    assert capsys.readouterr().err.count("the disk of bus.db is full") == 1


async def test_a_damaged_bus_is_503_and_not_ready(
    opened: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Pages in the middle of the file are garbage: every answer is 503, /readyz too, and the log names the cure."""
    async with opened() as inside:
        await inside.order(7)
        damage(Path(inside.bus.path))
        for address in ("/runs", "/gates", "/dead-letters"):
            assert (await inside.client.get(address)).status_code == 503
        assert (await inside.order(8)).status_code == 503
        assert (await inside.client.get("/readyz")).status_code == 503
        assert (await inside.client.get("/livez")).status_code == 200
    assert ".recover" in capsys.readouterr().err

"""What a bucket of blobs does about a network, credentials and names that are wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from stepwire.errors import Reject, SettingsError, Transient
from stepwire_handlers.blobs import blob_store

if TYPE_CHECKING:
    from conftest import BucketSite

HOUR = 3600.0


def nobody_listens() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("s3")
async def test_a_store_that_cannot_be_reached_is_worth_another_try() -> None:
    """It also lets the worker start: the calls that need it are retried, the others go on."""
    async with blob_store(f"s3://some-bucket/in?endpoint={nobody_listens()}&region=us-east-1") as blobs:
        with pytest.raises(Exception, match="error sending request") as failed:
            await blobs.put(b"data")
    meant = blobs.classify(failed.value)
    assert isinstance(meant, Transient)
    assert "s3://some-bucket/in did not answer" in meant.reason
    assert "\n" not in meant.reason


async def test_a_bucket_that_does_not_exist_is_refused_at_the_start(s3: str) -> None:
    with pytest.raises(SettingsError, match="s3://no-such-bucket answers NoSuchBucket: check the bucket's name"):
        async with blob_store(f"s3://no-such-bucket?endpoint={s3}&region=us-east-1"):
            pass


async def test_a_bucket_deleted_under_way_is_rejected_with_the_cure(s3: str) -> None:
    blobs = blob_store(f"s3://no-such-bucket?endpoint={s3}&region=us-east-1")
    with pytest.raises(Reject, match=r"there is no such bucket\. Create it, then replay"):
        await blobs.put(b"data")


@pytest.mark.parametrize("refusal", [PermissionDeniedError, UnauthenticatedError])
async def test_refused_credentials_are_for_a_person(bucket: BucketSite, refusal: type[Exception]) -> None:
    meant = bucket.open().classify(refusal("403 AccessDenied\nDebug source: …"))
    assert isinstance(meant, Reject)
    assert meant.reason.endswith("check the credentials and their rights. It said: 403 AccessDenied")


async def test_the_bucket_knows_the_media_type(bucket: BucketSite) -> None:
    async with bucket.open() as blobs:
        put = await blobs.put(b"%PDF", media_type="application/pdf")
        await blobs.renew(put)
    key = bucket._inside.keys[f"in/here/{put.sha256}"]
    assert key.metadata["content-type"] == "application/pdf"


async def test_what_a_killed_renewal_left_is_swept(bucket: BucketSite) -> None:
    async with bucket.open() as blobs:
        put = await blobs.put(b"data")
        bucket.write(f"{put.sha256}.renewing-00ff", b"data")
        bucket.age(f"{put.sha256}.renewing-00ff", 2 * HOUR)
        assert await blobs.expire(HOUR) == 1
    assert bucket.names() == [put.sha256]


async def test_a_lease_renewed_since_the_list_was_made_is_respected(
    bucket: BucketSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bucket.open() as blobs:
        put = await blobs.put(b"data")

        async def stale(*_: object, **__: object) -> AsyncIterator[list[dict[str, object]]]:
            yield [{"path": put.sha256, "last_modified": datetime.fromtimestamp(0, UTC)}]

        monkeypatch.setattr(obstore, "list", stale)
        assert await blobs.expire(HOUR) == 0
    assert bucket.names() == [put.sha256]


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///key", "s3://key:secret@bucket/x", "s3://bucket/x?secret=1", "s3://bucket/x?Endpoint="],
)
def test_an_address_with_credentials_or_unknown_options_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="credentials come from the environment"):
        blob_store(url)


def test_without_the_library_the_message_names_the_extra() -> None:
    """And a folder needs no library at all."""
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from stepwire_handlers.blobs import blob_store\n"
        "blob_store('some/folder')\n"
        "try: blob_store('s3://bucket/x')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "SettingsError blobs in S3 need the library obstore: install stepwire[s3]\n"

"""The places that blobs can lie in, each empty: a folder, and a bucket of an S3 server on this machine."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from stepwire_handlers.blobs import BlobStore, blob_store

_numbers = itertools.count()


class Site(Protocol):
    """A place seen from outside, by means that are not ours."""

    url: str

    def open(self, **options: Any) -> BlobStore:
        """A store over this place."""

    def names(self) -> list[str]:
        """All that lies there but lock files."""

    def age(self, name: str, seconds: float) -> None:
        """Make it look as if last touched so many seconds ago."""

    def write(self, name: str, data: bytes) -> None:
        """Put bytes there, past the store."""


@dataclass
class FolderSite:
    root: Path

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def open(self, **options: Any) -> BlobStore:
        return blob_store(self.url, **options)

    def names(self) -> list[str]:
        return sorted(file.name for file in self.root.iterdir() if file.name != ".lock")

    def age(self, name: str, seconds: float) -> None:
        then = time.time() - seconds
        os.utime(self.root / name, (then, then))

    def write(self, name: str, data: bytes) -> None:
        (self.root / name).write_bytes(data)


@dataclass
class BucketSite:
    bucket: str
    endpoint: str
    prefix = "in/here"

    def __post_init__(self) -> None:
        client = boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1")
        client.create_bucket(Bucket=self.bucket)
        client.close()

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}?endpoint={self.endpoint}&region=us-east-1"

    def open(self, **options: Any) -> BlobStore:
        return blob_store(self.url, **options)

    def names(self) -> list[str]:
        return sorted(key.removeprefix(f"{self.prefix}/") for key in self._inside.keys)

    def age(self, name: str, seconds: float) -> None:
        self._inside.keys[f"{self.prefix}/{name}"].last_modified = datetime.fromtimestamp(
            time.time() - seconds, UTC
        ).replace(tzinfo=None)

    def write(self, name: str, data: bytes) -> None:
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(self.bucket, f"{self.prefix}/{name}", data)

    @property
    def _inside(self) -> Any:
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[self.bucket]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server; its credentials are in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> FolderSite:
    return FolderSite(tmp_path / "blobs")


@pytest.fixture
def bucket(s3: str) -> BucketSite:
    return BucketSite(f"blobs-{next(_numbers)}", s3)


@pytest.fixture(params=["folder", "bucket"])
def site(request: pytest.FixtureRequest) -> Site:
    site: Site = request.getfixturevalue(request.param)
    return site

"""What holds of a blob store wherever its bytes lie."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stepwire.errors import Reject
from stepwire_topics.attachment import Attachment

if TYPE_CHECKING:
    from conftest import Site

HOUR = 3600.0


async def flow(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_what_is_put_comes_back_and_the_attachment_says_what_it_is(site: Site) -> None:
    async with site.open() as blobs:
        put = await blobs.put(b"%PDF", media_type="application/pdf", name="bill.pdf")
        assert await blobs.get(put) == b"%PDF"
    hashed = sha256(b"%PDF").hexdigest()
    assert put == Attachment(sha256=hashed, size=4, media_type="application/pdf", name="bill.pdf")
    assert site.names() == [hashed]


@given(pieces=st.lists(st.binary(max_size=100_000), max_size=5))
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_bytes_in_any_pieces_come_back_whole(site: Site, pieces: list[bytes]) -> None:
    whole = b"".join(pieces)

    async def roundtrip() -> None:
        async with site.open() as blobs:
            put = await blobs.put(flow(pieces))
            assert put == await blobs.put(bytearray(whole))
            assert await blobs.get(put) == whole
            assert put.size == len(whole)

    anyio.run(roundtrip)


async def test_a_path_is_read_and_gives_the_name(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "rechnung.pdf"
    file.write_bytes(b"x" * 5_500_000)
    async with site.open() as blobs:
        put = await blobs.put(file)
        assert (put.name, put.size) == ("rechnung.pdf", 5_500_000)
        async with blobs.open(put) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"x" * 5_500_000


async def test_a_large_file_survives_the_way_in_parts(site: Site) -> None:
    """Above the size of one part the S3 client switches to a multipart upload."""
    pieces = [bytes([number]) * 3_000_000 for number in range(6)]
    async with site.open() as blobs:
        put = await blobs.put(flow(pieces))
        assert put.size == 18_000_000
        assert await blobs.get(put) == b"".join(pieces)


async def test_the_same_bytes_put_at_once_are_one_blob(site: Site) -> None:
    kept: list[Attachment] = []
    async with site.open() as blobs:

        async def put() -> None:
            kept.append(await blobs.put(b"same" * 100_000))

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(put)
        assert await blobs.get(kept[0]) == b"same" * 100_000
    assert len(kept) == 12
    assert site.names() == [kept[0].sha256] == list({put.sha256 for put in kept})


@pytest.mark.parametrize("pieces", [[b"y" * 11], [b"y" * 6, b"y" * 5]])
async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(site: Site, pieces: list[bytes]) -> None:
    async with site.open(max_bytes=10) as blobs:
        assert (await blobs.put(b"x" * 10)).size == 10
        with pytest.raises(Reject, match=r"larger than the 10 bytes .* raise the store's max_bytes"):
            await blobs.put(flow(pieces))
    assert len(site.names()) == 1


async def test_a_source_that_fails_half_way_leaves_nothing(site: Site) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError("the upload broke off")

    async with site.open() as blobs:
        with pytest.raises(ConnectionResetError):
            await blobs.put(broken())
    assert site.names() == []


async def test_a_put_that_is_cancelled_leaves_nothing(site: Site) -> None:
    async with site.open() as blobs, anyio.create_task_group() as group:

        async def endless() -> AsyncIterator[bytes]:
            yield b"half"
            group.cancel_scope.cancel()
            yield b"more"

        group.start_soon(blobs.put, endless())
    assert site.names() == []


async def test_a_blob_that_is_not_there_is_rejected_with_the_cure(site: Site) -> None:
    lost = Attachment(sha256="ab" * 32, size=1)
    async with site.open() as blobs:
        with pytest.raises(Reject, match=f"{'ab' * 32} is not in .*Put the file again, then replay"):
            await blobs.get(lost)
        with pytest.raises(Reject, match="is not in"):
            await blobs.renew(lost)


@pytest.mark.parametrize("found", [b"", b"ab", b"xyz", b"abcd"])
async def test_bytes_that_do_not_match_are_rejected_until_the_file_is_put_again(site: Site, found: bytes) -> None:
    async with site.open() as blobs:
        put = await blobs.put(b"abc")
        site.write(put.sha256, found)
        with pytest.raises(Reject, match=r"is damaged: it is not the 3 bytes"):
            await blobs.get(put)
        assert await blobs.put(b"abc") == put
        assert await blobs.get(put) == b"abc"


async def test_expire_deletes_what_was_neither_put_again_nor_renewed(site: Site) -> None:
    async with site.open() as blobs:
        fresh, renewed, again, gone = [await blobs.put(word) for word in (b"fresh", b"renewed", b"again", b"gone")]
        for old in (renewed, again, gone):
            site.age(old.sha256, 2 * HOUR)
        await blobs.renew(renewed)
        await blobs.put(b"again")
        assert await blobs.expire(HOUR) == 1
        assert site.names() == sorted(kept.sha256 for kept in (fresh, renewed, again))
        assert await blobs.get(renewed) == b"renewed"
        with pytest.raises(Reject, match="its lease ran out"):
            await blobs.get(gone)


async def test_two_sweeps_at_once_get_in_nobodys_way(site: Site) -> None:
    counts: list[int] = []
    async with site.open() as blobs:
        for number in range(20):
            site.age((await blobs.put(bytes([number]))).sha256, 2 * HOUR)

        async def sweep() -> None:
            counts.append(await blobs.expire(HOUR))

        async with anyio.create_task_group() as group:
            group.start_soon(sweep)
            group.start_soon(sweep)
    assert sum(counts) >= 20
    assert site.names() == []


async def test_what_is_not_a_blob_is_never_swept(site: Site) -> None:
    async with site.open() as blobs:
        site.write("readme.txt", b"mine")
        site.age("readme.txt", 1000 * HOUR)
        assert await blobs.expire(0.0) == 0
    assert site.names() == ["readme.txt"]


async def test_classify_leaves_other_peoples_errors_alone(site: Site) -> None:
    assert site.open().classify(ConnectionResetError()) is None


async def test_a_bad_name_or_media_type_is_refused_before_anything_is_written(site: Site) -> None:
    async with site.open() as blobs:
        for bad in ({"name": "a/b"}, {"media_type": "pdf"}, {"media_type": "text/plain\r\nx: y"}):
            with pytest.raises(ValueError, match="validation error"):
                await blobs.put(b"x", **bad)
    assert site.names() == []


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "..", "a\\b", "a\nb", "x" * 256])
def test_a_name_cannot_point_anywhere(name: str) -> None:
    with pytest.raises(ValidationError):
        Attachment(sha256="0" * 64, size=0, name=name)


@pytest.mark.parametrize("key", ["0" * 63, "A" * 64, "../" + "0" * 61, "0" * 64 + "\n"])
def test_a_key_is_a_hash_and_nothing_else(key: str) -> None:
    with pytest.raises(ValidationError):
        Attachment(sha256=key, size=0)

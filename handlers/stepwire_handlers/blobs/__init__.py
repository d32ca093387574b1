"""The blob store: the files that events name by an `Attachment` and do not carry.

`blob_store(url)` gives a `BlobStore`, a resource like any other. `store` hashes, limits and verifies;
`folder` and `s3` are the two places where the bytes can lie.
"""

from stepwire_handlers.blobs.address import blob_store
from stepwire_handlers.blobs.store import BlobStore

__all__ = ["BlobStore", "blob_store"]

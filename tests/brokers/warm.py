"""What each start of a broker repeats, taken from one that was started before: its classes, and an empty data folder.

In: the folder of Kafka's jars. Out: flags for Java, and files of a data folder; `warm_up` makes both, once a machine.
Promise: a machine without them, or with another Java since, starts brokers as before, only slower.
"""

from __future__ import annotations

import shutil
from pathlib import Path

CLUSTER_ID = "c3RlcHdpcmUtdGVzdHMtMA"  # any 16 bytes, base64
CLASSES = "classes.jsa"
FORMATTED = "bootstrap.checkpoint"  # which features the cluster begins with; the same for every node


def kept(jars: Path) -> Path:
    """The folder, which may be missing; when it is there it is whole."""
    return jars.with_name(f"{jars.name}-warm")


def flags(jars: Path) -> list[str]:
    """Java maps an archive's classes instead of reading and checking each; it refuses another Java's by itself."""
    archive = kept(jars) / CLASSES
    return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []


def format_like(jars: Path, data: Path, number: int) -> bool:
    """Make an empty data folder as Kafka's tool would; False if none was kept to do it like."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept(jars) / FORMATTED, data / FORMATTED)
    except FileNotFoundError:
        return False
    # without a directory.id a broker gives itself one
    (data / "meta.properties").write_text(f"version=1\ncluster.id={CLUSTER_ID}\nnode.id={number}\n")
    return True

"""Apache Kafka's jars, fetched from Maven once and kept in the user's cache.

In: a version, Java and Maven on the PATH. Out: the folder with the jars.
Promise: the folder is there whole or not at all; of processes that need it at once one fetches, the others wait.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "4.3.1"
JAVA = 17  # what its brokers need
FETCH_SECONDS = 300

POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>stepwire.tests</groupId>
  <artifactId>kafka-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{kafka}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>{log4j}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{log4j}</version></dependency>
  </dependencies>
</project>
"""
LOG4J = "2.24.3"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class NotHere(Exception):
    """A way to a broker that this machine does not have; says what is missing and what to do about it."""


def kafka_jars(version: str = VERSION) -> Path:
    """The folder of jars, fetched if need be; `NotHere` if they cannot be had or run."""
    need_java()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepwire"
    jars = cache / f"kafka-{version}"
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with alone(cache / f"kafka-{version}.lock"):
        if not jars.is_dir():
            _fetch(version, jars)
    return jars


def need_java() -> None:
    """`NotHere` unless a Java that runs Kafka is on the PATH."""
    if not shutil.which("java"):
        raise NotHere(f"no java on the PATH; install Java {JAVA} or later")
    said = java_version()
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if not found or int(found[1]) < JAVA:
        raise NotHere(f"`java -version` says {said.strip() or 'nothing'!r}; Kafka needs Java {JAVA} or later")


def java_version() -> str:
    """What the Java on the PATH says of itself."""
    return subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock that the system lets go when this process dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(version: str, jars: Path) -> None:
    """Fetch beside the target, then give the whole its name."""
    if not shutil.which("mvn"):
        raise NotHere(f"Kafka's jars are not in {jars} and there is no mvn on the PATH to fetch them; install Maven")
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix=f"{jars.name}.part-", ignore_cleanup_errors=True) as part:
        folder = Path(part)
        (folder / "pom.xml").write_text(POM.format(kafka=version, log4j=LOG4J))
        sys.stderr.write(f"fetching Kafka {version} by Maven into {jars}, once\n")
        command = ["mvn", "-q", "-B", "--strict-checksums", COPY, f"-DoutputDirectory={folder / 'jars'}"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise NotHere(
                f"Maven did not fetch Kafka {version} within {FETCH_SECONDS} s; is the network there?"
            ) from None
        if done.returncode or not any((folder / "jars").glob("*.jar")):
            said = (done.stdout + done.stderr).strip()[-500:]
            raise NotHere(f"Maven cannot fetch Kafka {version} (exit {done.returncode}): {said}")
        (folder / "jars").rename(jars)

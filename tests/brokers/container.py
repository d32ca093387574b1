"""The shared broker in a container, where a Docker daemon answers.

In: a daemon. Out: bootstrap servers. Promise: testcontainers' reaper removes the container when this process is gone.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from tests.brokers.asking import brokers_known_at, wait_until
from tests.brokers.cluster import free_ports
from tests.brokers.jars import VERSION, NotHere
from tests.brokers.settings import Seat, properties

IMAGE = f"apache/kafka:{VERSION}"
START_SECONDS = 60
PULL_SECONDS = 300
# In a process of its own: Docker's client leaves its socket to the garbage collector where no daemon answers, and
# it is half a second of imports that most runs have no use for.
ASK = """
import sys
import docker
from testcontainers.core.docker_client import DockerClient
client = DockerClient().client
client.ping()
try:
    client.images.get(sys.argv[1])
except docker.errors.ImageNotFound:
    client.images.pull(sys.argv[1])
"""


def need_image() -> None:
    """`NotHere` unless a daemon answers and has the image, or can pull it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK, IMAGE], capture_output=True, text=True, check=False, timeout=PULL_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise NotHere(f"Docker did not have {IMAGE} within {PULL_SECONDS} s") from None
    if done.returncode:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise NotHere(f"Docker cannot give {IMAGE}: {said[:200]}")


def start_container(stack: ExitStack) -> str:
    """Run the project's image until the stack closes."""
    import docker
    from testcontainers.core.container import DockerContainer

    port, controller = free_ports(2)
    seat = Seat(1, port, controller)
    container = DockerContainer(IMAGE)
    for name, value in properties(seat, [seat], "0.0.0.0", "/tmp/kafka-data", {}).items():  # noqa: S104, S108 - inside it
        container.with_env(variable(name), value)
    container.ports[str(port)] = ("127.0.0.1", port)
    try:
        stack.enter_context(container)
    except docker.errors.DockerException as wrong:
        raise NotHere(f"Docker cannot run {IMAGE}: {wrong}") from wrong
    address = f"127.0.0.1:{port}"
    if not wait_until(lambda: 1 in brokers_known_at(address), START_SECONDS):
        raise NotHere(f"{IMAGE} runs in Docker, but nobody answers on {address} within {START_SECONDS} s")
    return address


def variable(name: str) -> str:
    """A property as the image's environment variable."""
    return "KAFKA_" + name.replace("_", "__").replace("-", "___").replace(".", "_").upper()

"""The name server that a node of our own gets answers as a cluster's does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from tests.kubernetes.names import Names

SERVICES = {
    "items": [
        {"metadata": {"name": "door", "namespace": "shop"}, "spec": {"clusterIP": "10.96.7.8"}},
        {"metadata": {"name": "headless", "namespace": "shop"}, "spec": {"clusterIP": "None"}},
    ]
}


@pytest.fixture
def ask() -> Iterator[socket.socket]:
    """A socket whose other side is the server."""
    with Names("127.0.0.1", lambda *_: json.dumps(SERVICES), port=0) as port, socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM
    ) as client:  # fmt: skip
        client.settimeout(5)
        client.connect(("127.0.0.1", port))
        yield client


def question(name: str, kind: int) -> bytes:
    """One question, number 4711."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x67\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00" + bytes([0, kind, 0, 1])


def test_a_service_has_its_address(ask: socket.socket) -> None:
    """An A question for a Service is answered with its cluster address, under the question's number."""
    ask.send(question("door.shop.svc.cluster.local", 1))
    answer = ask.recv(512)
    assert answer[:2] == b"\x12\x67" and answer[3] & 0x0F == 0
    assert answer[6:8] == b"\x00\x01" and answer[-4:] == bytes([10, 96, 7, 8])


def test_other_kinds_are_empty_and_other_names_unknown(ask: socket.socket) -> None:
    """AAAA of a Service exists and is empty; a name that is no Service, or has no address, does not exist."""
    ask.send(question("door.shop.svc.cluster.local", 28))
    answer = ask.recv(512)
    assert answer[3] & 0x0F == 0 and answer[6:8] == b"\x00\x00"
    for name in ("example.org", "headless.shop.svc.cluster.local"):
        ask.send(question(name, 1))
        assert ask.recv(512)[3] & 0x0F == 3

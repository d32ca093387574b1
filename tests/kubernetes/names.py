"""Names of Services, for a cluster without a name server of its own.

In: an address to listen on, a way to ask for Services. Out: answers to A questions of `<service>.<namespace>.svc…`.
Promise: the same answers as a cluster's own; names of the world outside do not exist.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable

DOMAIN = "svc.cluster.local"
HEADER = struct.Struct("!HHHHHH")
ANSWERED, NO_NAME = 0x8580, 0x8583  #: authoritative, recursion offered; the second: no such name
POINTER = b"\xc0\x0c"  #: to the name in the question
A, INTERNET, SECONDS = 1, 1, 5
GLANCE = 0.5  #: seconds without a question, then it looks whether it should end


class Names:
    """A server, from `with` to its end."""

    def __init__(self, address: str, kubectl: Callable[..., str], port: int = 53) -> None:
        self._kubectl = kubectl
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._socket.settimeout(GLANCE)
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> int:
        """Start; the port."""
        self._thread.start()
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._told.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._told.is_set():
            try:
                question, who = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            self._socket.sendto(self._answer(question), who)

    def _answer(self, question: bytes) -> bytes:
        name, kind, end = asked(question)
        address = self._services().get(name)
        number = HEADER.unpack_from(question)[0]
        found = address is not None and kind == A
        head = HEADER.pack(number, NO_NAME if address is None else ANSWERED, 1, int(found), 0, 0)
        rest = question[HEADER.size : end]
        if not found or address is None:
            return head + rest
        return head + rest + POINTER + struct.pack("!HHIH", A, INTERNET, SECONDS, 4) + socket.inet_aton(address)

    def _services(self) -> dict[str, str]:
        rows = json.loads(self._kubectl("get", "services", "--all-namespaces", "--output=json"))["items"]
        return {
            f"{row['metadata']['name']}.{row['metadata']['namespace']}.{DOMAIN}": row["spec"]["clusterIP"]
            for row in rows
            if row["spec"].get("clusterIP", "None") != "None"
        }


def asked(question: bytes) -> tuple[str, int, int]:
    """(name, kind, where the question ends)."""
    labels, at = [], HEADER.size
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    (kind,) = struct.unpack_from("!H", question, at + 1)
    return ".".join(labels).lower(), kind, at + 5

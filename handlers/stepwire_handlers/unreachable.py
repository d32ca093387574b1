"""Why the brokers cannot be reached: aiokafka only logs it, so each address is tried once more, and what fails is said.

In: bootstrap servers, and how a client reaches them. Out: a sentence for each address, with the setting to look at;
never a secret.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

LONG = 5.0  #: seconds for one address, all in all
FRESH = 5.0  #: seconds that an answer serves whoever asks next: each costs a login at each address
WHO = (IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError)


class Reason:
    """Why the brokers of one bus cannot be reached; however many requests fail at once, the brokers are tried once.

    Args:
        servers: bootstrap servers.
        options: how aiokafka's client reaches them.
    """

    def __init__(self, servers: str, options: Mapping[str, Any]) -> None:
        self._servers, self._options = servers, options
        self._trying: asyncio.Task[str] | None = None
        self._until = 0.0

    async def __call__(self) -> str:
        """A sentence for each address, at most some seconds old."""
        now, trying = asyncio.get_running_loop().time(), self._trying
        if trying is None or trying.cancelled() or (trying.done() and now > self._until):
            trying = self._trying = asyncio.create_task(why(self._servers, self._options))
            self._until = now + FRESH
        return await asyncio.shield(trying)  # who asked first may be cancelled; the others still wait


async def why(servers: str, options: Mapping[str, Any]) -> str:
    """What each bootstrap server says to a new connection; where one answers, what the brokers that it names say."""
    known = {key: value for key, value in options.items() if key.startswith(("security_", "ssl_", "sasl_"))}
    hosts = sorted((host, port) for host, port, _ in collect_hosts(servers))
    found = await asyncio.gather(*(_tried(host, port, known) for host, port in hosts))
    wrong = [said for said, _ in found if said]
    if len(wrong) == len(found):
        return "; ".join(wrong)
    named = sorted({broker for _, brokers in found for broker in brokers} - set(hosts))
    advertised = await asyncio.gather(*(_tried(host, port, known) for host, port in named))
    wrong += [f"the brokers name an address (advertised.listeners) where {said}" for said, _ in advertised if said]
    return "; ".join(wrong) or "brokers answer again, or none of them leads what is wanted just now"


async def _tried(host: str, port: int, known: Mapping[str, Any]) -> tuple[str, list[tuple[str, int]]]:
    """What is wrong at one address, and the brokers that it names; nothing is wrong: an empty text."""
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(LONG):
            connection = await create_conn(host, port, client_id="stepwire", **known)
            try:
                answer = await connection.send(MetadataRequest([]))
            finally:
                connection.close()
    except Exception as error:  # noqa: BLE001 - it explains a failure and must not be another one
        return f"{where}: {meant(error)}", []
    if brokers := [(broker[1], broker[2]) for broker in answer.brokers]:
        return "", brokers
    if known.get("sasl_mechanism") != "OAUTHBEARER":
        return f"{where}: it knows of no broker yet; is it still starting?", []
    # aiokafka takes the challenge that carries a refused token's error for success
    return f"{where}: it does not accept the token; look at sasl.oauthbearer.token.file", []


def meant(error: BaseException) -> str:
    """What went wrong while a connection was opened, and where to look."""
    if isinstance(error, KafkaConnectionError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, WHO):
        said = str(error).rpartition("SaslAuthenticationFailed: ")[2]
        if not isinstance(error, SaslAuthenticationFailed):
            said = "it does not know this mechanism"
        return f"the broker does not let this user in ({said}); look at sasl.mechanism and at what goes with it"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not to be trusted ({error.verify_message}); look at ssl.ca.location and at the "
            f"address: the certificate must name it"
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"no TLS ({error.reason or error}); look whether security.protocol fits this port, and whether the broker "
            f"takes the certificate of ssl.certificate.location"
        )
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; is the broker up, is the address right?"
    if isinstance(error, TimeoutError):
        return "no answer in time; is the address right, does a firewall drop what is sent there?"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    said = str(error).removeprefix("KafkaConnectionError: ") or type(error).__name__
    return f"{said}; look whether security.protocol fits this port, and whether the broker wants a certificate"

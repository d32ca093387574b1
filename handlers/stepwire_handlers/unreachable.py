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
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

LONG = 5.0  #: seconds for one address
WHO = (IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError)


async def why(servers: str, options: Mapping[str, Any]) -> str:
    """What each bootstrap server says to a new connection."""
    return "; ".join(await asyncio.gather(*(_tried(host, port, options) for host, port, _ in collect_hosts(servers))))


async def _tried(host: str, port: int, options: Mapping[str, Any]) -> str:
    known = {key: value for key, value in options.items() if key.startswith(("security_", "ssl_", "sasl_"))}
    where = f"{host}:{port}"
    try:
        connection = await create_conn(host, port, client_id="stepwire", request_timeout_ms=int(LONG * 1000), **known)
    except (KafkaError, OSError, TimeoutError, AssertionError, ValueError) as error:
        return f"{where}: {meant(error)}"
    try:
        answer = await connection.send(MetadataRequest([]))
    except (KafkaError, OSError, TimeoutError) as error:
        return f"{where}: {meant(error)}"
    finally:
        connection.close()
    if answer.brokers:
        return f"{where} answers now"
    return (  # aiokafka takes the challenge that carries a refused token's error for success
        f"{where}: it answers, but tells of no broker; a token that it does not accept does that: look at "
        f"sasl.oauthbearer.token.file"
    )


def meant(error: BaseException) -> str:
    """What went wrong while a connection was opened, and where to look."""
    if isinstance(error, KafkaConnectionError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, WHO):
        said = str(error).rpartition("SaslAuthenticationFailed: ")[2]
        if isinstance(error, UnsupportedSaslMechanismError):
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

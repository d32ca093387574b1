"""Kafka client properties under their own names, as this project's client takes them.

In: properties as Kafka's or librdkafka's documentation calls them (`security.protocol`, `sasl.password`,
`ssl.ca.location`). Out: what the Kafka bus is made with. Raises SettingsError with the nearest known name.
"""

from __future__ import annotations

import difflib
import importlib.util
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepwire.errors import SettingsError

#: property -> aiokafka's name for it; times stay in milliseconds, as the property says
PLAIN: Mapping[str, str] = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
    "sasl.kerberos.domain.name": "sasl_kerberos_domain_name",
    "connections.max.idle.ms": "connections_max_idle_ms",
    "retry.backoff.ms": "retry_backoff_ms",
}
TLS = frozenset(
    {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password",
     "ssl.endpoint.identification.algorithm"}
)  # fmt: skip
TOKEN = "sasl.oauthbearer.token.file"  # noqa: S105 - a property: a file that is read again at every connection
COMPRESSION = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
OURS = frozenset({"compression.type", TOKEN})
KNOWN = frozenset(PLAIN) | TLS | OURS
SECRET = frozenset({"sasl.password", "ssl.key.password"})
CHOICES: Mapping[str, tuple[str, ...]] = {
    "security.protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl.mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"),
}


def checked(name: str, where: str) -> str:
    """The property, if there is one of that name."""
    if name in KNOWN:
        return name
    near = difflib.get_close_matches(name, KNOWN, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(KNOWN))}"
    raise SettingsError(f"{where}: there is no Kafka client property {name}; {hint}")


def options(properties: Mapping[str, str]) -> dict[str, Any]:
    """How aiokafka's client reaches the cluster. Raises SettingsError for what it cannot be reached with."""
    _sound(properties)
    found: dict[str, Any] = {PLAIN[name]: _typed(name, value) for name, value in properties.items() if name in PLAIN}
    if found.get("security_protocol", "PLAINTEXT") in ("SSL", "SASL_SSL"):
        found["ssl_context"] = _context(properties)
    if found.get("security_protocol", "").startswith("SASL"):
        found.setdefault("sasl_mechanism", "PLAIN")
    if TOKEN in properties:
        found["sasl_oauth_token_provider"] = _token(Path(properties[TOKEN]))
    return found


def compression(properties: Mapping[str, str]) -> int:
    """The number of `compression.type`. Raises SettingsError."""
    name = properties.get("compression.type", "none")
    if name not in COMPRESSION:
        raise SettingsError(f"compression.type {name}: there are {', '.join(COMPRESSION)}")
    return COMPRESSION[name]


def _sound(properties: Mapping[str, str]) -> None:
    """Refuse here, with the cure, what the client would end with a traceback for."""
    for name, known in CHOICES.items():
        if properties.get(name, known[0]) not in known:
            raise SettingsError(f"{name} {properties[name]}: there are {', '.join(known)}")
    if "ssl.key.location" in properties and "ssl.certificate.location" not in properties:
        raise SettingsError("ssl.key.location needs ssl.certificate.location, the certificate that belongs to the key")
    if not properties.get("security.protocol", "").startswith("SASL"):
        return
    mechanism = properties.get("sasl.mechanism", "PLAIN")
    if mechanism == "GSSAPI" and importlib.util.find_spec("gssapi") is None:
        raise SettingsError("sasl.mechanism GSSAPI needs Kerberos' package: pip install gssapi")
    needed = {"OAUTHBEARER": (TOKEN,), "GSSAPI": ()}.get(mechanism, ("sasl.username", "sasl.password"))
    missing = [name for name in needed if name not in properties]
    if missing:
        raise SettingsError(f"sasl.mechanism {mechanism} needs {' and '.join(missing)}; set it, or choose another")


def _typed(name: str, value: str) -> Any:
    if not name.endswith(".ms"):
        return value
    try:
        return int(value)
    except ValueError:
        raise SettingsError(f"{name} is a number of milliseconds, not {value!r}") from None


def _context(properties: Mapping[str, str]) -> ssl.SSLContext:
    authority, certificate = properties.get("ssl.ca.location"), properties.get("ssl.certificate.location")
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate is not None:
            # never None: OpenSSL would ask for the password of an encrypted key at the terminal, and wait there
            password = properties.get("ssl.key.password", "")
            context.load_cert_chain(certificate, properties.get("ssl.key.location"), password)
    except (OSError, ssl.SSLError) as error:
        files = [value for name, value in properties.items() if name.endswith(".location")]
        raise SettingsError(f"TLS files cannot be used ({', '.join(files)}): {error}; they are PEM files") from None
    if properties.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    return context


def _token(path: Path) -> Any:
    try:
        path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", "") or error
        raise SettingsError(f"{TOKEN} {path} cannot be read: {said}; name a file that holds the token") from None
    from aiokafka.abc import AbstractTokenProvider  # noqa: PLC0415 - only where Kafka is used

    class FileToken(AbstractTokenProvider):  # type: ignore[misc]
        """A token that something else renews in its file."""

        async def token(self) -> str:
            """What the file holds now. Raises OSError, which aiokafka takes for a connection that failed."""
            try:
                return path.read_text("utf-8").strip()
            except UnicodeDecodeError as error:
                raise OSError(f"{path} holds no token, but bytes that are no text") from error

    return FileToken()

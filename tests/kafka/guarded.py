"""A broker that asks who comes, encrypts, and refuses what no ACL allows.

In: a folder. Out: its doors and what opens each, as a person's settings say it. The administrator has a door of his own
without a password; whoever comes by another one is the user `worker`, who may do nothing until rights are given.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from tests.brokers.cluster import free_ports
from tests.brokers.jars import NotHere, kafka_jars
from tests.brokers.node import Node
from tests.brokers.settings import Seat, properties
from tests.kafka.certificates import Certificates

from stepwire.bus.kafka.bus import KafkaBus
from stepwire_handlers.cluster.rights import Right
from stepwire_handlers.kafka_client import options
from stepwire_handlers.unreachable import why

PASSWORD = "correct-horse"  # noqa: S105 - of a broker that lives as long as its test
MODULES = {
    "plain": f'org.apache.kafka.common.security.plain.PlainLoginModule required user_worker="{PASSWORD}";',
    "scram-sha-512": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    "oauthbearer": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
    'unsecuredLoginStringClaim_sub="worker";',
}
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}


@dataclass(frozen=True)
class Doors:
    """The ports of the listeners."""

    plain: int  #: the administrator's
    sasl: int  #: SASL_PLAINTEXT
    secure: int  #: SASL_SSL
    mutual: int  #: SSL, with a certificate of the client
    mistaken: int  #: SASL_SSL, and its certificate names another host


class Guarded:
    """The running broker."""

    def __init__(self, node: Node, doors: Doors, certificates: Certificates) -> None:
        self.node, self.doors, self.certificates = node, doors, certificates
        self.admin = AdminClient({"bootstrap.servers": node.address, "log_level": 2})
        self.address = node.address
        self.set_password(PASSWORD)

    def set_password(self, password: str) -> None:
        """What SCRAM takes from now on; connections that are open stay."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        upsertion = UserScramCredentialUpsertion("worker", info, password.encode())
        for done in self.admin.alter_user_scram_credentials([upsertion]).values():
            done.result(20)

    def properties(self, way: str) -> tuple[str, dict[str, str]]:
        """Address and client properties of one way in, by its name."""
        authority = {"ssl.ca.location": str(self.certificates.authority)}
        person = {"sasl.username": "worker", "sasl.password": PASSWORD}
        secure = {"security.protocol": "SASL_SSL", **authority}
        found: dict[str, tuple[int, dict[str, str]]] = {
            "open": (self.doors.plain, {}),
            "plain-sasl": (self.doors.sasl, {"security.protocol": "SASL_PLAINTEXT", **person}),
            "plain": (self.doors.secure, {**secure, **person}),
            "scram": (self.doors.secure, {**secure, **person, "sasl.mechanism": "SCRAM-SHA-512"}),
            "oauth": (
                self.doors.secure,
                {**secure, "sasl.mechanism": "OAUTHBEARER",
                 "sasl.oauthbearer.token.file": str(self.certificates.folder / "token")},
            ),
            "mutual": (
                self.doors.mutual,
                {"security.protocol": "SSL", **authority,
                 "ssl.certificate.location": str(self.certificates.certificate("worker")),
                 "ssl.key.location": str(self.certificates.key("worker"))},
            ),
            "mistaken": (self.doors.mistaken, {**secure, **person}),
        }  # fmt: skip
        port, told = found[way]
        return f"127.0.0.1:{port}", told

    def bus(self, way: str = "plain-sasl", prefix: str = "env.", **changed: str) -> KafkaBus:
        """As a worker reaches the cluster by this way; `changed` properties with _ for a dot."""
        address, told = self.properties(way)
        told |= {name.replace("_", "."): value for name, value in changed.items()}
        found = options(told)
        return KafkaBus(address, options=found, why=lambda: why(address, found), prefix=prefix, session=6.0)

    def write_token(self, seconds: float = 600.0, subject: str = "worker") -> None:
        """A token that this broker takes for so long; unsigned: it proves the client's side."""
        now = time.time()
        parts: list[Mapping[str, object]] = [{"alg": "none"}, {"sub": subject, "iat": now, "exp": now + seconds}]
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        (self.certificates.folder / "token").write_text(f"{text}.")

    def give(self, rights: Sequence[Right]) -> None:
        """Let the worker do this."""
        for done in self.admin.create_acls([one for right in rights for one in bindings(right)]).values():
            done.result(20)

    def take(self, *rights: Right) -> None:
        """And no more."""
        filters = [
            AclBindingFilter(
                b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation, b.permission_type
            )
            for right in rights
            for b in bindings(right)
        ]
        for done in self.admin.delete_acls(filters).values():
            done.result(20)


def bindings(right: Right) -> list[AclBinding]:
    """As Kafka's administration takes them."""
    return [
        AclBinding(
            KINDS[right.resource], right.name, PATTERNS[right.pattern], "User:worker", "*",
            AclOperation[{"Describe": "DESCRIBE", "Read": "READ", "Write": "WRITE", "Delete": "DELETE"}[operation]],
            AclPermissionType.ALLOW,
        )
        for operation in right.operations
    ]  # fmt: skip


@contextmanager
def lent(service: Callable[..., None], home: Path) -> Iterator[Guarded]:
    """The same for a test; where it cannot be had, that is a missed service."""
    try:
        kafka_jars()
    except NotHere as wrong:
        service("kafka", None, str(wrong))
    with guarded(home) as found:
        yield found


@contextmanager
def guarded(home: Path) -> Iterator[Guarded]:
    """One broker with an authorizer and all doors."""
    certificates = Certificates(home / "certificates")
    broker, controller, *ports = free_ports(6)
    doors = Doors(broker, *ports)
    seat = Seat(1, broker, controller)
    told = properties(seat, [seat], "127.0.0.1", str(home / "data"), _extra(doors, controller, certificates))
    node = Node(seat, home, kafka_jars(), told)
    node.format()
    node.launch()
    try:
        node.wait()
        found = Guarded(node, doors, certificates)
        found.write_token()
        yield found
    finally:
        if node.pid:
            node.kill()


def _extra(doors: Doors, controller: int, certificates: Certificates) -> dict[str, str]:
    protocols = {"SASL": "SASL_PLAINTEXT", "SECURE": "SASL_SSL", "MUTUAL": "SSL", "MISTAKEN": "SASL_SSL"}
    ports = {"SASL": doors.sasl, "SECURE": doors.secure, "MUTUAL": doors.mutual, "MISTAKEN": doors.mistaken}
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in {"PLAINTEXT": doors.plain, **ports}.items())
    map_ = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT", **protocols}
    found = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in map_.items()),
        "inter.broker.listener.name": "PLAINTEXT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/",
    }
    for name in ("sasl", "secure", "mistaken"):
        mechanisms = ["PLAIN"] if name == "sasl" else ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"]
        found[f"listener.name.{name}.sasl.enabled.mechanisms"] = ",".join(mechanisms)
        for mechanism in mechanisms:
            found[f"listener.name.{name}.{mechanism.lower()}.sasl.jaas.config"] = MODULES[mechanism.lower()]
    for name, host in (("secure", "localhost"), ("mutual", "localhost"), ("mistaken", "elsewhere")):
        found[f"listener.name.{name}.ssl.keystore.type"] = "PEM"
        found[f"listener.name.{name}.ssl.keystore.location"] = str(certificates.both(host))
        found[f"listener.name.{name}.ssl.truststore.type"] = "PEM"
        found[f"listener.name.{name}.ssl.truststore.location"] = str(certificates.authority)
    return found

"""A plan as others take it: resources of the Strimzi operator, or lines of Kafka's own command for access rights.

In: planned topics, rights, names. Out: text. Nothing is asked of a cluster.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from stepwire_handlers.cluster.rights import Right
from stepwire_handlers.drawing.plan import Planned

API = "kafka.strimzi.io/v1"  #: the only one that Strimzi 1.0 and newer take; 0.49 to 0.51 take it too
LONGEST = 253  #: characters of a Kubernetes name, a DNS subdomain
ACLS_COMMAND = 'kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$ADMIN_PROPERTIES"'  # fmt: skip
RESOURCE = {"topic": "--topic", "group": "--group", "transactionalId": "--transactional-id"}


def kubernetes_name(name: str) -> str:
    """A legal `metadata.name` (DNS subdomain) for a name on Kafka.

    One that had to change ends in a hash, so that two topics never share a resource.
    """
    cleaned = re.sub(r"[^a-z0-9.-]+", "-", name.lower())
    cleaned = re.sub(r"[-.]*\.[-.]*", ".", cleaned).strip("-.")
    if cleaned == name and len(name) <= LONGEST:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{cleaned[: LONGEST - 9].strip('-.')}-{digest}".lstrip("-")


def strimzi(rows: Sequence[Planned], rights: Sequence[Right], *, app: str, cluster: str, prefix: str) -> str:
    """A KafkaTopic for each topic and one KafkaUser, as YAML."""
    documents = [*(_topic(row, cluster) for row in rows), _user(rights, kubernetes_name(f"{prefix}{app}"), cluster)]
    return str(yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True))


def _head(kind: str, name: str, cluster: str) -> dict[str, Any]:
    labels = {"strimzi.io/cluster": cluster}
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "labels": labels}}


def _topic(row: Planned, cluster: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"topicName": row.topic, "partitions": row.partitions}
    if row.config:
        spec["config"] = {name: int(v) if re.fullmatch(r"-?\d+", v) else v for name, v in row.config.items()}
    return {**_head("KafkaTopic", kubernetes_name(row.topic), cluster), "spec": spec}


def _user(rights: Sequence[Right], name: str, cluster: str) -> dict[str, Any]:
    acls = [
        {
            "resource": {"type": right.resource, "name": right.name, "patternType": right.pattern},
            "operations": list(right.operations),
        }
        for right in rights
    ]
    spec = {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": acls}}
    return {**_head("KafkaUser", name, cluster), "spec": spec}


def acl_lines(rights: Sequence[Right], principal: str) -> list[str]:
    """One line of a shell for each resource."""
    return [
        " ".join(
            [
                ACLS_COMMAND, "--add --allow-principal", shlex.quote(principal),
                *(f"--operation {operation}" for operation in right.operations),
                RESOURCE[right.resource], shlex.quote(right.name),
                "--resource-pattern-type", "prefixed" if right.pattern == "prefix" else "literal",
            ]
        )
        for right in rights
    ]  # fmt: skip

"""A secret's value among the values is refused, by its name or by what it holds; what only sounds so is not."""

from __future__ import annotations

from typing import Any

import pytest
from helm_python import HelmError
from tests.helm.chart import changed, render

PARTS = ["", "defaults.", "workers.triage.", "door.", "console.", "mcp."]

NAMED = {
    "DATABASE_PASSWORD": "sk-1", "PGPASSWORD": "x", "KEY_PASSPHRASE": "x", "SMTP_PASS": "x", "DB_PWD": 1234,
    "CRM_TOKEN": "x", "crm_token": "x", "CLIENT_SECRET": "x", "API_KEY_2": "x", "OPENAI_API_KEYS": "a,b", "APIKEY": "x",
    "STRIPE_KEY": "x", "KEY": "x", "AZURE_CREDENTIALS": '{"id": 1}',
}  # fmt: skip

HOLDS = {
    "REDIS": "redis://:secret@redis:6379", "BROKER": "amqp://ann:secret@mq/acme", "DSN": "host=db user=ann password=x",
    "JDBC": "jdbc:postgresql://db/acme?user=ann&password=x", "STORE": "AccountName=a;AccountKey=eA==",
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
}  # fmt: skip

PLAIN = {
    "DATABASE_PASSWORD_FILE": "/run/secrets/database", "TOKEN_PATH": "token", "SSL_KEYSTORE_LOCATION": "/etc/ks.jks",
    "DATABASE_URL": "postgresql://ann@db/acme?sslmode=require", "TOKEN_URL": "https://login.example/token",
    "GOOGLE_APPLICATION_CREDENTIALS": "/etc/google/key.json", "SIGNING_KEY": "/etc/keys/signing.pem",
    "PARTITION_KEY": "customer", "JWT_PUBLIC_KEY": "MIIB", "MAX_TOKENS": 4096, "COST_PER_TOKEN": 0.1,
    "REQUIRE_PASSWORD": True, "ALLOW_EMPTY_PASSWORD": "yes", "CRM_TOKEN": "", "AWS_ACCESS_KEY_ID": "AKIA1",
    "SECRET_NAME": "acme", "KEYBOARD": "qwerty", "COMPASS": "north", "HOTKEY": "f1", "IMAGE": "acme:1@sha256:0",
}  # fmt: skip


def refusal(part: str, **values: Any) -> str:
    """What the chart says of these values of one part."""
    with pytest.raises(HelmError) as refused:
        render(changed("everything", **{f"{part.replace('.', '__')}{name}": value for name, value in values.items()}))
    return str(refused.value)


def beside(**variable: Any) -> list[dict[str, Any]]:
    """A container of one's own with one variable."""
    return [{"name": "proxy", "image": "registry.example/proxy", "env": [variable]}]


@pytest.mark.parametrize("part", PARTS)
def test_a_secret_in_env_is_refused_in_every_part(part: str) -> None:
    """The refusal names the place and the cure, says what to do if it is none, and does not show it."""
    told = refusal(part, env={"DATABASE_PASSWORD": "sk-1"})
    assert (
        f"{part}env.DATABASE_PASSWORD is named like a secret: put it into a Secret and name that: "
        f"{part}secrets: {{DATABASE_PASSWORD: {{name: SECRET, key: KEY}}}}; "
        f"if it is none, put it into a ConfigMap and name that: {part}configMapsFrom: [CONFIGMAP]"
    ) in told
    assert "sk-1" not in told


@pytest.mark.parametrize("part", PARTS[1:])
def test_a_secret_in_a_container_of_ones_own_is_refused(part: str) -> None:
    """Its variables are values of the chart too."""
    told = refusal(part, extraContainers=beside(name="CRM_TOKEN", value="sk-1"))
    assert f"{part}extraContainers[0].env: CRM_TOKEN is named like a secret: " in told
    assert "valueFrom: {secretKeyRef: {name: SECRET, key: KEY}}; if it is none, with configMapKeyRef" in told


@pytest.mark.parametrize("name", NAMED)
def test_a_name_like_a_secrets_is_refused(name: str) -> None:
    """In capitals or not, with a number behind it or not."""
    assert f"env.{name} is named like a secret" in refusal("", env={name: NAMED[name]})


@pytest.mark.parametrize("name", HOLDS)
def test_a_value_that_carries_a_secret_is_refused_under_any_name(name: str) -> None:
    """A user's password in an address or a connection string, and a private key."""
    assert f"env.{name} is a secret, it " in refusal("", env={name: HOLDS[name]})


@pytest.mark.parametrize("name", PLAIN)
def test_what_only_sounds_like_a_secret_is_taken(name: str) -> None:
    """Files, addresses, names of things, keys that order and find, numbers, switches and nothing at all."""
    assert render(changed("everything", env={name: PLAIN[name]}))


def test_a_reference_is_taken_wherever_a_value_is_refused() -> None:
    """By `secrets`, and by a container's own `valueFrom`."""
    one = {"name": "crm", "key": "token"}
    own = beside(name="CRM_TOKEN", valueFrom={"secretKeyRef": one})
    assert render(changed("everything", secrets={"CRM_TOKEN": one}, door__extraContainers=own))

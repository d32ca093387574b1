"""Values that make no sense are refused before anything is installed, with the cure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from helm_python import HelmError
from tests.helm.chart import FOLDER, changed, render

from stepwire_handlers import kafka_client
from stepwire_handlers.configuration import _secret_names, _variable

TWO = {"a": {}, "b": {}}
BUSY = {"a": {"autoscaling": {"kind": "hpa"}}}


def scaled(group: str, **keda: str) -> dict[str, Any]:
    """A group of workers that KEDA scales by the lag of one consumer group."""
    triggers = [{"group": group, "topic": "acme.triaged", "lagThreshold": 20}]
    return {"kind": "keda", "keda": {"triggers": triggers, **keda}}


def secret_object(**values: Any) -> dict[str, Any]:
    """A Secret among the chart's objects."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, **values}


REFUSED = [
    ("one-file", {"bus__url": "kafka://k:9092", "defaults__replicas": 2},
     r"workers\.all may have 2 pods, but attachments lie in a folder .*use blobs\.url: s3://"),
    ("one-file", {"bus__url": "kafka://k:9092", "workers": BUSY}, r"workers\.a may have 6 pods"),
    ("one-file", {"bus__url": "kafka://k:9092", "workers": TWO}, r"workers has 2 groups, but attachments"),
    ("one-file", {"bus__url": "kafka://k:9092", "door__enabled": True}, r"door\.enabled: attachments"),
    ("one-file", {"blobs__url": "", "defaults__replicas": 2}, r"bus\.url is a file .*use bus\.url: kafka://"),
    ("least", {"bus__prefix": "prod a."}, r"up to 100 letters"),
    ("least", {"serviceAccount__name": "A b"}, r"a name as Kubernetes takes it"),
    ("one-file", {"storage__enabled": False}, r"set storage\.enabled"),
    ("one-file", {"blobs__url": "/elsewhere"}, r"use /data/blobs"),
    ("one-file", {"bus__url": "sqlite:////elsewhere"}, r"use sqlite:////data/bus\.db"),
    ("least", {"door__enabled": True}, r"nobody may come in: .*door\.access\.secret"),
    ("everything", {"door__insecure": True}, r"contradict"),
    ("least", {"console__enabled": True}, r"console\.enabled, but nobody may come in: .*console\.access\.secret"),
    ("least", {"mcp__enabled": True, "door": {"enabled": True, "insecure": True}}, r"mcp\.enabled, but nobody"),
    ("tools", {"console__replicas": 2}, r"console\.replicas: 2 consoles .*STEPWIRE_CONSOLE_SECRET"),
    ("tools", {"console__replicas": 2, "secretsFrom": ["acme"]}, r"console\.replicas: .*name it so"),
    ("tools", {"console__env": {"STEPWIRE_CONSOLE_SECRET": "x" * 32}}, r"console\.env\.STEPWIRE_CONSOLE_SEC"),
    ("tools", {"mcp__scratch": "6Gi"}, r"mcp\.scratch"),
    ("tools", {"mcp__allowHosts": ["https://tools.example"]}, r"allowHosts"),
    ("one-file", {"console": {"enabled": True, "access": {"secret": "a"}}}, r"console\.enabled: bus\.url is a file"),
    ("least", {"workers": {"console": {}}}, r"console"),
    ("least", {"env": {"ANTHROPIC_API_KEY": "sk-plain"}}, r"env\.ANTHROPIC_API_KEY is a secret"),
    ("groups", {"workers__triage__env": {"STEPWIRE_CONSOLE_SECRET": "x"}},
     r"workers\.triage\.env\.STEPWIRE_CONSOLE_SECRET is a secret"),
    ("everything", {"door__env": {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=x"}}, r"door\.env\.OTEL_EXPORTER_OTLP"),
    ("least", {"env": {"DATABASE_URL": "postgresql://ann:secret@db/acme"}}, r"DATABASE_URL is a secret, it"),
    ("groups", {"storage": {"enabled": True}, "defaults__replicas": 3}, r"one volume .*ReadWriteOnce.*existingClaim"),
    ("least", {"storage": {"enabled": True}, "workers": TWO}, r"workers has 2 groups, and storage\.enabled"),
    ("least", {"kafka": {"sasl.password": "plain"}}, r"kafka\.sasl\.password is a secret: .*STEPWIRE_KAFKA__SASL_PASS"),
    ("least", {"kafka": {"bogus.prop": "x"}}, r"at '/kafka': .*'bogus\.prop' not allowed"),
    ("least", {"workers": {"Answers_1": {}}}, r"at '/workers': .*'Answers_1' not allowed"),
    ("least", {"workers": {"a": {"secrets": None}}}, r"at '/workers/a/secrets': got null, want object"),
    ("least", {"env": {"a-b": "x"}}, r"at '/env': .*'a-b' not allowed"),
    ("least", {"env": {"STEPWIRE_BUS": "kafka://other:9092"}}, r"env\.STEPWIRE_BUS: .*say it in bus\.url"),
    ("least", {"secrets": {"STEPWIRE_BUS": {"name": "a", "key": "b"}}}, r"secrets\.STEPWIRE_BUS: .*say it in bus\.url"),
    ("everything", {"mcp__env": {"STEPWIRE_PREFIX": "x."}}, r"mcp\.env\.STEPWIRE_PREFIX: .*say it in bus\.prefix"),
    ("everything", {"console__env": {"STEPWIRE_BLOBS": "/x"}}, r"console\.env\.STEPWIRE_BLOBS: .*say it in blobs\.url"),
    ("everything", {"door__env": {"STEPWIRE_HTTP_PORT": 1}}, r"door\.env\.STEPWIRE_HTTP_PORT: .*probes"),
    ("groups", {"workers__triage__env": {"STEPWIRE_WORKER__DRAIN": 9}}, r"say it in workers\.triage\.drainSeconds"),
    ("least", {"defaults__env": {"STEPWIRE_KAFKA__SSL_CA_LOCATION": "/x"}},
     r"defaults\.env\.STEPWIRE_KAFKA__SSL_CA_LOCATION: .*say it in kafka: \{ssl\.ca\.location"),
    ("least", {"env": {"STEPWIRE_KAFKA__SASL_OAUTHBEARER_TOKEN_FILE": "/x"}},
     r"say it in kafka: \{sasl\.oauthbearer\.token\.file"),
    ("least", {"defaults__env": {"ANTHROPIC_API_KEY": "x"}}, r"name that: defaults\.secrets: \{ANTHROPIC_API_KEY"),
    ("platform", {"defaults__replicas": 2}, r"workers\.all\.podDisruptionBudget\.minAvailable: 2 of 2 pods"),
    ("everything", {"door__podDisruptionBudget": {"minAvailable": "100%"}}, r"door\.podDisruptionBudget\.minAvailable"),
    ("least", {"extraObjects": [{"kind": "ConfigMap"}]}, r"at '/extraObjects/0': missing"),
    ("least", {"extraObjects": [secret_object(stringData={"key": "x"})]}, r"extraObjects: the Secret db .* apart"),
    ("least", {"extraObjects": [secret_object(data={"key": "eA=="})]}, r"extraObjects: the Secret db holds its values"),
    ("least", {"extraVolumeMounts": [{"name": "ca"}]}, r"at '/extraVolumeMounts/0': missing property 'mountPath'"),
    ("least", {"podSecurityContext": {"runAsuser": 1}}, r"at '/podSecurityContext': .*'runAsuser' not allowed"),
    ("least", {"secrets": {"STEPWIRE_DECISION_KEY": "plain"}}, r"STEPWIRE_DECISION_KEY"),
    ("least", {"defaults__autoscaling": {"kind": "keda"}}, r"triggers is empty"),
    ("least", {"defaults__autoscaling": {"kind": "keda", "minReplicas": 0}}, r"minReplicas"),
    ("groups", {"workers__drafts__autoscaling__keda__authentication": ""},
     r"workers\.drafts\.autoscaling\.keda\.authentication is empty, but .*SASL_SSL.*: name a TriggerAuthentication"),
    *(
        ("least", {"kafka": {"security.protocol": protocol}, "defaults__autoscaling": scaled("acme.draft")},
         rf"workers\.all\.autoscaling\.keda\.authentication is empty, .* {protocol}, .*docs/kubernetes\.md")
        for protocol in ("SSL", "SASL_PLAINTEXT", "SASL_SSL")
    ),
    ("least", {"bus__prefix": "prod.", "defaults__autoscaling": scaled("prod.acme.draft")},
     r"workers\.all\.autoscaling\.keda\.triggers: .*bus\.prefix.*prod\.prod\.acme\.draft.*\{group: acme\.draft, "),
    ("least", {"defaults__autoscaling": {"kind": "hpa", "minReplicas": 9}}, r"maxReplicas 6 is below minReplicas 9"),
    ("least", {"defaults__autoscaling": {"kind": "hpa", "hpa": {"cpu": 0}}}, r"hpa has nothing to scale by"),
    ("everything", {"door__route": {"enabled": True}}, r"at '/door/route/parents': minItems"),
    ("least", {"monitoring": {"thresholds": {"lagSecond": 1}}}, r"at '/monitoring/thresholds': .*'lagSecond' not"),
    ("least", {"monitoring": {"disabledAlerts": ["StepwireLagTooold"]}},
     r"monitoring\.disabledAlerts: there is no alert StepwireLagTooold; did you mean StepwireLagTooOld\?$"),
    ("everything", {"monitoring__disabledAlerts": ["StepwireRetryStorm", "StepwireDoorDwn"]},
     r"there is no alert StepwireDoorDwn; did you mean StepwireDoorDown\?$"),
    ("least", {"monitoring": {"disabledAlerts": ["StepwireLag"]}},
     r"StepwireLag; did you mean StepwireLagGrows or StepwireLagTooOld\?$"),
    ("least", {"monitoring": {"disabledAlerts": ["StepwireQuiet"]}},
     r"StepwireQuiet; there are StepwireCommitFailures, .*, StepwireWatermarkStuck, StepwireWorkerDown$"),
    ("least", {"defaults__scratch": "2Gi"},
     r"workers\.all\.scratch \(2Gi\) is above workers\.all\.resources\.limits\.ephemeral-storage \(1152Mi\)"),
    ("everything", {"door__resources": {"limits": {"ephemeral-storage": "1Gi"}}}, r"door\.scratch \(5Gi\) is above"),
    ("everything", {"door__resources": {"limits": {"ephemeral-storage": 1e9}}}, r"door\.scratch \(5Gi\) is above"),
    ("least", {"topics__apply": {"scratch": "257Mi"}}, r"topics\.apply\.scratch"),
    ("least", {"tests__scratch": "5.6G"}, r"tests\.scratch"),
    ("least", {"defaults__resources": {"limits": {"ephemeral-storage": "1Go"}}}, r"1Go is no amount"),
    ("least", {"tests__publish": {"event": "E", "data": {}, "key": {"name": "a", "key": "b"}}}, r"leave it out"),
    ("least", {"workers": {"a": {"grp": 1}}}, r"grp"),
    ("least", {"workers": {"door": {}}}, r"door"),
    ("least", {"replicas": 3}, r"replicas"),
    ("least", {"app": "acme/flow.py"}, r"at '/app': value must be 'MODULE:name, .*acme\.flow:app'"),
    ("least", {"app": "acme.flow"}, r"at '/app': value must be 'MODULE:name, .*acme\.flow:app'"),
    ("least", {"image": {}}, r"at '/image/repository': value must be 'your own image .*registry\.example/acme'"),
    ("least", {"bus__url": "kafka://kafka"}, r"at '/bus/url': value must be 'kafka://host:port,.*sqlite:////"),
    ("least", {"bus__url": "kafka://user:secret@k:9092"}, r"user and password go into kafka and secrets"),
    ("everything", {"door__podDisruptionBudget": {"minAvailable": "most"}}, r"value must be 'a number from 1, or a sh"),
]  # fmt: skip


FITTING = [
    ("one-file", {"bus__url": "kafka://k:9092", "console": {"enabled": True, "access": {"secret": "a"}}}),
    ("tools", {"console__replicas": 2, "secrets": {"STEPWIRE_CONSOLE_SECRET": {"name": "a", "key": "b"}}}),
    ("tools", {"console__replicas": 2, "console__env": {"STEPWIRE_CONSOLE_SECRET_FILE": "/run/secrets/session"}}),
    ("groups", {"storage": {"enabled": True, "existingClaim": "of-many"}}),
    ("least", {"secrets": {"STEPWIRE_KAFKA__SASL_USERNAME": {"name": "a", "key": "b"}}}),
    ("least", {"env": {"STEPWIRE_KAFKA__SASL_PASSWORD_FILE": "/run/secrets/kafka"}}),
    *(
        ("everything", {f"{part}{name}": None})
        for part in ("", "defaults__", "door__", "console__", "mcp__")
        for name in ("env", "secrets", "secretsFrom", "extraVolumes", "extraVolumeMounts")
        if part != "console__" or name != "secrets"
    ),
    ("least", {"env": {"PROXY": "http://proxy:3128/@x", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"}}),
    ("everything", {"door__resources": {"limits": {"ephemeral-storage": None}}}),
    ("everything", {"door__resources": {"limits": {"ephemeral-storage": "5Gi"}}}),
    ("everything", {"door__scratch": "1.5G", "door__resources": {"limits": {"ephemeral-storage": 1_500_000_000}}}),
    ("least", {"kafka": {"security.protocol": "PLAINTEXT"}, "defaults__autoscaling": scaled("acme.draft")}),
    ("least", {"kafka": {"security.protocol": "SSL"},
               "defaults__autoscaling": scaled("acme.draft", authentication="kafka")}),
    ("least", {"kafka": {"security.protocol": "SSL"}, "defaults__autoscaling": {"kind": "hpa"}}),
    ("least", {"monitoring": {"disabledAlerts": ["StepwireLagTooOld", "StepwireNoWorker"]}}),
    ("least", {"bus__prefix": "acme.", "defaults__autoscaling": scaled("acme.draft")}),  # the app's name, by chance
    ("least", {"bus__prefix": "eu-", "defaults__autoscaling": scaled("eu-orders.check")}),  # an app may have a hyphen
    ("least", {"bus__prefix": "prod", "defaults__autoscaling": scaled("production.draft")}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "values"), FITTING)
def test_what_makes_sense_is_taken(shape: str, values: dict[str, Any]) -> None:
    """A console beside a folder that it never opens; a disk as large as its limit; null for none; files; addresses."""
    assert render(changed(shape, **values))


def test_all_that_is_missing_is_named_at_once_with_the_cure() -> None:
    """Without any values: app, image and bus, and no pattern is shown."""
    with pytest.raises(HelmError) as refused:
        render({})
    told = str(refused.value)
    assert told.count("value must be '") == 3
    assert "pattern" not in told


def test_a_refusal_does_not_show_the_value() -> None:
    """It may hold a password."""
    with pytest.raises(HelmError) as refused:
        render(changed("least", bus__url="kafka://user:hunter2@k:9092"))
    assert "hunter2" not in str(refused.value)


def test_every_pattern_of_the_schema_has_words_for_who_does_not_fit_it() -> None:
    """A text of another form is told what to write, never an expression."""
    schema = json.loads((FOLDER / "values.schema.json").read_text())
    assert [*_bare(schema)] == []


def _bare(schema: Any, place: str = "", *, told: bool = False) -> Iterator[str]:
    """Places of patterns without an `else` that says what to write."""
    if isinstance(schema, list):
        for inner in schema:
            yield from _bare(inner, place, told=told)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("pattern"), str) and not told:
        yield place
    for name, inner in schema.items():
        said = told or (name == "if" and "const" in schema.get("else", {}))
        yield from _bare(inner, f"{place}/{name}", told=said)


def test_every_secret_that_we_know_is_refused_in_plain() -> None:
    """Each setting that the configuration masks, by its variable."""
    own = {name for name in _secret_names() if name not in ("kafka", "registry")}  # tables
    for name in map(_variable, own):
        with pytest.raises(HelmError, match=f"env.{name} is a secret"):
            render(changed("least", env={name: "plain"}))


def test_the_chart_takes_every_property_that_the_client_knows() -> None:
    """No more and no less; the two secret ones are refused with their place."""
    schema = json.loads((FOLDER / "values.schema.json").read_text())
    assert schema["properties"]["kafka"]["properties"].keys() == kafka_client.KNOWN


@pytest.mark.parametrize(("shape", "values", "words"), REFUSED)
def test_what_makes_no_sense_is_refused_with_the_cure(shape: str, values: dict[str, Any], words: str) -> None:
    """Before anything is installed, in words that name the value."""
    with pytest.raises(HelmError) as refused:
        render(changed(shape, **values))
    assert re.search(words, str(refused.value)), refused.value

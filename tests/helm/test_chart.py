"""The chart: what it renders, what it refuses, and that a cluster would take it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.helm.chart import FOLDER, SHAPES, changed, notes, of_kind, pods, render, values_of

VERSIONS = ("1.30", "1.33", "1.37")  #: the oldest that the chart takes, one between, the newest we know the schemas of
#: what the scan calls critical and we do not: a limit of CPU throttles a loop that must answer its probes; tags are not
#: reused; and policies of the network are opt-in, as in every chart (`everything` has them and is scanned for them)
ACCEPTED = ("container-image-pull-policy", "container-resources")
#: maps whose names are Kubernetes' or Kafka's: most are not said
OPEN = ("kafka", "podSecurityContext", "containerSecurityContext")
ASSIGNED = "platform"  #: the shape whose users are chosen by the cluster


@pytest.mark.parametrize("shape", SHAPES)
def test_lint_finds_nothing(shape: str) -> None:
    """`helm lint --strict` has nothing to say for any values file of `ci/`."""
    report = helm_python.lint(FOLDER, values_of(shape), strict=True)
    assert not report["errors"] and report["total_charts_linted"] == 1
    assert [m["error"] for m in report["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_kubernetes_knows_every_field(shape: str, version: str) -> None:
    """Every object of Kubernetes' own kinds is valid, strictly, for three versions."""
    checked = 0
    for found in render(values_of(shape)):
        if found["apiVersion"].startswith(("keda.sh/", "monitoring.coreos.com/", "gateway.networking.k8s.io/")):
            continue
        kubernetes_validate.validate(found, version, strict=True)
        checked += 1
    assert checked >= 2


def test_what_the_chart_takes_has_all_it_uses_without_a_switch() -> None:
    """The sleep before a door's end is an alpha field in 1.29, which is dropped; versions below are refused."""
    chart = yaml.safe_load((FOLDER / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={VERSIONS[0]}.0-0" and tuple(map(int, VERSIONS[0].split("."))) >= (1, 30)


@pytest.mark.parametrize("shape", ["groups", "everything"])
def test_operators_know_every_field(shape: str, definitions: Path) -> None:
    """Every object of KEDA and of the Prometheus operator is valid by their own definitions, without unknown fields."""
    theirs = [
        one for one in render(values_of(shape)) if one["apiVersion"].startswith(("keda.sh/", "monitoring.coreos.com/"))
    ]
    assert theirs, "this shape asks nothing of any operator: nothing would be checked"
    for found in theirs:
        schema = json.loads((definitions / f"{found['kind']}.json").read_text().replace('"^(?i)', '"(?i)^'))
        jsonschema.Draft202012Validator(_strict(schema)).validate(found)  # the other spelling is Go's alone


def _strict(schema: Any) -> Any:
    """An API server drops what it does not know; a typing error must not pass for that."""
    if not isinstance(schema, dict):
        return schema
    strict = {name: [_strict(one) for one in inner] if isinstance(inner, list) else _strict(inner)
              for name, inner in schema.items()}  # fmt: skip
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        if "additionalProperties" not in schema and schema.get("type") == "object":
            strict["additionalProperties"] = False
        if {"apiVersion", "metadata"} <= schema["properties"].keys():
            strict["properties"]["metadata"] = {"type": "object"}
    return strict


@pytest.mark.parametrize("shape", SHAPES)
def test_policy_scan_finds_nothing_critical(shape: str, kube_score: Path) -> None:
    """kube-score has no critical finding but the accepted ones."""
    ignored = [*ACCEPTED] + ([] if shape == "everything" else ["pod-networkpolicy"])
    ignored += ["container-security-context-user-group-id"] if shape == ASSIGNED else []
    flags = [flag for name in ignored for flag in ("--ignore-test", name)]
    text = yaml.safe_dump_all(render(values_of(shape)))
    scan = subprocess.run([kube_score, "score", "--output-format", "json", *flags, "-"], input=text,
                          capture_output=True, text=True, check=False, timeout=30)  # fmt: skip
    found = json.loads(scan.stdout)
    assert {one["type_meta"]["kind"] for one in found} >= {"Deployment"}
    critical = [(one["object_name"], check["check"]["id"], check["comments"]) for one in found
                for check in one["checks"] if check["grade"] == 1 and not check["skipped"]]  # fmt: skip
    assert critical == []


@pytest.mark.parametrize("shape", SHAPES)
def test_pods_keep_to_restricted_security(shape: str) -> None:
    """Every pod fits Kubernetes' "restricted" profile, has a root it cannot write, no token, and limits."""
    for pod in pods(render(values_of(shape))):
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert shape == ASSIGNED or pod["securityContext"]["runAsUser"] > 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(volume.keys() & {"emptyDir", "persistentVolumeClaim", "secret"} for volume in pod["volumes"])
        for container in pod["containers"]:
            held = container["securityContext"]
            assert held["readOnlyRootFilesystem"] is held["runAsNonRoot"] is True
            assert held["allowPrivilegeEscalation"] is held["privileged"] is False
            assert held["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"] and "cpu" in container["resources"]["requests"]


@pytest.mark.parametrize("shape", SHAPES)
def test_who_is_scaled_has_no_replicas_of_its_own(shape: str) -> None:
    """A Deployment that KEDA or an HPA scales never says `replicas`; every other one does; nothing is scaled twice."""
    objects = render(values_of(shape), upgrade=True)
    scaled = [
        one["spec"]["scaleTargetRef"]["name"] for one in of_kind(objects, "ScaledObject", "HorizontalPodAutoscaler")
    ]
    assert len(scaled) == len(set(scaled))
    deployments = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "Deployment")}
    assert set(scaled) <= deployments.keys()
    for name, spec in deployments.items():
        assert ("replicas" in spec) is (name not in scaled)


@pytest.mark.parametrize("shape", SHAPES)
def test_selectors_find_their_pods_and_no_others(shape: str) -> None:
    """Every budget, service and policy selects pods; no two Deployments share a pod."""
    objects = render(values_of(shape))
    templates = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind(objects, "Deployment", "Job")]

    def selected(by: dict[str, str]) -> int:
        return sum(by.items() <= labels.items() for labels in templates)

    for one in of_kind(objects, "Deployment", "PodDisruptionBudget"):
        assert selected(one["spec"]["selector"]["matchLabels"]) == 1
    for one in of_kind(objects, "Service"):
        assert selected(one["spec"]["selector"]) == 1
    for one in of_kind(objects, "ServiceMonitor"):
        wanted = one["spec"]["selector"]["matchLabels"].items()
        (service,) = [found for found in of_kind(objects, "Service") if wanted <= found["metadata"]["labels"].items()]
        assert one["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    for one in of_kind(objects, "PodMonitor"):
        assert selected(one["spec"]["selector"]["matchLabels"]) >= 1
    for one in of_kind(objects, "NetworkPolicy"):
        assert selected(one["spec"]["podSelector"]["matchLabels"]) >= 1


def test_the_grace_period_is_longer_than_the_drain() -> None:
    """What the worker is told to drain in, and what Kubernetes gives it, come from one number."""
    for one in of_kind(render(values_of("groups")), "Deployment"):
        pod = one["spec"]["template"]["spec"]
        told = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
        assert told["STEPWIRE_WORKER__DRAIN"] == "120"
        assert pod["terminationGracePeriodSeconds"] == 135


def test_without_a_blob_store_no_door_takes_files() -> None:
    """Worker and door hear of the same folder that nobody can make; the door answers no file with 202."""
    for store, upload in (("", "0"), ("s3://acme/blobs", "32")):
        found = of_kind(render(changed("everything", blobs__url=store)), "Deployment")
        held = {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0] for one in found}
        assert f"--max-upload={upload}" in held["acme-stepwire-door"]["args"]
        (told,) = {e["value"] for one in held.values() for e in one["env"] if e["name"] == "STEPWIRE_BLOBS"}
        assert told == (store or "/blobs-url-is-not-set-in-the-chart")


def test_console_and_tools_ask_who_comes_in_and_are_reached_by_their_names() -> None:
    """Each has an access file, its own or the door's; secrets of its own are no worker's; tools know their names."""
    found = {one["metadata"]["name"]: one for one in render(values_of("everything")) if one["kind"] == "Deployment"}
    spec = {name: one["spec"]["template"]["spec"] for name, one in found.items()}
    for name, secret, key in (("console", "acme-access", "access.toml"), ("mcp", "acme-tools", "tools.toml")):
        pod = spec[f"acme-stepwire-{name}"]
        assert "--access=/etc/stepwire/access.toml" in pod["containers"][0]["args"]
        (mounted,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "access"]
        assert mounted == {"secretName": secret, "items": [{"key": key, "path": "access.toml"}]}
    env = {name: {each["name"]: each for each in pod["containers"][0]["env"]} for name, pod in spec.items()}
    told = env["acme-stepwire-console"]["STEPWIRE_CONSOLE_SECRET"]["valueFrom"]["secretKeyRef"]
    assert told == {"name": "acme-console", "key": "session"}
    assert [name for name in env if "STEPWIRE_CONSOLE_SECRET" in env[name]] == ["acme-stepwire-console"]
    args = spec["acme-stepwire-mcp"]["containers"][0]["args"]
    names = [arg.partition("=")[2] for arg in args if arg.startswith("--allow-host=")]
    inside = "acme-stepwire-mcp.flows"
    assert names == ["acme-stepwire-mcp", inside, f"{inside}.svc", f"{inside}.svc.cluster.local", "tools.acme.example",
                     "tools.acme.internal"]  # fmt: skip
    assert "--door=https://flow.acme.example" in args and "--http" in args


def test_one_server_more_changes_nothing_that_is_off() -> None:
    """Neither console nor tools exist unless they are asked for."""
    named = {one["metadata"]["name"] for one in render(values_of("least"))}
    assert not [name for name in named if name.endswith(("-console", "-mcp", "-door"))]


def test_one_group_has_its_own_handlers_and_secrets_are_references() -> None:
    """`--only` names the group's handlers; no secret's value is in any object."""
    objects = render(values_of("groups"))
    args = {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["args"]
            for one in of_kind(objects, "Deployment")}  # fmt: skip
    assert args["acme-stepwire-drafts"] == ["run", "acme.flow:app", "--http-port=9090", "--only=draft,revise"]
    assert len(args) == 3
    for pod in pods(objects):
        env = {e["name"]: e for e in pod["containers"][0]["env"]}
        told = env["STEPWIRE_KAFKA__SASL_PASSWORD"]["valueFrom"]["secretKeyRef"]
        assert told == {"name": "kafka", "key": "password"}
        assert env["STEPWIRE_KAFKA__SECURITY_PROTOCOL"]["value"] == "SASL_SSL"
    assert not of_kind(objects, "Secret")


def test_keda_asks_for_the_names_that_kafka_has() -> None:
    """Group and topic carry the environment's prefix; a group never scales to 0, and slow calls never scale it in."""
    (scaled,) = of_kind(render(values_of("groups")), "ScaledObject")
    asked = scaled["spec"]["triggers"][0]["metadata"]
    assert (asked["consumerGroup"], asked["topic"]) == ("prod.acme.draft", "prod.acme.triaged")
    assert asked["bootstrapServers"] == "kafka-0:9093,kafka-1:9093"
    assert asked["excludePersistentLag"] == "false" and all(isinstance(value, str) for value in asked.values())
    assert scaled["spec"]["minReplicaCount"] == 1


def test_rules_and_dashboards_arrive_whole() -> None:
    """PrometheusRule is the file of rules less what was turned off; each dashboard is its file, byte by byte."""
    objects = render(values_of("everything"))
    (rule,) = of_kind(objects, "PrometheusRule")
    kept = [r for group in rule["spec"]["groups"] for r in group["rules"]]
    written = [
        r
        for group in yaml.safe_load((FOLDER / "rules" / "stepwire.yaml").read_text())["groups"]
        for r in group["rules"]
    ]
    assert [r["expr"] for r in kept] == [r["expr"] for r in written if r.get("alert") != "StepwireRetryStorm"]
    alert = next(r for r in kept if r.get("alert") == "StepwireDeadLetters")
    assert alert["annotations"]["runbook_url"] == "https://docs.acme.example/runbooks.md#stepwiredeadletters"
    maps = {name: text for one in of_kind(objects, "ConfigMap") for name, text in one["data"].items()}
    files = {f"stepwire-{path.name}": path.read_text() for path in (FOLDER / "dashboards").glob("*.json")}
    assert maps == files and len(files) == 5
    assert sum(map(len, maps.values())) < 1_000_000  # a ConfigMap takes 1 MiB


def test_egress_never_forgets_names() -> None:
    """A policy that says what may be reached lets DNS through."""
    for policy in of_kind(render(values_of("everything")), "NetworkPolicy"):
        ports = [port for rule in policy["spec"]["egress"] for port in rule.get("ports", [])]
        assert {"port": 53, "protocol": "UDP"} in ports and {"port": 53, "protocol": "TCP"} in ports


def test_topics_are_made_before_the_workers_and_only_if_wanted() -> None:
    """The Job is a hook before install and upgrade, needs nothing of the release, and can be turned off."""
    (job,) = of_kind(render(values_of("least")), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["topics", "apply", "acme.flow:app"]
    assert of_kind(render(changed("least", topics__apply={"enabled": False})), "Job") == []


def test_the_topics_job_has_the_rights_of_the_release() -> None:
    """An account that is there is taken; one that the chart makes has a twin, annotated the same."""
    found = render(changed("least", serviceAccount={"annotations": {"eks.amazonaws.com/role-arn": "arn"}}))
    twin, own = sorted(of_kind(found, "ServiceAccount"), key=lambda one: -len(one["metadata"]["name"]))
    (job,) = of_kind(found, "Job")
    told = twin["metadata"]["annotations"]
    assert told["eks.amazonaws.com/role-arn"] == own["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] == "arn"
    assert told["helm.sh/hook"] == job["metadata"]["annotations"]["helm.sh/hook"] and "succeeded" in str(told)
    assert int(told["helm.sh/hook-weight"]) < int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == twin["metadata"]["name"] == "acme-stepwire-topics"
    given = render(changed("least", serviceAccount={"create": False, "name": "acme"}))
    assert {pod["serviceAccountName"] for pod in pods(given)} == {"acme"}
    assert of_kind(given, "ServiceAccount") == []


def test_changed_configuration_starts_new_pods() -> None:
    """The template of each pod changes with what configures them, and with configVersion."""

    def sums(**values: Any) -> dict[str, str]:
        found = of_kind(render(changed("everything", **values)), "Deployment")
        told = {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["annotations"] for one in found}
        return {name: annotations["checksum/config"] for name, annotations in told.items()}

    same, changes = sums(), [
        {"env": {"STEPWIRE_LOG_LEVEL": "debug"}}, {"kafka": {"security.protocol": "SSL"}}, {"configVersion": "2"},
        {"secrets": {"STEPWIRE_DECISION_KEY": {"name": "a", "key": "b"}}}, {"secretsFrom": ["other"]},
    ]  # fmt: skip
    assert sums() == same and sums(defaults__replicas=3) == same
    for change in changes:
        assert not set(same.values()) & set(sums(**change).values()), change
    one = sums(mcp__access={"secret": "other"})
    assert [name for name in same if one[name] != same[name]] == ["acme-stepwire-mcp"]


def test_other_containers_stand_beside_ours() -> None:
    """A sidecar of the user's is in the pod as it was written, and the first container stays ours."""
    beside = {"name": "proxy", "image": "registry.example/proxy:1"}
    places = ("defaults", "door", "console", "mcp")
    found = render(changed("everything", **{f"{place}__extraContainers": [beside] for place in places}))
    held = [one["spec"]["template"]["spec"]["containers"] for one in of_kind(found, "Deployment")]
    assert sorted(first["name"] for first, _ in held) == ["console", "door", "mcp", "worker"]
    assert all(last == beside for _, last in held)


def test_notes_say_what_runs_and_show_no_password() -> None:
    """After an install: the groups, the commands to look, and that decisions are not signed."""
    said = notes(values_of("least"))
    assert "acme-stepwire-all: all handlers, 1 pod(s), 75 s to drain" in said and "Decisions are not signed" in said
    assert "in none of these groups" not in said  # there is one with all handlers


def test_notes_say_how_to_find_a_handler_in_no_group() -> None:
    """With groups that name handlers a forgotten one is possible: the notes have the command that shows it."""
    said = notes(values_of("groups"))
    assert "exec deploy/acme-stepwire-drafts -- stepwire groups list acme.flow:app\n" in said
    assert "in none of these groups" not in notes(changed("groups", workers__rest__handlers=[]))


def test_every_value_is_in_the_schema() -> None:
    """A name in values.yaml that the schema lacks would be refused; one that the schema has alone would be unknown."""
    schema = json.loads((FOLDER / "values.schema.json").read_text())
    values = yaml.safe_load((FOLDER / "values.yaml").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    del schema["properties"]["global"]  # Helm's own
    assert {*_unlike(schema, values, schema["definitions"])} == {"tests.publish"}  # none, or all three


def _unlike(schema: Any, values: Any, definitions: Any, place: str = "") -> Iterator[str]:
    """Places whose names differ, where the schema has names."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema and isinstance(values, dict):
        yield place
    elif isinstance(values, dict) and (known := schema.get("properties")) is not None:
        if known.keys() != values.keys() and place not in OPEN:
            yield place
        for name in known.keys() & values.keys():
            yield from _unlike(known[name], values[name], definitions, f"{place}.{name}".lstrip("."))

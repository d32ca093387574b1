"""Which pod gets what: files for all that reach the bus, secrets for those that need them, what a platform asks for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.helm.chart import SHAPES, Object, changed, notes, of_kind, render, values_of

KEY = "STEPWIRE_DECISION_KEY"
OURS = {"name": "acme-decisions", "key": "decision-key"}


def _named(objects: list[Object]) -> dict[str, Object]:
    """The spec of every pod by its object's name."""
    return {
        one["metadata"]["name"].removeprefix("acme-stepwire-"): one["spec"]
        if one["kind"] == "Pod"
        else one["spec"]["template"]["spec"]
        for one in of_kind(objects, "Deployment", "Job", "Pod")
    }


def _env(pod: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["containers"][0]["env"]}


def _from(pod: Object) -> list[str]:
    return [one["secretRef"]["name"] for one in pod["containers"][0].get("envFrom", [])]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_file_that_a_pod_is_told_of_is_mounted_into_it(shape: str) -> None:
    """Whoever has STEPWIRE_KAFKA__…_LOCATION has a volume there: workers, servers, the Job, the tests."""
    told = 0
    for name, pod in _named(render(values_of(shape))).items():
        mounts = pod["containers"][0]["volumeMounts"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in mounts} <= volumes and len(volumes) == len(pod["volumes"]), name
        for variable, path in _env(pod).items():
            if variable.startswith("STEPWIRE_KAFKA__") and variable.endswith(("_LOCATION", "_FILE")):
                assert any(path.startswith(f"{mount['mountPath']}/") for mount in mounts), (name, variable)
                told += 1
    assert (told > 0) is (shape == "private-ca")


def test_a_private_ca_reaches_every_kind_of_pod() -> None:
    """Ten pods with the three files and the key's password; a part's own volumes come after."""
    found = _named(render(values_of("private-ca")))
    tests = {f"test-{name}" for name in ("topics", "publish", "door", "console", "mcp")}
    assert found.keys() == {"all", "door", "console", "mcp", "topics"} | tests
    for pod in found.values():
        assert {"kafka-ca", "kafka-user"} <= {volume["name"] for volume in pod["volumes"]}
        password = _env(pod)["STEPWIRE_KAFKA__SSL_KEY_PASSWORD"]
        assert password == {"secretKeyRef": {"name": "kafka-user", "key": "key-password"}}
    assert [name for name, pod in found.items() if any(one["name"] == "more" for one in pod["volumes"])] == ["mcp"]
    assert "/more" in [mount["mountPath"] for mount in found["mcp"]["containers"][0]["volumeMounts"]]


def test_a_part_may_have_another_volume_in_the_place_of_one_for_all() -> None:
    """Of the same name, or mounted at the same path: Kubernetes takes neither twice."""
    values = values_of("private-ca")
    mounted = values["extraVolumeMounts"][0]
    own = {"name": mounted["name"], "secret": {"secretName": "of-the-door"}}
    values["door"] |= {"extraVolumes": [own], "extraVolumeMounts": [{**mounted, "readOnly": True}]}
    pod = _named(render(values))["door"]
    assert [one for one in pod["volumes"] if one["name"] == own["name"]] == [own]
    paths = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert len(paths) == len(set(paths))


def test_a_secret_is_in_the_pods_of_its_part_alone() -> None:
    """The model's in workers, a database's in its group, the key where people decide, Kafka's password everywhere."""
    found = _named(render(values_of("parts")))
    env = {name: _env(pod) for name, pod in found.items()}

    def having(variable: str) -> set[str]:
        return {name for name, told in env.items() if variable in told}

    assert having("ANTHROPIC_API_KEY") == {"triage", "book"}
    assert having("DATABASE_PASSWORD") == {"book"}
    assert having(KEY) == {"triage", "book", "door", "console"}
    assert having("STEPWIRE_CONSOLE_SECRET") == {"console"}
    assert having("STEPWIRE_KAFKA__SASL_PASSWORD") == env.keys() and len(env) == 11
    assert {name for name, pod in found.items() if _from(pod)} == {"triage", "book", "door", "mcp"}


def test_a_parts_own_secret_goes_before_that_of_all() -> None:
    """By name; a list of Secrets is joined to that of all, each once; a group's own stands in place of `defaults`'."""
    more = {"secrets": {KEY: {"name": "all", "key": "k"}}, "secretsFrom": ["all", "acme-s3"],
            "workers__book__secretsFrom": ["books"]}  # fmt: skip
    found = _named(render(changed("parts", **more)))
    assert _env(found["door"])[KEY] == {"secretKeyRef": OURS}
    assert _env(found["topics"])[KEY] == {"secretKeyRef": {"name": "all", "key": "k"}}
    assert _from(found["door"]) == _from(found["triage"]) == ["all", "acme-s3"]
    assert _from(found["book"]) == ["all", "acme-s3", "books"]


def test_a_parts_changed_secret_starts_its_pods_alone() -> None:
    """Another name of a Secret in one part leaves the pods of the others."""

    def sums(**values: Any) -> dict[str, str]:
        found = of_kind(render(changed("parts", **values)), "Deployment")
        told = {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["annotations"] for one in found}
        return {name.removeprefix("acme-stepwire-"): each["checksum/config"] for name, each in told.items()}

    same, other = sums(), {"name": "other", "key": "key"}
    for part, whose in (("mcp", {"mcp"}), ("workers__book", {"book"}), ("defaults", {"triage", "book"})):
        for change in ({f"{part}__secrets__OTHER": other}, {f"{part}__secretsFrom": ["other"]}):
            changed_ = sums(**change)
            assert {name for name in same if same[name] != changed_[name]} == whose, change


def test_a_cluster_that_assigns_users_is_left_to_do_so() -> None:
    """With null no user, group or owner of volumes is named in any pod; all else stays restricted."""
    for pod in _named(render(values_of("platform"))).values():
        held = pod["containers"][0]["securityContext"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & (pod["securityContext"].keys() | held.keys())
        assert pod["securityContext"]["runAsNonRoot"] and held["capabilities"] == {"drop": ["ALL"]}
        assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]


def test_labels_of_all_are_on_all_and_select_nothing() -> None:
    """Every object and pod has them; they may say what is said by the chart, but not what it selects by."""
    labels = {"team": "acme", "app.kubernetes.io/part-of": "orders", "app.kubernetes.io/name": "mine"}
    objects = render(changed("platform", commonLabels=labels, extraObjects=[]))
    metadata = [one["metadata"] for one in objects]
    metadata += [one["spec"]["template"]["metadata"] for one in of_kind(objects, "Deployment", "Job")]
    for one in metadata:
        told = one["labels"]
        assert (told["team"], told["app.kubernetes.io/part-of"]) == ("acme", "orders")
        assert told["app.kubernetes.io/name"] == "stepwire"
    assert all(one["metadata"]["annotations"]["acme.example/contact"] for one in objects)
    selectors = [one["spec"]["selector"]["matchLabels"] for one in of_kind(objects, "Deployment")]
    assert selectors and not any("team" in one for one in selectors)


def test_jobs_and_tests_find_their_nodes_and_say_no_to_a_mesh() -> None:
    """Labels, annotations, nodes and tolerations of the Job and of the tests are in their pods."""
    objects = render(values_of("platform"))
    (job,) = of_kind(objects, "Job")
    assert job["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert job["spec"]["template"]["spec"]["nodeSelector"] == {"acme.example/pool": "flows"}
    assert job["spec"]["template"]["spec"]["tolerations"][0]["key"] == "pool"
    for pod in of_kind(objects, "Pod"):
        assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == pod["metadata"]["annotations"]["acme.example/why"]


def test_an_ingress_has_all_its_names_and_one_path() -> None:
    """Each host leads to the Service below the path; one certificate is for all; tools take calls by each name."""
    objects = render(values_of("platform"))
    (door,) = [one for one in of_kind(objects, "Ingress") if "door" in one["metadata"]["name"]]
    hosts = ["flow.acme.example", "flow.acme.internal"]
    assert door["spec"]["tls"] == [{"hosts": hosts, "secretName": "flow-tls"}]
    assert [rule["host"] for rule in door["spec"]["rules"]] == hosts
    for rule in door["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert (path["path"], path["pathType"]) == ("/apps", "Prefix")
    names = {"--allow-host=tools.acme.example", "--allow-host=tools.acme.internal"}
    assert names <= {*_named(objects)["mcp"]["containers"][0]["args"]}


def test_budgets_say_how_many_may_go_or_must_stay() -> None:
    """One at a time unless told otherwise; off where it is turned off."""
    budgets = {
        one["metadata"]["name"]: one["spec"] for one in of_kind(render(values_of("platform")), "PodDisruptionBudget")
    }
    assert budgets["acme-stepwire-all"]["minAvailable"] == 2 and "maxUnavailable" not in budgets["acme-stepwire-all"]
    assert budgets["acme-stepwire-door"]["maxUnavailable"] == "50%"
    (usual,) = [one for one in of_kind(render(values_of("everything")), "PodDisruptionBudget")
                if one["metadata"]["name"].endswith("-door")]  # fmt: skip
    assert usual["spec"]["maxUnavailable"] == 1
    off = {f"{part}__podDisruptionBudget__enabled": False for part in ("defaults", "door", "console")}
    assert of_kind(render(changed("everything", **off)), "PodDisruptionBudget") == []


def test_objects_of_ones_own_come_along_with_names_filled_in() -> None:
    """Templates in them are rendered."""
    (notes,) = [one for one in render(values_of("platform")) if one["metadata"]["name"] == "acme-notes"]
    assert notes["data"] == {"app": "acme.flow:app"}


def test_notes_say_where_the_key_for_decisions_is_missing() -> None:
    """A door or a console without the key that workers have; nothing where it may be in a Secret taken whole."""
    assert "decided" not in notes(values_of("parts"))
    said = notes(changed("parts", door__secrets={}, door__secretsFrom=[]))
    assert "decided at the door counts for nothing: book, triage take signed" in said and "at the console" not in said
    assert "decided" not in notes(changed("parts", door__secrets={}, console__secrets={}, console__secretsFrom=["x"]))
    file = {"STEPWIRE_DECISION_KEY_FILE": "/run/secrets/key"}
    assert "decided" not in notes(changed("parts", console__secrets={}, console__env=file))

"""What an operator relies on when something goes wrong: each value arrives in the object that acts on it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from tests.helm.chart import Object, changed, of_kind, render

DIGEST = "sha256:" + "0123456789abcdef" * 4
CLUSTER = [{"namespaceSelector": {}}]  #: everybody in the cluster may call
HERE = [{"podSelector": {"matchLabels": {"acme.example/may": "call"}}}]
BROKER = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 9092, "protocol": "TCP"}]}

MEMORY = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}
GATEWAY = {"name": "public", "namespace": "gateways", "sectionName": "https"}
CONTAINER = "spec.template.spec.containers.0"

#: values other than the defaults, so that a template that forgets one is seen
OPERATED: dict[str, Any] = {
    "defaults__startupSeconds": 61,
    "defaults__priorityClassName": "flows",
    "door__priorityClassName": "doors",
    "door__autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 9, "cpu": 55, "metrics": [MEMORY]},
    "topics": {"apply": {"priorityClassName": "jobs"}},
    "tests__priorityClassName": "tests",
    "monitoring__interval": "17s",
    "monitoring__labels": {"release": "acme-prometheus"},
    "monitoring__dashboardLabels": {"acme_dashboard": "yes"},
    "monitoring__dashboardAnnotations": {"acme_folder": "Flows"},
    "workers": {
        "lag": {"autoscaling": {
            "kind": "keda", "minReplicas": 2, "maxReplicas": 7, "scaleDownStabilizationSeconds": 432,
            "keda": {"pollingInterval": 19, "authentication": "kafka-auth", "useCachedMetrics": False,
                     "version": "3.7.0", "fullMetadata": True, "activationLagThreshold": 3000000,
                     "ensureEvenDistributionOfPartitions": True,
                     "triggers": [{"group": "acme.draft", "topic": "acme.triaged", "lagThreshold": 23}]},
        }},
        "cpu": {"autoscaling": {
            "kind": "hpa", "minReplicas": 2, "maxReplicas": 4, "scaleDownStabilizationSeconds": 321,
            "hpa": {"cpu": 61, "metrics": [MEMORY]},
        }},
    },
}  # fmt: skip

SCALED, MEASURED, DOORS = "ScaledObject/lag", "HorizontalPodAutoscaler/cpu", "HorizontalPodAutoscaler/door"
BEHAVIOR = "spec.advanced.horizontalPodAutoscalerConfig.behavior"
SLOWLY = [{"type": "Pods", "value": 1, "periodSeconds": 120}]  #: each step is a rebalance
#: (object, place in it, what must stand there)
ARRIVES: list[tuple[str, str, Any]] = [
    ("PodMonitor/", "metadata.labels.release", "acme-prometheus"),
    ("PodMonitor/", "spec.podMetricsEndpoints", [{"port": "metrics", "path": "/metrics", "interval": "17s"}]),
    ("ServiceMonitor/door", "metadata.labels.release", "acme-prometheus"),
    ("ServiceMonitor/door", "spec.endpoints", [{"port": "metrics", "path": "/metrics", "interval": "17s"}]),
    ("PrometheusRule/", "metadata.labels.release", "acme-prometheus"),
    ("ConfigMap/app", "metadata.labels.acme_dashboard", "yes"),
    ("ConfigMap/app", "metadata.annotations.acme_folder", "Flows"),
    ("PodDisruptionBudget/lag", "spec.unhealthyPodEvictionPolicy", "AlwaysAllow"),
    ("PodDisruptionBudget/door", "spec.unhealthyPodEvictionPolicy", "AlwaysAllow"),
    (SCALED, "spec.minReplicaCount", 2),
    (SCALED, "spec.maxReplicaCount", 7),
    (SCALED, "spec.pollingInterval", 19),
    (SCALED, "spec.fallback", {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}),
    (SCALED, f"{BEHAVIOR}.scaleDown", {"stabilizationWindowSeconds": 432, "policies": SLOWLY}),
    (SCALED, f"{BEHAVIOR}.scaleUp.stabilizationWindowSeconds", 0),
    (SCALED, "spec.triggers.0.authenticationRef", {"name": "kafka-auth"}),
    (SCALED, "spec.triggers.0.useCachedMetrics", False),
    (SCALED, "spec.triggers.0.metadata.lagThreshold", "23"),
    (SCALED, "spec.triggers.0.metadata.activationLagThreshold", "3000000"),  # not 3e+06, which KEDA cannot read
    (SCALED, "spec.triggers.0.metadata.version", "3.7.0"),
    (SCALED, "spec.triggers.0.metadata.fullMetadata", "true"),
    (SCALED, "spec.triggers.0.metadata.ensureEvenDistributionOfPartitions", "true"),
    (MEASURED, "spec.metrics.1", MEMORY),
    (DOORS, "spec.metrics.1", MEMORY),
    (MEASURED, "spec.metrics.0.resource", {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 61}}),
    (MEASURED, "spec.behavior.scaleDown", {"stabilizationWindowSeconds": 321, "policies": SLOWLY}),
    (MEASURED, "spec.maxReplicas", 4),
    (DOORS, "spec.metrics.0.resource.target.averageUtilization", 55),
    (DOORS, "spec.minReplicas", 3),
    (DOORS, "spec.maxReplicas", 9),
    ("Deployment/cpu", "spec.strategy.type", "RollingUpdate"),
    ("Deployment/cpu", "spec.strategy.rollingUpdate", {"maxSurge": 1, "maxUnavailable": 0}),
    ("Deployment/cpu", "spec.template.spec.priorityClassName", "flows"),
    ("Deployment/cpu", f"{CONTAINER}.startupProbe.failureThreshold", 13),  # x 5 s is not below 61
    ("Deployment/cpu", f"{CONTAINER}.startupProbe.periodSeconds", 5),
    ("Deployment/door", "spec.template.spec.priorityClassName", "doors"),
    ("Job/topics", "spec.template.spec.priorityClassName", "jobs"),
    ("Pod/test-topics", "spec.priorityClassName", "tests"),
]  # fmt: skip


@cache
def operated() -> dict[str, Object]:
    """Every object of a release with all of it, by kind and name."""
    return _by_name(render(changed("everything", **OPERATED)))


def _by_name(objects: list[Object]) -> dict[str, Object]:
    return {f"{one['kind']}/{one['metadata']['name'].removeprefix('acme-stepwire').lstrip('-')}": one
            for one in objects}  # fmt: skip


def _at(found: Any, place: str) -> Any:
    for step in place.split("."):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


@pytest.mark.parametrize(("name", "place", "expected"), ARRIVES, ids=[f"{name}:{place}" for name, place, _ in ARRIVES])
def test_a_value_arrives_where_it_acts(name: str, place: str, expected: Any) -> None:
    """Labels that Prometheus and Grafana select by, numbers of scalers, probes, budgets and priorities."""
    assert _at(operated()[name], place) == expected


def test_who_is_watched_has_the_port_that_is_scraped() -> None:
    """The port of a monitor is one of each container that it finds, or of the Service: else nothing is scraped."""
    objects = [*operated().values()]
    templates = [one["spec"]["template"] for one in of_kind(objects, "Deployment")]
    for monitor in of_kind(objects, "PodMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        watched = [one for one in templates if wanted <= one["metadata"]["labels"].items()]
        assert len(watched) == 2
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            for template in watched:
                ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
                assert ports[endpoint["port"]] == 9090
    assert len(of_kind(objects, "ServiceMonitor")) == 3


def test_all_dashboards_are_found_by_the_label_of_the_sidecar() -> None:
    """By default it is Grafana's own."""
    maps = of_kind(render(changed("least", monitoring={"dashboards": True})), "ConfigMap")
    assert len(maps) == 5
    for one in maps:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"]["grafana_folder"] == "Stepwire"


def test_pods_of_one_kind_are_spread_over_zones_and_nodes() -> None:
    """Each Deployment spreads its own pods of one revision, and starts them where there is no room for that too."""
    deployments = of_kind([*operated().values()], "Deployment")
    assert len(deployments) == 5
    for one in deployments:
        spread = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        for each in spread:
            assert each["labelSelector"]["matchLabels"] == one["spec"]["selector"]["matchLabels"]
            assert each["matchLabelKeys"] == ["pod-template-hash"]
            assert (each["maxSkew"], each["whenUnsatisfiable"]) == (1, "ScheduleAnyway")


def test_a_server_ends_after_the_load_balancer_forgot_it() -> None:
    """It sleeps before it hears of its end, and has time for what is under way after that."""
    for name in ("door", "console", "mcp"):
        pod = operated()[f"Deployment/{name}"]["spec"]["template"]["spec"]
        slept = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert slept >= 5 and pod["terminationGracePeriodSeconds"] >= slept + 25, name


def test_a_digest_goes_before_a_tag() -> None:
    """Every pod runs the bytes that were named; without a digest, the tag."""
    both = {"image__repository": "registry.example/acme", "image__tag": "1.2.3"}
    for more, image in (({}, "acme:1.2.3"), ({"image__digest": DIGEST}, f"acme@{DIGEST}")):
        pods = [one["spec"]["template"]["spec"]
                for one in of_kind(render(changed("everything", **both, **more)), "Deployment", "Job")]  # fmt: skip
        assert {pod["containers"][0]["image"] for pod in pods} == {f"registry.example/{image}"}


def test_one_pod_at_a_time_mounts_the_volume_and_an_uninstall_keeps_it() -> None:
    """A new pod would wait for the old one's volume for ever; what was not finished outlives the release."""
    objects = _by_name(render(changed("one-file")))
    assert objects["Deployment/all"]["spec"]["strategy"] == {"type": "Recreate"}
    claim = objects["PersistentVolumeClaim/data"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"


ROLES = {"worker": "workers", "door": "doors", "console": "consoles", "mcp": "mcps"}


@pytest.mark.parametrize("who", ["metrics", *list(ROLES)[1:]])
def test_a_policy_lets_in_whom_it_names(who: str) -> None:
    """`…From` opens one port to those peers and no other; without it, to the cluster."""
    closed = {f"networkPolicy__{one}From": HERE if one == who else [] for one in ("metrics", *list(ROLES)[1:])}
    policies = _by_name(render(changed("everything", **closed)))
    for role, plural in ROLES.items():
        rules = policies[f"NetworkPolicy/{plural}"]["spec"]["ingress"]
        allowed = {rule["ports"][0]["port"]: rule["from"] for rule in rules}
        assert allowed[9090] == (HERE if who == "metrics" else CLUSTER)
        if role == "worker":
            assert allowed.keys() == {9090}
        else:
            assert allowed[8080][:-1] == (HERE if who == role else CLUSTER)
            tests = {"app.kubernetes.io/instance": "acme", "stepwire/role": "job"}
            assert allowed[8080][-1] == {"podSelector": {"matchLabels": tests}}


def test_a_policy_lets_out_to_what_it_names_and_to_names() -> None:
    """Each pod reaches what `egress` says, DNS, and nothing else; without `egress` it reaches everything."""
    given = of_kind(render(changed("everything", networkPolicy__egress=[BROKER])), "NetworkPolicy")
    assert len(given) == 5
    for policy in given:
        names, broker, *more = policy["spec"]["egress"]
        assert broker == BROKER and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert names.keys() == {"ports"}
        found = {(port["port"], port["protocol"]) for port in names["ports"]}
        assert found == {(port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")}  # 5353: OpenShift's
        assert len(more) == (policy["metadata"]["name"] == "acme-stepwire-jobs")  # `helm test` calls the servers
    asked = of_kind(render(changed("everything", networkPolicy__dnsPorts=[1053])), "NetworkPolicy")
    assert {port["port"] for policy in asked for port in policy["spec"]["egress"][0]["ports"]} == {1053}
    open_ = of_kind(render(changed("everything", networkPolicy__egress=[])), "NetworkPolicy")
    assert all(policy["spec"]["egress"][0] == {} for policy in open_)


def test_an_hpa_may_leave_the_cpu_out() -> None:
    """With cpu: 0 it scales by the user's metrics alone, and no request of CPU is needed."""
    by = {"kind": "hpa", "hpa": {"cpu": 0, "metrics": [MEMORY]}}
    values = {"autoscaling": by, "resources": {"requests": {"cpu": None}}}
    (found,) = of_kind(render(changed("least", workers={"a": values})), "HorizontalPodAutoscaler")
    assert found["spec"]["metrics"] == [MEMORY]


PLACES = {"": "all", "defaults": "all", "workers__all": "all", "door": "door", "console": "console", "mcp": "mcp"}


@pytest.mark.parametrize("place", PLACES)
def test_config_maps_become_variables_of_the_pods_that_they_are_for(place: str) -> None:
    """One for every pod is in every pod, the Job and the tests too; a part's in its own; Secrets count more."""
    name = f"{place}__configMapsFrom".lstrip("_")
    objects = _by_name(render(changed("everything", **{name: ["acme-settings"], "secretsFrom": ["acme"]})))
    pods = {name: one["spec"] if one["kind"] == "Pod" else one["spec"]["template"]["spec"]
            for name, one in objects.items() if one["kind"] in ("Deployment", "Job", "Pod")}  # fmt: skip
    with_it = {name for name, pod in pods.items() if len(pod["containers"][0]["envFrom"]) == 2}
    assert with_it == ({f"Deployment/{PLACES[place]}"} if place else pods.keys())
    for each in with_it:
        both = pods[each]["containers"][0]["envFrom"]
        assert both == [{"configMapRef": {"name": "acme-settings"}}, {"secretRef": {"name": "acme"}}]
    usual = _by_name(render(changed("everything", secretsFrom=["acme"])))
    for each in (name for name in with_it if name.startswith("Deployment/")):
        annotations = [one[each]["spec"]["template"]["metadata"]["annotations"] for one in (objects, usual)]
        assert annotations[0] != annotations[1], "another ConfigMap starts no new pods"


@pytest.mark.parametrize("role", ["door", "console", "mcp"])
def test_a_route_leads_from_the_gateway_to_the_service(role: str) -> None:
    """By its names and below its path; there is none unless it is asked for; tools take calls by its names."""
    asked = {"enabled": True, "parents": [GATEWAY], "hosts": ["x.acme.example"], "path": "/apps",
             "annotations": {"acme.example/why": "route"}}  # fmt: skip
    objects = _by_name(render(changed("everything", **{f"{role}__route": asked, f"{role}__service": {"port": 81}})))
    routes = {name: one for name, one in objects.items() if one["kind"] == "HTTPRoute"}
    assert [*routes] == [f"HTTPRoute/{role}"]
    route = routes[f"HTTPRoute/{role}"]
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["metadata"]["annotations"]["acme.example/why"] == "route"
    assert route["spec"] == {
        "parentRefs": [GATEWAY],
        "hostnames": ["x.acme.example"],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/apps"}}],
            "backendRefs": [{"name": f"acme-stepwire-{role}", "port": 81}],
        }],
    }  # fmt: skip
    assert objects[f"Service/{role}"]["spec"]["ports"][0]["port"] == 81
    off = render(changed("everything", **{f"{role}__route": {**asked, "enabled": False}}))
    assert of_kind(off, "HTTPRoute") == []
    allowed = objects["Deployment/mcp"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert ("--allow-host=x.acme.example" in allowed) is (role == "mcp")

"""The manifests: valid for old and new clusters, at one with each other and with the product."""

from __future__ import annotations

import copy
import json
import pathlib
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.acceptance import installed
from tests.deployment import examples, manifests
from zk2etcd.admin import access
from zk2etcd.config import loader, models

_ALL = kubernetes_validate.utils.all_versions()
VERSIONS = (_ALL[0], _ALL[-1])
KINDS = ("Deployment", "DaemonSet")
_PLACEMENT = ("topologySpreadConstraints", "nodeSelector")
_SCHEMA = json.loads(pathlib.Path(__file__).with_name("servicemonitor.json").read_text("utf-8"))


def _validate(resource: examples.Document, version: str) -> None:
    if resource["kind"] == "ServiceMonitor":
        jsonschema.validate(resource, _SCHEMA)
    else:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(kind: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> models.Config:
    """The configuration as the pod finds it."""
    for name, value in manifests.environment(kind).items():
        monkeypatch.setenv(name, value)
    return loader.load([str(manifests.mounted(kind, tmp_path))]).config


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", manifests.files(), ids=lambda path: path.name)
def test_a_cluster_takes_it(path: pathlib.Path, version: str) -> None:
    found = examples.documents(path)
    assert found
    for resource in found:
        _validate(resource, version)


def test_the_validation_finds_a_key_that_does_not_exist() -> None:
    broken = copy.deepcopy(manifests.resource("Deployment"))
    broken["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    for version in VERSIONS:
        with pytest.raises(kubernetes_validate.ValidationError):
            _validate(broken, version)
    monitor = copy.deepcopy(manifests.resource("ServiceMonitor"))
    monitor["spec"]["endpoints"][0]["ports"] = 9180
    with pytest.raises(jsonschema.ValidationError):
        _validate(monitor, VERSIONS[0])


def test_kustomizations_name_every_file_and_only_those_that_exist() -> None:
    named = set()
    for path in manifests.kustomizations():
        (content,) = examples.documents(path)
        assert set(content) <= {"apiVersion", "kind", "namespace", "resources", "images"}
        for entry in content["resources"]:
            found = (path.parent / entry).resolve()
            assert found.exists()
            named.add(found)
    assert {path.resolve() for path in manifests.files()} <= named


def test_both_kinds_run_the_same_pod() -> None:
    specs = [dict(manifests.pod(kind)) for kind in KINDS]
    for spec in specs:
        for key in _PLACEMENT:
            spec.pop(key, None)
    assert specs[0] == specs[1]


def test_the_container_may_do_nothing_but_its_work(kind: str) -> None:
    pod, container = manifests.pod(kind), manifests.container(kind)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    (tmp,) = (volume for volume in pod["volumes"] if "emptyDir" in volume)
    assert tmp["emptyDir"]["medium"] == "Memory"
    writable = [each for each in container["volumeMounts"] if not each.get("readOnly")]
    assert writable == [{"name": tmp["name"], "mountPath": "/tmp"}]
    assert container["resources"]["limits"]["memory"]


def test_the_image_runs_as_the_user_that_the_pod_names(kind: str) -> None:
    context = manifests.pod(kind)["securityContext"]
    user = f"USER {context['runAsUser']}:{context['runAsGroup']}"
    assert user in (examples.ROOT / "Dockerfile").read_text("utf-8").splitlines()


def test_a_changed_configmap_reaches_the_process(kind: str, settings: models.Config) -> None:
    """Mounts by subPath never change; the rest is shown in tests/acceptance/test_reload.py."""
    assert all("subPath" not in each for each in manifests.container(kind)["volumeMounts"])
    assert settings.reload.watch is not None


def test_the_pod_has_the_time_that_the_configuration_takes(
    kind: str, settings: models.Config
) -> None:
    grace = manifests.pod(kind)["terminationGracePeriodSeconds"]
    assert settings.workers.stop_timeout < grace


def test_kubelet_prometheus_and_people_are_known_to_the_server(settings: models.Config) -> None:
    service = manifests.resource("Service")
    port = service["spec"]["ports"][0]["port"]
    namespace = manifests.resource("Namespace")["metadata"]["name"]
    name = f"{service['metadata']['name']}.{namespace}.svc"
    for host in ("10.1.2.3", "[fd00::5]", name, name.split(".", maxsplit=1)[0]):
        assert access.host_known(f"{host}:{port}", settings.http)
    assert not access.host_known(f"elsewhere:{port}", settings.http)
    assert access.token(settings.http)


def test_what_selects_the_pods_finds_them(kind: str) -> None:
    found = manifests.resource(kind)["spec"]["template"]["metadata"]["labels"]
    service = manifests.resource("Service")
    assert service["spec"]["publishNotReadyAddresses"] is True
    selectors = [
        service["spec"]["selector"],
        manifests.resource(kind)["spec"]["selector"]["matchLabels"],
        manifests.resource("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        manifests.resource("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= found.items()
    monitor = manifests.resource("ServiceMonitor")["spec"]
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()


def test_ports_are_the_ones_that_are_listened_to(kind: str, settings: models.Config) -> None:
    (port,) = manifests.container(kind)["ports"]
    assert port["containerPort"] == access.address(settings.http.listen)[1]
    (service,) = manifests.resource("Service")["spec"]["ports"]
    (endpoint,) = manifests.resource("ServiceMonitor")["spec"]["endpoints"]
    assert service["targetPort"] == port["name"]
    assert endpoint["port"] == service["name"]


def test_the_network_policy_lets_us_reach_what_the_configuration_names(
    settings: models.Config,
) -> None:
    egress = manifests.resource("NetworkPolicy")["spec"]["egress"]
    allowed = {
        each["port"] for rule in egress for each in rule["ports"] if each["protocol"] == "TCP"
    }
    wanted = [*settings.zookeeper.hosts, *settings.etcd.endpoints]
    assert {int(str(address).rpartition(":")[2]) for address in wanted} <= allowed


def test_the_pods_share_and_know_each_other_by_name_and_address(settings: models.Config) -> None:
    assert settings.cluster.mode == "share"
    assert settings.cluster.name == "zk2etcd-0"
    assert settings.http.advertise == "http://10.1.2.3"
    assert access.host_known("10.1.2.3:9180", settings.http)


def test_one_pod_at_most_goes_at_a_time_and_another_has_come_before() -> None:
    spec = manifests.resource("Deployment")["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    nodes = manifests.resource("DaemonSet")["spec"]["updateStrategy"]
    assert nodes["rollingUpdate"] == {"maxUnavailable": 1}
    assert manifests.resource("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    for each in spec, manifests.resource("DaemonSet")["spec"]:
        assert each["minReadySeconds"] > 0


def test_each_pod_has_a_name_of_its_own_and_is_scraped_once(settings: models.Config) -> None:
    members, service = (
        manifests.resource("Service", "zk2etcd-members"),
        manifests.resource("Service"),
    )
    assert members["spec"]["clusterIP"] == "None"
    assert members["spec"]["publishNotReadyAddresses"] is True
    for key in "selector", "ports":
        assert members["spec"][key] == service["spec"][key]
    wanted = manifests.resource("ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert not wanted.items() <= members["metadata"].get("labels", {}).items()
    namespace = manifests.resource("Namespace")["metadata"]["name"]
    name = members["metadata"]["name"]
    for host in name, f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local":
        assert access.host_known(f"{host}:9180", settings.http)


def test_the_network_policy_lets_pods_reach_each_other(kind: str) -> None:
    policy = manifests.resource("NetworkPolicy")["spec"]
    found = manifests.resource(kind)["spec"]["template"]["metadata"]["labels"]
    (port,) = manifests.container(kind)["ports"]
    ways = [(rule, "to") for rule in policy["egress"]] + [(r, "from") for r in policy["ingress"]]
    for way in "to", "from":
        peers = [
            peer["podSelector"].get("matchLabels", {})
            for rule, direction in ways
            if direction == way and port["name"] in {each["port"] for each in rule["ports"]}
            for peer in rule.get(way, ())
            if set(peer) == {"podSelector"}
        ]
        assert any(labels.items() <= found.items() for labels in peers)


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_live_supervisor_answers_the_probes(
    kind: str, probe: str, supervisor: installed.Supervisor
) -> None:
    asked: dict[str, Any] = manifests.container(kind)[probe]["httpGet"]
    expected = "/readyz?exclude=guarded" if probe == "readinessProbe" else "/livez"
    assert asked == {"path": expected, "port": "http"}
    assert supervisor.ask(asked["path"])[0] == 200

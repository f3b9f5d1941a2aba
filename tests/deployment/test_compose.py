"""The compose file: it can be read, and what it names is there."""

from __future__ import annotations

import pathlib
import re

from tests.deployment import dockerfile, examples, prometheus
from zk2etcd.admin import access
from zk2etcd.config import loader, models

FILE = examples.FOLDER / "docker-compose.yaml"
_SERVICES = ("zookeeper", "etcd", "zk2etcd", "prometheus", "grafana")


def _services() -> dict[str, examples.Document]:
    (content,) = examples.documents(FILE)
    found: dict[str, examples.Document] = content["services"]
    return found


def _mounts(name: str) -> dict[str, pathlib.Path]:
    """By the path in the container, what is mounted there."""
    found = {}
    for volume in _services()[name]["volumes"]:
        source, target, mode = volume.split(":")
        assert mode == "ro"
        found[target] = (FILE.parent / source).resolve()
    return found


def _config(tmp_path: pathlib.Path) -> models.Config:
    """zk2etcd's configuration as its container finds it."""
    folder = _mounts("zk2etcd")["/etc/zk2etcd/config"]
    flag, path = _services()["zk2etcd"]["command"]
    assert flag == "-c"
    text = (folder / pathlib.Path(path).name).read_text("utf-8")
    filled = tmp_path / "config.yaml"
    text = text.replace("${ZK2ETCD_TOKEN}", "t0ken").replace("${HOSTNAME}", "0123456789ab")
    filled.write_text(text, "utf-8")
    return loader.load([str(filled)]).config


def test_it_starts_all_that_one_needs_to_look_at_a_mirror() -> None:
    services = _services()
    assert tuple(services) == _SERVICES
    for service in services.values():
        assert "image" in service
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
        assert set(service.get("depends_on", ())) <= set(services)
    context = (FILE.parent / services["zk2etcd"]["build"]["context"]).resolve()
    assert context / "Dockerfile" == dockerfile.FILE


def test_what_is_mounted_exists() -> None:
    for name in ("zk2etcd", "prometheus", "grafana"):
        for source in _mounts(name).values():
            assert source.exists()


def test_zk2etcd_may_do_nothing_but_its_work() -> None:
    service = _services()["zk2etcd"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert [entry.partition(":")[0] for entry in service["tmpfs"]] == ["/tmp"]


def test_the_servers_are_the_ones_of_the_configuration(tmp_path: pathlib.Path) -> None:
    found = _config(tmp_path)
    assert [str(host) for host in found.zookeeper.hosts] == ["zookeeper:2181"]
    assert [str(endpoint) for endpoint in found.etcd.endpoints] == ["http://etcd:2379"]
    assert "ZK2ETCD_TOKEN" in _services()["zk2etcd"]["environment"]


def test_prometheus_is_let_in_and_grafana_finds_both(tmp_path: pathlib.Path) -> None:
    (scraped,) = examples.documents(_mounts("prometheus")["/etc/prometheus"] / "prometheus.yaml")
    (job,) = scraped["scrape_configs"]
    (target,) = job["dns_sd_configs"]
    found = _config(tmp_path)
    assert set(target["names"]) <= set(_services())
    # It asks each by the address that the name stands for.
    assert access.host_known(f"172.18.0.5:{target['port']}", found.http)
    assert access.address(found.http.listen)[1] == target["port"]
    mounts = _mounts("grafana")
    provisioning = mounts["/etc/grafana/provisioning"]
    (sources,) = examples.documents(provisioning / "datasources" / "prometheus.yaml")
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    (providers,) = examples.documents(provisioning / "dashboards" / "zk2etcd.yaml")
    folder = providers["providers"][0]["options"]["path"]
    assert mounts[f"{folder}/zk2etcd.json"] == examples.DASHBOARD


def test_three_share_and_each_has_a_port_of_its_own(tmp_path: pathlib.Path) -> None:
    service, found = _services()["zk2etcd"], _config(tmp_path)
    assert found.cluster.mode == "share"
    replicas = service["deploy"]["replicas"]
    assert replicas == 3
    (published,) = service["ports"]
    first, last = re.fullmatch(r"127\.0\.0\.1:(\d+)-(\d+):9180", published).groups()  # type: ignore[union-attr]
    assert int(last) - int(first) + 1 == replicas
    assert access.host_known("0123456789ab:9180", found.http), "as its owner keys say"
    assert len(found.sync.prefixes) >= replicas


@prometheus.needed
def test_promtool_takes_what_prometheus_is_started_with() -> None:
    (flag,) = _services()["prometheus"]["command"]
    path = flag.removeprefix("--config.file=/etc/prometheus/")
    prometheus.promtool("check", "config", str(_mounts("prometheus")["/etc/prometheus"] / path))

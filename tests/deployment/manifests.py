"""The Kubernetes manifests, by kind."""

from __future__ import annotations

import pathlib

from tests.deployment import examples

FOLDER = examples.FOLDER / "kubernetes"


def files() -> list[pathlib.Path]:
    """The files that hold resources."""
    return sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")


def kustomizations() -> list[pathlib.Path]:
    return sorted(FOLDER.rglob("kustomization.yaml"))


def resource(kind: str, name: str = "zk2etcd") -> examples.Document:
    """The one resource of this kind and name."""
    (found,) = [
        each
        for path in files()
        for each in examples.documents(path)
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
    ]
    return found


def pod(kind: str) -> examples.Document:
    """The pod's spec of the Deployment or the DaemonSet."""
    found: examples.Document = resource(kind)["spec"]["template"]["spec"]
    return found


def container(kind: str) -> examples.Document:
    (found,) = pod(kind)["containers"]
    assert isinstance(found, dict)
    return found


def environment(kind: str) -> dict[str, str]:
    """What the kubelet would give the container, of the pod zk2etcd-0 at 10.1.2.3."""
    fields = {"metadata.name": "zk2etcd-0", "status.podIP": "10.1.2.3"}
    return {
        each["name"]: fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
        for each in container(kind)["env"]
    }


def labels() -> dict[str, str]:
    """The labels of the pods."""
    found: dict[str, str] = resource("Deployment")["spec"]["template"]["metadata"]["labels"]
    return found


def mounted(kind: str, folder: pathlib.Path) -> pathlib.Path:
    """Lay the pod's ConfigMap and Secret below `folder` as the kubelet would: the configuration's
    file, its paths moved to `folder` as well."""
    spec = pod(kind)
    mounts = {mount["name"]: mount["mountPath"] for mount in container(kind)["volumeMounts"]}
    for volume in spec["volumes"]:
        place = folder / mounts[volume["name"]].lstrip("/")
        if "configMap" in volume:
            data = _named("ConfigMap", volume["configMap"]["name"])["data"]
        elif "secret" in volume:
            given = _named("Secret", volume["secret"]["secretName"])["stringData"]
            assert not any(given.values()), "a secret that works as it stands is one for everybody"
            data = dict.fromkeys(given, "s3cret")
        else:
            data = {}
        place.mkdir(parents=True)
        for name, content in data.items():
            moved = content.replace("/etc/zk2etcd/", f"{folder}/etc/zk2etcd/")
            (place / name).write_text(moved, "utf-8")
    flag, path = container(kind)["args"]
    assert flag == "-c"
    return folder / str(path).lstrip("/")


def _named(kind: str, name: str) -> examples.Document:
    found = resource(kind)
    assert found["metadata"]["name"] == name
    return found

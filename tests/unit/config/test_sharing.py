from __future__ import annotations

import pathlib
from typing import Any

import pydantic
import pytest

from tests.unit import settings
from zk2etcd import errors
from zk2etcd.config import loader, models, sharing


def test_without_a_word_supervisors_share() -> None:
    cluster = settings.configured().cluster
    assert (cluster.mode, cluster.name, cluster.capacity) == ("share", None, "auto")
    assert (cluster.move_after, cluster.moves) == (300.0, 2)


def test_the_capacity_is_the_worker_slots_unless_it_is_said() -> None:
    assert settings.configured().cluster.size(lambda: 3) == 3
    assert settings.configured(cluster={"capacity": 7}).cluster.size(lambda: 3) == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "leader"},
        {"capacity": 0},
        {"capacity": 1025},
        {"capacity": "many"},
        {"capacity": True},
        {"moves": 0},
        {"move_after": 0},
        {"name": "a/b"},
    ],
)
def test_what_is_no_way_to_share(wrong: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        settings.configured(cluster=wrong)


@pytest.mark.parametrize(
    ("changed", "needs"),
    [
        ({"mode": "standby"}, "restart"),
        ({"name": "a"}, "restart"),
        ({"capacity": 3}, "live"),
        ({"move_after": 1}, "live"),
        ({"moves": 1}, "live"),
    ],
)
def test_what_a_change_needs(changed: dict[str, object], needs: str) -> None:
    (change,) = models.diff(settings.configured(), settings.configured(cluster=changed))
    assert change.reload == needs


def test_a_pod_fills_in_its_name_and_its_address(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "sync: {prefixes: [/a]}\n"
        "cluster: {mode: share, name: '${POD_NAME}'}\n"
        "http: {advertise: '${POD_IP}'}\n"
    )
    monkeypatch.setenv("POD_NAME", "zk2etcd-7d9c-x2")
    monkeypatch.setenv("POD_IP", "fd00::7")
    found = loader.load([str(file)]).config
    assert found.cluster.name == "zk2etcd-7d9c-x2"
    assert found.http.advertise == "http://[fd00::7]"
    monkeypatch.setenv("POD_IP", "not an address")
    with pytest.raises(errors.ConfigError, match=r"http\.advertise"):
        loader.load([str(file)])


def test_configurations_that_mirror_the_same_are_alike_whoever_has_them() -> None:
    def alike(**sections: Any) -> str:
        cluster = {"mode": "share", **sections.pop("cluster", {})}
        return sharing.alike(
            models.redacted(settings.configured(["/a"], cluster=cluster, **sections))
        )

    plain = alike()
    assert plain == alike(
        cluster={"name": "one", "capacity": 3},
        http={"listen": "0.0.0.0:1", "advertise": "10.0.0.1", "token": "s3cret"},
        workers={"count": 3},
        log={"level": "debug"},
    )
    assert len(plain) == 12
    others = [
        alike(cluster={"moves": 5}),
        alike(sync={"prefixes": ["/a", "/b"]}),
        alike(state={"lease_ttl": 20}),
        alike(etcd={"endpoints": ["http://other:2379"]}),
    ]
    assert len({plain, *others}) == 5

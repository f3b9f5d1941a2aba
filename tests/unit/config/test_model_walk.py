"""Every key of the models has words for a person, and says what its change needs."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from zk2etcd.config import model_walk, models, reference


def every_field(
    model: type[pydantic.BaseModel] = models.Config, above: str = ""
) -> list[tuple[str, Any, str]]:
    """Each key, its field, and what a change of it needs."""
    found = []
    for key, info in model_walk.keyed(model).items():
        inner = model_walk.shape(info.annotation).model
        found.append((above + key, info, str(model_walk.reload_of(model, info))))
        if inner is not None:
            found += every_field(inner, f"{above}{key}.")
    return found


KEYS = [pytest.param(*found, id=found[0]) for found in every_field() if "." in found[0]]
RELOADS = {key: reload for key, _, reload in every_field()}


@pytest.mark.parametrize(("key", "info", "reload"), KEYS)
def test_every_key_says_what_it_is_and_what_a_change_needs(
    key: str, info: Any, reload: str
) -> None:
    assert info.description
    both_sides = "zookeeper.", "etcd."
    fixed = (
        "state.prefix",
        "state.lease_ttl",
        "http.listen",
        "http.advertise",
        "cluster.mode",
        "cluster.name",
    )
    at_best = "restart" if key in fixed else "live"
    assert reload == ("reconnect" if key.startswith(both_sides) else at_best)
    unit = model_walk.says(info, "unit")
    if unit is not None:
        assert "uration" in info.description or "ize" in info.description
    assert f"{key.rpartition('.')[2]}:" in reference.render()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("zookeeper.hosts", "reconnect"),
        ("etcd.txn_ops", "reconnect"),
        ("sync.prefixes", "live"),
        ("sync.delete_guard.max_ratio", "live"),
        ("log.level", "live"),
        ("http.listen", "restart"),
        ("http.token", "live"),
        ("state.prefix", "restart"),
        ("state.lease_ttl", "restart"),
        ("workers.count", "live"),
        ("reload.watch", "live"),
    ],
)
def test_reload_classes(key: str, expected: str) -> None:
    assert RELOADS[key] == expected

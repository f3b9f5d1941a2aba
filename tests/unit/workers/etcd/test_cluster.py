"""Which member is vouched for, where none can even be asked. All else is in tests/cases."""

from __future__ import annotations

import pathlib

import pytest

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import client as engine, cluster

_HOME = cluster.Home(b"/state/cluster", b"/state/format")
_TWO = ["127.0.0.1:1", "127.0.0.1:2"]


def test_certificates_that_went_away_are_named_and_not_a_bug(tmp_path: pathlib.Path) -> None:
    gone = str(tmp_path / "ca.pem")
    client = engine.Client(
        connections.Etcd.model_validate(
            {"endpoints": [f"https://{at}" for at in _TWO], "tls": {"ca": gone}}
        ),
        metrics.null(),
        _HOME,
    )
    for endpoint in [*_TWO, _TWO[0]]:
        with pytest.raises(errors.EtcdUnavailable, match=f"{endpoint}.*ca.pem of etcd.tls"):
            client.range(b"/a")


def test_a_client_that_was_closed_says_so() -> None:
    """A lease may be renewed while everything ends."""
    endpoints = [f"http://{at}" for at in _TWO]
    client = engine.Client(
        connections.Etcd.model_validate({"endpoints": endpoints, "request_timeout": 1.0}),
        metrics.null(),
        _HOME,
    )
    with pytest.raises(errors.EtcdUnavailable):
        client.ttl(1, 1.0)
    client.close()
    with pytest.raises(errors.EtcdUnavailable, match="closed"):
        client.ttl(1, 1.0)

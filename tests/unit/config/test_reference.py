from __future__ import annotations

from tests import documents
from zk2etcd.config import loader, models, reference


def test_the_reference_in_the_repository_holds_the_defaults() -> None:
    path = documents.ROOT / "config" / "zk2etcd.yaml"
    assert loader.load([str(path)], environ={}).config == reference.defaults()


def test_the_defaults_are_those_of_the_design() -> None:
    plain = models.redacted(reference.defaults())
    assert plain["zookeeper"]["session_timeout"] == "10s"
    assert plain["etcd"]["txn_bytes"] == "512KiB"
    assert plain["sync"]["full_sync_interval"] == "5m"
    assert plain["sync"]["delete_guard"] == {
        "min_deletes": 100,
        "max_ratio": 0.3,
        "max_deletes": 10000,
        "first_sync": "hold",
        "live": None,
    }
    assert plain["workers"]["restart_backoff"] == {"min": "1s", "max": "1m"}
    assert plain["state"] == {"prefix": "zk2etcd/default", "lease_ttl": "10s"}

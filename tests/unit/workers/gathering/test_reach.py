"""How often ZooKeeper is asked whether it serves, and what counts meanwhile."""

from __future__ import annotations

import threading

import pytest

from tests import polling
from zk2etcd.config import connections
from zk2etcd_workers.gathering import reach
from zk2etcd_workers.zookeeper.servers import probing

SETTINGS = connections.ZooKeeper(hosts=("a:1", "b:2"))


class Servers:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.good: set[str] = set()
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        monkeypatch.setattr(probing, "serves", self._serves)

    def _serves(self, host: str, settings: connections.ZooKeeper) -> bool:
        assert settings is SETTINGS
        self.asked.append(host)
        self.gate.wait(10)
        return host in self.good


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    return Servers(monkeypatch)


def test_one_that_serves_is_enough_and_is_not_asked_again_soon(servers: Servers) -> None:
    servers.good = {"b:2"}
    looked = reach.Reach(SETTINGS, 60.0)
    assert looked.is_there()
    polling.until(lambda: servers.asked == ["a:1", "b:2"])
    assert all(looked.is_there() for _ in range(100))
    assert servers.asked == ["a:1", "b:2"]


def test_none_that_serves_is_told_and_asked_again(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "_SOON", 0.01)
    looked = reach.Reach(SETTINGS, 60.0)
    polling.until(lambda: not looked.is_there())
    servers.good = {"a:1"}
    polling.until(looked.is_there)


def test_nobody_waits_for_an_answer_and_one_look_is_under_way_at_a_time(servers: Servers) -> None:
    servers.gate.clear()
    looked = reach.Reach(SETTINGS, 0.0)
    assert all(looked.is_there() for _ in range(50)), "it is taken to be there until it is known"
    polling.until(lambda: servers.asked == ["a:1"])
    servers.gate.set()
    polling.until(lambda: not looked.is_there())

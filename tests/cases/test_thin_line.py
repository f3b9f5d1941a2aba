"""A line to both sides that carries little: less is asked for at once, and nothing is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests import polling, proxy
from tests.acceptance import both_sides, conftest as fixtures, installed, metrics_text
from zk2etcd.sandbox import servers
from zk2etcd_workers.commands import generate

SMALL, LARGE = 4096, 12_288
"""Bytes of a value."""


class Thin:
    """Mirrors whose lines to both sides carry so many bytes a second in each direction. The nodes
    below `known` are in etcd already, those below `fresh` are not."""

    def __init__(self, mirrors: fixtures.Mirrors, prefix: str, rate: float) -> None:
        self._mirrors = mirrors
        self._prefix = prefix
        self.known, self.fresh = f"{prefix}/known", f"{prefix}/fresh"
        self.source = proxy.Proxy(mirrors.zookeeper.address, rate=rate)
        self.target = proxy.Proxy(mirrors.etcd.address, rate=rate)

    def fill(self, known: int, fresh: int) -> None:
        """So many nodes of 4 kB and of 12 kB."""
        with contextlib.closing(generate.Writer(self._mirrors.zookeeper.address)) as writer:
            writer.write(generate.plain(self.known, 1, known, SMALL))
            writer.write(generate.plain(self.fresh, 1, fresh, LARGE))
        child = f"{self.known}/parent-000000/child-"
        for number in range(known):
            value = generate.filled(f"0/{number}", SMALL)
            self._mirrors.sides.etcd.put(f"{child}{number:06d}", value)

    def supervisor(self, **timeouts: str) -> installed.Supervisor:
        return self._mirrors.made(
            self._prefix,
            "known",
            "fresh",
            nodes=0,
            zookeeper={"hosts": [self.source.address], **timeouts},
            etcd={"endpoints": [f"http://{self.target.address}"], **timeouts},
            workers={"count": 1},
        )

    def live(self, value: bytes, seconds: float) -> None:
        """A change now is mirrored within so many seconds."""
        self._mirrors.sides.zk.set(self.known, value)
        polling.until(
            lambda: self._mirrors.sides.etcd.value(self.known) == value, seconds, what="the change"
        )

    def nothing_was_lost(self, supervisor: installed.Supervisor) -> Mapping[str, Any]:
        """No session, no lease, no shard; how its worker stands."""
        for event in ("starting over", "shard in error", "lease gone: a new one is taken"):
            said = [f"{told['timestamp']}: {told}" for told in supervisor.events(event)]
            assert not said, "\n".join(said)
        _, metrics = supervisor.ask("/metrics")
        established = metrics_text.parse(metrics)["zk2etcd_zk_conn_total"]
        assert established == 1, "a session was lost"
        assert not any(shard["error"] for shard in supervisor.shards().values())
        workers: list[Mapping[str, Any]] = supervisor.status()["workers"]
        return workers[0]


@contextlib.contextmanager
def thin_line(mirrors: fixtures.Mirrors, prefix: str, rate: float) -> Iterator[Thin]:
    made = Thin(mirrors, prefix, rate)
    with made.source, made.target:
        yield made


@pytest.fixture
def spacious(
    sandbox: servers.Sandbox, fresh_etcd: servers.Etcd, supervise: fixtures.Supervise
) -> Iterator[fixtures.Mirrors]:
    """Of servers of their own, with a heap for 200 MB."""
    zookeeper = sandbox.zookeeper(jvm=("-Xmx1g", "-XX:+UseSerialGC"))
    zookeeper.start()
    sides = both_sides.Sides(zookeeper.address, fresh_etcd.address)
    yield fixtures.Mirrors(zookeeper, fresh_etcd, sides, supervise)
    sides.close()


@pytest.mark.alone
@pytest.mark.long
def test_a_base_ends_over_a_line_that_carries_less_than_a_page_within_the_time_out(
    mirrors: fixtures.Mirrors, prefix: str
) -> None:
    """A small one: time-outs in which 300 kB arrive, and 700 kB to be compared."""
    with thin_line(mirrors, prefix, 200_000.0) as thin:
        thin.fill(130, 12)
        supervisor = thin.supervisor(request_timeout="1500ms")
        supervisor.start()
        supervisor.wait_following(30.0)
        thin.live(b"live", 2.0)
        worker = thin.nothing_was_lost(supervisor)
        assert 16_384 <= worker["narrow"]["zookeeper_read"] < 100_000


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_base_full_sync_and_live_changes_end_over_500_kb_a_second(
    spacious: fixtures.Mirrors, prefix: str
) -> None:
    """20,000 keys of 4 kB in etcd already, 5,000 nodes of 12 kB that are not: 15 minutes."""
    with thin_line(spacious, prefix, 500_000.0) as thin:
        thin.fill(20_000, 5_000)
        supervisor = thin.supervisor()
        supervisor.start()
        supervisor.wait_following(900.0)
        before = {name: shard["last_full_sync"] for name, shard in supervisor.shards().items()}
        supervisor.ask("/full-sync", {})

        def synced() -> bool:
            shards = supervisor.shards()
            return all(shards[name]["last_full_sync"] != last for name, last in before.items())

        number, deadline = 0, time.monotonic() + 900.0
        while not synced():
            thin.live(b"live %d" % number, 10.0)
            number += 1
            assert time.monotonic() < deadline
        worker = thin.nothing_was_lost(supervisor)
        assert 16_384 <= worker["narrow"]["etcd_read"] < 1_000_000
        assert 16_384 <= worker["narrow"]["zookeeper_read"] < 2_000_000

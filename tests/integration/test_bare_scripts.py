"""The benchmarks' bare scripts do all of the work that they are timed for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from benchmarks import bare_etcd, burst, full_sync, latency, verify, world
from tests import releases
from zk2etcd.sandbox import servers

NODES = 3_000


@pytest.fixture(scope="module")
def on() -> Iterator[world.World]:
    with world.opened() as opened:
        opened.seed("/dubbo", NODES)
        yield opened


def test_the_bare_sync_makes_both_sides_equal(on: world.World) -> None:
    line = full_sync._bare(on, "/dubbo", NODES)
    assert line.started < line.connected < line.equal
    assert on.assert_equal("/dubbo", "/dubbo") == NODES
    assert verify._bare(on, "/dubbo", NODES) > 0


def test_the_bare_sync_of_old_servers_makes_both_sides_equal() -> None:
    with servers.opened() as box:
        old = world.World(box, releases.class_path(releases.ZOOKEEPER_3_4))
        try:
            old.seed("/dubbo", NODES)
            full_sync._bare(old, "/dubbo", NODES, "bare_classic")
            assert old.assert_equal("/dubbo", "/dubbo") == NODES
        finally:
            old.close()


def test_a_difference_is_noticed(on: world.World) -> None:
    full_sync._bare(on, "/dubbo", NODES)
    puts = bare_etcd.Puts(on.channel)
    puts.add([(b"/dubbo/extra", b"")])
    puts.flush()
    with pytest.raises(AssertionError, match="0 missing or different, 1 extra"):
        on.assert_equal("/dubbo", "/dubbo")


def test_the_bare_follower_follows(on: world.World) -> None:
    from_first, after_last = burst._bare(on, 2_000)
    assert from_first > after_last > 0


def test_the_bare_writes_reach_etcd(on: world.World) -> None:
    on.writer.create("/latency")
    watch = bare_etcd.Watch(on.channel, b"/latency")
    times = latency._times(3, lambda kind, path: latency._twice(on, kind, path))
    seen = [watch.seen.get(timeout=5)[:2] for _ in range(9)]
    watch.close()
    assert [len(taken) for taken in times.values()] == [3, 3, 3]
    assert seen[:3] == [
        (b"/latency/node0", b"value"),
        (b"/latency/node0", b"value"),
        (b"/latency/node0", None),
    ]


def test_a_wrong_use_of_a_script_fails(on: world.World) -> None:
    with on.bare("bare_read", "/dubbo", "/nothing", stdout=subprocess.PIPE) as reader:
        assert reader.communicate(timeout=30)[0].split()[1:] == [str(NODES), "0"]

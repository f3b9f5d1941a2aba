"""Which shard an event is for."""

from __future__ import annotations

from typing import NamedTuple

from zk2etcd_workers.zookeeper import watch_routes


class _Sink(NamedTuple):
    got: list[bytes]

    def event(self, _kind: int, path: bytes) -> None:
        self.got.append(path)


def test_shards_of_one_root_come_and_go_one_by_one() -> None:
    routes = watch_routes.Routes()
    one, two = _Sink([]), _Sink([])
    doubts: list[str] = []
    sinks = {"one": one.event, "two": two.event}
    routes.add(b"/s", sinks["one"], lambda: doubts.append("one"))
    routes.add(b"/s", sinks["two"], lambda: doubts.append("two"))
    routes.add(b"/s", sinks["two"], lambda: doubts.append("two again"))
    routes.doubt()
    assert doubts == ["one", "two again"]
    routes.tell(1, b"/s/x")
    routes.remove(b"/s", sinks["one"])
    assert routes.roots == {b"/s"}
    routes.tell(1, b"/s/y")
    routes.remove(b"/s", sinks["two"])
    routes.remove(b"/s", sinks["two"])
    routes.tell(1, b"/s/z")
    assert (one.got, two.got) == ([b"/s/x"], [b"/s/x", b"/s/y"])
    assert routes.roots == frozenset()

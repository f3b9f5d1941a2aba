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


def test_a_bucket_hears_of_the_root_and_of_its_own_children_only() -> None:
    for root, base in ((b"/s", b"/s"), (b"/", b"")):
        routes = watch_routes.Routes()
        sinks = [_Sink([]), _Sink([])]
        for number, each in enumerate(sinks):
            routes.add(root, each.event, lambda: None, watch_routes.Part(number, 2))
        below = [base + name for name in (b"/a", b"/a/x", b"/com.foo.Bar", b"/com.foo.Bar/a")]
        for path in (root, *below):
            routes.tell(3, path)
        assert [each.got for each in sinks] == [[root, *below[2:]], [root, *below[:2]]]


def test_while_their_number_is_changed_a_bucket_of_each_hears() -> None:
    routes = watch_routes.Routes()
    whole, first, second = (_Sink([]) for _ in range(3))
    routes.add(b"/s", whole.event, lambda: None)
    routes.add(b"/s", first.event, lambda: None, watch_routes.Part(0, 2))
    routes.add(b"/s", second.event, lambda: None, watch_routes.Part(1, 2))
    routes.tell(3, b"/s/a/x")
    assert (whole.got, first.got, second.got) == ([b"/s/a/x"], [], [b"/s/a/x"])

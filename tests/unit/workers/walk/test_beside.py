"""A few nodes beside all that etcd has of them, at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.unit.workers import changes as of
from zk2etcd_workers.model import plan, tree
from zk2etcd_workers.walk import beside

Columns = list[tuple[Sequence[bytes], Sequence[bytes]]]


def _walk(count: int, of_run: int = 10) -> Iterator[plan.Run]:
    for start in range(0, count, of_run):
        run = plan.Run()
        for at in range(start, min(start + of_run, count)):
            name = b"/t/%05d" % at
            run.add(name, tree.Node(name, b"v", 5, 7, 1, 0, 0))
        yield run


class Holds:
    """What etcd has; `asked`: beside how many nodes, of how many bytes."""

    def __init__(self, columns: Columns | None) -> None:
        self.columns = columns
        self.asked: list[tuple[int, int]] = []

    def __call__(self, nodes: int, size: int) -> Columns | None:
        self.asked.append((nodes, size))
        return self.columns


def test_few_nodes_are_compared_at_once() -> None:
    counts = plan.Counts()
    held = Holds([([b"/t"], [b""]), ([b"/t/00000", b"/t/00001"], [b"v", b"old"])])
    walk, differing = beside.few(_walk(12), held, counts)
    assert differing is not None
    changes = of.each_of(differing)
    extras = [each.key for each in changes if isinstance(each, plan.Extra)]
    puts = [each.key for each in changes if isinstance(each, plan.Write)]
    assert extras == [b"/t"]
    assert puts == [b"/t/%05d" % at for at in range(1, 12)]
    assert (counts.wanted, counts.present) == (12, 3)
    assert list(walk) == []
    assert held.asked == [(12, 12)]


def test_of_many_nodes_none_is_lost_and_etcd_is_not_asked_here() -> None:
    counts, held = plan.Counts(), Holds([])
    walk, differing = beside.few(_walk(200), held, counts)
    assert differing is None
    assert held.asked == []
    assert [key for run in walk for key in run.keys] == [b"/t/%05d" % at for at in range(200)]
    assert counts.wanted == 0


def test_where_etcd_has_more_the_walk_goes_on_as_it_was() -> None:
    counts, held = plan.Counts(), Holds(None)
    walk, differing = beside.few(_walk(12), held, counts)
    assert differing is None
    assert [key for run in walk for key in run.keys] == [b"/t/%05d" % at for at in range(12)]
    assert counts.wanted == 0

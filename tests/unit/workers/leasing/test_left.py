"""Owner keys of shards that this worker has left, and whose they are by now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.leasing import leases, left

KEY = b"zk2etcd/owners/a-1"


class Etcd:
    """Knows one owner key: what it says, and whether it hangs on this worker's lease."""

    def __init__(self) -> None:
        self.document, self.is_hung = b"ours", True
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.deleted: list[Any] = []

    def hung_on(self) -> Sequence[bytes]:
        self.asked += 1
        return [KEY] if self.is_hung else []

    def lookup(self, keys: Sequence[bytes]) -> list[wire.Present | None]:
        self.meanwhile()
        return [wire.Present(key, self.document, 9) for key in keys]

    def txn_soon(self, txn: wire.Txn, _done: etcd.Done) -> None:
        (same,) = txn.compare
        self.deleted.append(same.operand)


def _left(server: Etcd) -> left.Left:
    """Of a worker that has left its shard."""
    made = _new(server)
    made.taken(KEY)
    made.released(KEY)
    return made


def _new(server: Etcd) -> left.Left:
    return left.Left(cast(etcd.Client, server), cast(leases.Lease, server), b"zk2etcd/owners/")


def test_what_is_there_again_is_deleted() -> None:
    server = Etcd()
    _left(server).look()
    assert server.deleted == [b"ours"]


def test_of_a_worker_that_has_had_no_shard_nothing_is_asked() -> None:
    server = Etcd()
    one = _new(server)
    one.look()
    assert server.asked == 0
    one.taken(KEY)
    one.look()
    assert server.asked == 1


def test_what_is_owned_stays() -> None:
    server = Etcd()
    one = _left(server)
    one.taken(KEY)
    one.look()
    assert server.deleted == []
    one.released(KEY)
    one.look()
    assert server.deleted == [b"ours"]


def test_what_another_worker_took_during_the_look_stays() -> None:
    server = Etcd()

    def taken_by_another() -> None:
        server.document, server.is_hung = b"theirs", False

    server.meanwhile = taken_by_another
    _left(server).look()
    assert server.deleted == []

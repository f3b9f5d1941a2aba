"""The watch of a start holds for one connection: one that is lost at the very answer is doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import pytest

from tests.unit import settings
from tests.unit.workers.walks import Session
from zk2etcd import errors, messages, metrics
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.mirror import connecting
from zk2etcd_workers.model import mapping
from zk2etcd_workers.ownership import fence, reads, records
from zk2etcd_workers.shard import context, dirty_paths
from zk2etcd_workers.walk import glance
from zk2etcd_workers.zookeeper import reply as replies, session as sessions

SHARD = messages.Shard("s-1", "/s", "/s")


class Watched(Session):
    """Answers at once; behind the answer to `lost_after` there is another connection."""

    def __init__(self, lost_after: str = "", *, stands: bool | None = True) -> None:
        super().__init__({b"/s": b""})
        self.lost_after = lost_after
        self.may_check_watches = stands is not None
        self.tells_watches: int | None = None
        self._stands = bool(stands)
        self.asked: list[str] = []

    def subscribe(
        self, root: bytes, _sink: object, _doubt: Callable[[], None], _part: object
    ) -> None:
        self.asked.append(f"subscribe {root.decode()}")

    def watch(self, root: bytes, sink: replies.ReplySink) -> None:
        self._answer("watch", root, sink)

    def sync(self, root: bytes, sink: replies.ReplySink) -> None:
        self._answer("sync", root, sink)

    def check_watch(self, root: bytes, sink: replies.ReplySink) -> None:
        self._answer("check", root, sink, [True] if self._stands else [])

    def _answer(
        self, what: str, root: bytes, sink: replies.ReplySink, results: Sequence[bool] = ()
    ) -> None:
        self.asked.append(f"{what} {root.decode()}")
        epoch, self.epoch = self.epoch, self.epoch + (what == self.lost_after)
        sink(replies.Reply((), None, epoch, 7, results, None))


def watched(session: Watched) -> context.Context:
    shard = mapping.Mapping.of(SHARD)
    ctx = context.Context(
        shard=SHARD,
        mapping=shard,
        config=settings.configured(),
        session=cast(sessions.Session, session),
        etcd=cast(etcd.Client, None),
        reads=cast(reads.Reads, None),
        fence=cast(fence.Fence, None),
        keys=records.Keys("zk2etcd/test"),
        instruments=metrics.null(),
        turn=turn.Turn(),
        log=None,
    )
    ctx, seen = connecting.watch(ctx, dirty_paths.Dirty(shard, 10, lambda: None), lambda: None)
    assert seen == glance.NOTHING
    return ctx


def test_the_watch_is_asked_before_the_sync_and_all_is_of_that_connection() -> None:
    session = Watched()
    assert watched(session).epoch == session.epoch
    assert session.asked == ["subscribe /s", "watch /s", "sync /s", "check /s"]


@pytest.mark.parametrize("stands", [True, False, None])
def test_a_server_is_believed_about_our_watch_that_says_yes_while_it_stands(
    stands: bool | None,
) -> None:
    session = Watched(stands=stands)
    ctx = watched(session)
    assert (ctx.watch_told, ctx.since) == (bool(stands), 7)
    assert ("check /s" in session.asked) is (stands is not None)


def test_a_server_that_said_yes_once_is_not_asked_again_on_that_connection() -> None:
    """A thousand shards would ask the same."""
    session = Watched()
    watched(session)
    session.asked.clear()
    assert watched(session).watch_told
    assert session.asked == ["subscribe /s", "watch /s", "sync /s"]
    session.epoch += 1
    watched(session)
    assert "check /s" in session.asked
    silent = Watched(stands=False)
    for _ in range(2):
        silent.asked.clear()
        assert not watched(silent).watch_told
        assert "check /s" in silent.asked


@pytest.mark.parametrize("lost_after", ["watch", "sync", "check"])
def test_a_connection_lost_at_the_answer_is_doubt(lost_after: str) -> None:
    with pytest.raises(errors.SessionDoubt, match="the ZooKeeper session changed"):
        watched(Watched(lost_after))

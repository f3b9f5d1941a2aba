"""What is asked again and again, once for all shards of a worker that follow.

A quiet shard looks the same whether nothing happens or nothing is heard, whoever owns it. So every
second ZooKeeper is asked three things: to `sync`; for all roots, since a server sends no event of
what the session may not read (3.8.4, 3.9.2 and later: ZOOKEEPER-4799); and whether our watches
still stand, since a restore in place (3.9's admin server) takes all of them with it. And every two
seconds etcd is asked whether the shards are still ours. So what quiet costs grows with workers.

An answer that is as it should be wakes no shard's thread; one that is not is put into its inbox.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.mirror import seat
from zk2etcd_workers.model import tree
from zk2etcd_workers.ownership import fence, leases, records
from zk2etcd_workers.zookeeper import reply as replies, session as sessions

_EVERY = 1.0
_BEAT = 0.25
_LARGE_EVERY = 10
_LARGE = 64 * 1024
"""Bytes of a root's value from which on it is read with each tenth `sync` only."""
_MOST_ROOTS = 128
_MOST_BYTES = 512 * 1024
_UNKNOWN = 32 * 1024
"""Bytes that a root's value counts as which was never read."""
_FEW = 40
"""Shards whose keys in etcd are read by themselves; of more, all of the state prefix are."""


_FORGOTTEN = (
    "the server has forgotten our watch while the session lived on: it was restored, it seems"
)
_NEW = object()


class _Asked(NamedTuple):
    """The tag of one of the questions; `sent` in wall-clock seconds."""

    sent: float
    what: Literal["sync", "roots", "watch"]
    number: int


class _Told(NamedTuple):
    """etcd's answer about all keys of `seats`, each with what was known when it was asked."""

    sent: float
    asked: Sequence[tuple[seat.Seat, fence.Standing]]
    everything: bool
    answer: wire.Answer | None
    error: errors.EtcdError | None


class _Round:
    """The questions to ZooKeeper that are under way, and what they were answered until now."""

    def __init__(self, sent: float, epoch: int, seats: Sequence[seat.Seat]) -> None:
        self.sent = sent
        self.epoch = epoch
        self.seats = seats
        self.left = 0
        self.failed = False
        self.denied: set[seat.Seat] = set()
        self.zxid = 0


class Rounds:
    """Of one worker's connections. Shards take their seats while they follow."""

    def __init__(
        self,
        session: sessions.Session,
        client: etcd.Client,
        keys: records.Keys,
        lease: leases.Lease,
        patience: float,
    ) -> None:
        """:param patience: `zookeeper.request_timeout`."""
        self._session = session
        self._client = client
        self._keys = keys
        self._lease = lease
        self._patience = patience
        self._lock = threading.Lock()
        self._seats: dict[seat.Seat, None] = {}
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._sizes: dict[bytes, int] = {}
        self._count = 0
        self._round: _Round | None = None
        self._sync_at = self._look_at = self._synced_at = self._looked_at = 0.0
        self._few = _FEW
        self._looking = False
        self.turn = turn.Turn()

    def join(self, one: seat.Seat) -> None:
        """From now on it is asked for, too; soon."""
        with self._lock:
            self._seats[one] = None
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)
                self._thread.start()
        self._answers.put(_NEW)

    def leave(self, one: seat.Seat) -> None:
        with self._lock:
            self._seats.pop(one, None)

    def close(self) -> None:
        self._stop.set()

    @property
    def age(self) -> float:
        """Seconds since the last turn; 0 before the first."""
        return self.turn.age() if self._thread is not None and not self._stop.is_set() else 0.0

    def _run(self) -> None:
        self.turn.adopt()
        while not self._stop.is_set():
            self.turn.renew()
            try:
                self._once(time.monotonic())
            except errors.Zk2EtcdError as error:
                # Each shard meets it by itself when it writes, or grows old.
                logger.get().debug("not asked", error=str(error))
                self._stop.wait(_BEAT)
            except Exception:
                logger.get().exception("bug in the rounds: going on")
                self._stop.wait(_EVERY)

    def _once(self, now: float) -> None:
        with self._lock:
            seats = list(self._seats)
        self._doubt(seats)
        if now >= self._sync_at:
            self._ask_zookeeper(now, seats)
        if now >= self._look_at and not self._looking:
            self._ask_etcd(now, [each for each in seats if not each.ctx.dry_run])
        self._hear()

    def _hear(self) -> None:
        try:
            answer = self._answers.get(timeout=_BEAT)
        except queue.Empty:
            return
        if answer is _NEW:
            self._sync_at = min(self._sync_at, self._synced_at + _BEAT)
            self._look_at = min(self._look_at, self._looked_at + _BEAT)
        elif isinstance(answer, _Told):
            self._looking = False
            self._told(answer)
        else:
            self._replied(answer)

    def _doubt(self, seats: Sequence[seat.Seat]) -> None:
        """What a shard would notice by itself if it turned: it does when it is woken."""
        doubtful = False
        try:
            self._lease.check()
        except errors.LeaseDoubt:
            doubtful = True
        for each in seats:
            if (doubtful and not each.ctx.dry_run) or each.rollbacks != self._client.rollbacks:
                each.deliver(None)

    # --- ZooKeeper ---------------------------------------------------------------------------

    def _ask_zookeeper(self, now: float, seats: Sequence[seat.Seat]) -> None:
        """A second after the last answer, or when one is overdue. A server answers a session's
        requests in their order."""
        session, epoch = self._session, self._session.epoch
        here = [each for each in seats if each.ctx.epoch == epoch]
        if not here or not session.connected:
            return
        self._synced_at, self._sync_at = now, now + self._patience
        self._count += 1
        begun = self._round = _Round(time.time(), epoch, here)
        roots = list(_batches(self._wanted(here), self._sizes))
        checks = list(self._checked(here)) if session.may_check_watches else []
        begun.left = 1 + len(roots) + len(checks)
        session.sync(here[0].ctx.root, self._answers.put, self._tag("sync"))
        for batch in roots:
            session.look(batch, self._answers.put, self._tag("roots"))
        for root in checks:
            session.check_watch(root, self._answers.put, self._tag("watch"))

    def _tag(self, what: Literal["sync", "roots", "watch"]) -> _Asked:
        assert self._round is not None
        return _Asked(self._round.sent, what, self._count)

    def _wanted(self, seats: Sequence[seat.Seat]) -> Iterator[bytes]:
        """Reading a large value every second would cost more than it tells."""
        blind = {each.ctx.root for each in seats if each.freshness.is_blind}
        for root in dict.fromkeys(each.ctx.root for each in seats):
            is_large = self._sizes.get(root, 0) > _LARGE
            if not is_large or root in blind or self._count % _LARGE_EVERY == 0:
                yield root

    def _checked(self, seats: Sequence[seat.Seat]) -> Iterator[bytes]:
        """Watches go all at once, with the tree that they were set on. So if the oldest stands, so
        do those that were set after it; another one each time, since which is the oldest is not
        certain to the moment."""
        telling = [each for each in seats if each.ctx.watch_told]
        if telling:
            oldest = min(telling, key=lambda each: each.ctx.watched_at)
            yield from dict.fromkeys(
                (oldest.ctx.root, telling[self._count % len(telling)].ctx.root)
            )

    def _replied(self, reply: replies.Reply) -> None:
        begun, asked = self._round, reply.tag
        if begun is None or asked.number != self._count:
            return
        if reply.error is not None or reply.epoch != begun.epoch:
            begun.failed = True
            self._sync_at = time.monotonic() + _EVERY
            return
        begun.left -= 1
        if asked.what == "sync":
            begun.zxid = reply.zxid
        elif asked.what == "roots":
            self._saw_roots(begun, reply)
        elif not reply.results:
            begun.failed = True
            for each in begun.seats:
                if each.ctx.watch_told:
                    each.deliver(errors.PutBack(_FORGOTTEN))
        if not begun.left and not begun.failed:
            self._sync_at = time.monotonic() + _EVERY
            for each in begun.seats:
                if each not in begun.denied and not each.freshness.is_blind:
                    each.synced(begun.sent, begun.zxid)
                if each.untold.awaits_sync:
                    each.deliver(seat.Synced(begun.zxid))

    def _saw_roots(self, begun: _Round, reply: replies.Reply) -> None:
        """Only what is not as it is known is news."""
        found = dict(zip((path for _, path in reply.ops), reply.results, strict=True))
        for path, node in found.items():
            self._sizes[path] = len(node.data) if isinstance(node, tree.Node) else 0
        for each in begun.seats:
            node = found.get(each.ctx.root)
            if node is tree.Miss.NO_AUTH:
                begun.denied.add(each)
            if node is not None and (node is tree.Miss.NO_AUTH) != each.freshness.is_blind:
                each.deliver(seat.Root(node))

    # --- etcd --------------------------------------------------------------------------------

    def _ask_etcd(self, now: float, seats: Sequence[seat.Seat]) -> None:
        if not seats:
            return
        self._looked_at, self._look_at, self._looking = now, now + fence.LOOK_EVERY, True
        asked = [(each, each.ctx.fence.standing) for each in seats]
        everything, sent = len(seats) > self._few, time.time()
        reads: list[wire.Op] = [wire.Range(self._keys.format())]
        if everything:
            start, end = self._keys.all_of("owners")
            reads += [
                wire.Range(start, end, keys_only=True),
                wire.Range(*self._keys.all_of("checkpoints")),
            ]
        else:
            reads += [read for each in seats for read in each.ctx.fence.asks()]
        self._client.txn_soon(
            wire.Txn((), reads),
            lambda *end: self._answers.put(_Told(sent, asked, everything, *end)),
        )

    def _told(self, told: _Told) -> None:
        answer = told.answer
        if isinstance(told.error, errors.TooManyOperations) and self._few:
            self._few = self._look_at = 0
            return
        if answer is None:
            for each, standing in told.asked:
                each.deliver(seat.Looked(told.sent, standing))
            return
        formatted = answer.kvs(0)
        found = _by_key(answer, 3 if told.everything else 1 + 2 * len(told.asked))
        revision = answer.revision
        for each, standing in told.asked:
            seen = each.ctx.fence.among(found, formatted, revision)
            looked = seat.Looked(told.sent, standing._replace(answer=seen))
            try:
                each.ctx.fence.check(looked.standing)
            except errors.Zk2EtcdError:
                each.deliver(looked)
                continue
            each.revision = revision
            each.freshness.round_etcd_answered(told.sent)
            if each.untold.awaits_etcd:
                each.deliver(looked)


def _by_key(answer: wire.Answer, count: int) -> Mapping[bytes, wire.Present]:
    return {kv.key: kv for at in range(1, count) for kv in answer.kvs(at)}


def _batches(roots: Iterator[bytes], sizes: Mapping[bytes, int]) -> Iterator[Sequence[bytes]]:
    """A bulk read holds one of the server's threads, and its answer is one message."""
    batch: list[bytes] = []
    size = 0
    for root in roots:
        wanted = sizes.get(root, _UNKNOWN)
        if batch and (len(batch) >= _MOST_ROOTS or size + wanted > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(root)
        size += wanted + len(root)
    if batch:
        yield batch

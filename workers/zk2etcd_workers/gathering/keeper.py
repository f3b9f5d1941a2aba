"""Keeps our key among the members, and what is known of all members, owners and offers.

One worker of a supervisor does it, in a thread of its own. What it knows is read every half of the
lease's time, and watched in between, so that a watch which is dead, or deaf, costs time, no more. A
supervisor that gives no sign for as long as its lease would live is taken for frozen: our key is
deleted until it does, or others would leave shards to somebody who takes none.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from zk2etcd import census, errors, messages
from zk2etcd.logs import logger
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.etcd.streams import watching
from zk2etcd_workers.gathering import configs, member_key, offers, table
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import records

_DEBOUNCE, _DEBOUNCE_EACH = 0.05, 0.003
"""Seconds from a change to its census, and more for each member: of many that come, or claim, at
the same time each would look at each one's change by itself."""
_BLIND = 1.0
"""Seconds from one read to the next while there is no watch, or etcd does not answer."""
_REST = (1.0, 60.0)
"""Seconds until another watch is begun: the first time, and at most."""
_TURN = 0.25
_STALL = 1.0
"""A turn that begins so much later than that means that this process stood still."""
_FORGET = 10
"""So many lives of a lease without a member that names it end a list of shards."""

Told = Callable[[census.Census, float], None]


class Keeper:
    """From `start` to `close`."""

    def __init__(
        self,
        client: etcd.Client,
        keys: records.Keys,
        lease: leases.Lease,
        identity: messages.Identity,
        connected: Callable[[], bool],
        told: Told,
    ) -> None:
        """:param connected: whether our session with ZooKeeper stands, where there should be one.
        :param told: gets each census, with the monotonic moment of which etcd has said it; in the
            keeper's thread.
        """
        self._client = client
        self._keys = keys
        self._lease = lease
        self._identity = identity
        self._told = told
        self._log = logger.get()
        self._configs = configs.Configs(client, keys)
        self._key = member_key.MemberKey(client, keys, lease, identity, self._configs, connected)
        self._acts: queue.SimpleQueue[offers.Act] = queue.SimpleQueue()
        self._wake, self._over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._forget(time.monotonic())
        self._swept_at = self._say_at = time.monotonic()
        self._again_at = 0.0
        self.untold: str | None = None
        """Why etcd does not tell, or take, what it should; None if it does."""
        self.refusal: str | None = None
        """Why this release may not have a key there."""
        self.failed_at: float | None = None
        """When it came to its end by a bug (monotonic): our key is there, and nothing is known."""

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Look and tell no more. Our key stays until its lease ends, or another keeper's is put."""
        self._over = self._key.closed = True
        self._wake.set()

    def hears(self, standing: messages.Standing) -> None:
        """The supervisor says how it stands. It says so again several times within a lease's life:
        that is its sign of life."""
        self._key.hears(standing)
        self._wake.set()

    def act(self, wanted: Sequence[offers.Act]) -> None:
        """Do these once, by what is known then."""
        for each in wanted:
            self._acts.put(each)
        self._wake.set()

    # --- its thread --------------------------------------------------------------------------

    def _forget(self, now: float) -> None:
        """Nothing is known, and read at once."""
        self._table = table.Table(self._keys)
        self._watch: watching.Watch | None = None
        self._watch_at, self._rest = now, _REST[0] / 2
        self._read_at, self._seen_at = now, now
        self._changed_at: float | None = None
        self._members = 0
        self._rollbacks = self._client.rollbacks

    def _run(self) -> None:
        try:
            self._turns()
        except Exception:
            self._log.exception("the keeper of the census failed: this is a bug")
            self.failed_at = time.monotonic()

    def _turns(self) -> None:
        while not self._over:
            now = time.monotonic()
            try:
                self._turn(now)
                if now >= self._again_at:
                    self.untold = None
            except errors.Zk2EtcdError as error:
                # Where there are shards they meet the same; without them nobody else does.
                self._log.debug("members not looked at", error=str(error))
                self.untold = str(error)
                if isinstance(error, errors.NewerReader):
                    self.refusal = self.untold
                self._read_at = max(self._read_at, time.monotonic() + _BLIND)
                # A turn before that has nothing to ask, and shows nothing.
                self._again_at = max(self._read_at, self._say_at)
            slept, wanted = time.monotonic(), self._until(time.monotonic())
            self._wake.wait(wanted)
            self._wake.clear()
            if (late := time.monotonic() - slept - wanted) > _STALL:
                self._key.stood_still(late)
        self._unwatch()

    def _until(self, now: float) -> float:
        """Seconds until the next turn at the latest."""
        times = [self._read_at, now + _TURN]
        if self._changed_at is not None:
            times.append(self._changed_at + self._debounce)
        return max(0.01, min(times) - now)

    @property
    def _debounce(self) -> float:
        return _DEBOUNCE + _DEBOUNCE_EACH * self._members

    def _turn(self, now: float) -> None:
        if self._client.rollbacks != self._rollbacks:
            self._log.warning("etcd was put back: members are looked at anew")
            self._unwatch()
            self._key.forget()
            self._forget(now)
        self._hear(now)
        if now >= self._read_at:
            self._read(now)
        if self._watch is None and self._table.revision and now >= self._watch_at:
            self._begin_watch(now)
        self._do()
        if self._changed_at is not None and now >= self._changed_at + self._debounce:
            self._tell()
        self._say(now)
        if now - self._swept_at > self._lease.ttl * _FORGET / 2:
            self._swept_at = now
            self._configs.sweep(self._table.digests(), now, self._lease.ttl * _FORGET)

    def _say(self, now: float) -> None:
        if now < self._say_at:
            return
        self._say_at = now + _BLIND  # unless it goes well
        self._key.tend(now, self._table)
        self._say_at = now

    def _read(self, now: float) -> None:
        """What is there, whatever the watch says; and whether it says all."""
        self._read_at = now + (self._lease.ttl / 2 if self._watch is not None else _BLIND)
        reads = [wire.Range(*each) for each in self._keys.shared()]
        answer = self._client.txn(wire.Txn((), reads), write=False)
        found = [
            watching.Change(kv.key, kv.value, kv.revision, kv.lease)
            for at in range(len(reads))
            for kv in answer.kvs(at)
        ]
        self._table.read(found, answer.revision, time.monotonic())
        # Only now: what the watch told meanwhile may be more than that.
        self._hear(time.monotonic())
        if self._watch is None:
            self._table.forgive()
        self._seen_at = now
        self._tell()

    def _hear(self, now: float) -> None:
        """Take what the watch has told, and see whether it is to be trusted."""
        if (watch := self._watch) is None:
            return
        watch.tend(now)
        if (self._table.told(watch.take()) or watch.holds) and self._changed_at is None:
            self._changed_at = now
        if watch.end is not None:
            self._lose(watch.end, now)
        elif self._table.owes(now):
            self._lose(errors.EtcdError("it did not tell what a read showed"), now)

    def _lose(self, why: errors.EtcdError, now: float) -> None:
        self._log.debug("watch of members ended", error=str(why))
        self._unwatch()
        self._table.forgive()
        lived, (shortest, longest) = now - self._watch_at, _REST
        self._rest = shortest if lived > longest else min(2 * self._rest, longest)
        self._watch_at, self._read_at = now + self._rest, now

    def _begin_watch(self, now: float) -> None:
        scope = watching.Scope(self._keys.shared(), self._table.read_revision, self._lease.ttl)
        try:
            self._watch_at = now
            self._watch = self._client.watch(scope, self._wake.set)
        except errors.EtcdError as error:
            self._lose(error, now)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _do(self) -> None:
        while not self._acts.empty():
            act = self._acts.get()
            txn = offers.txn(act, self._identity.instance, self._keys, self._table)
            if txn is not None:
                self._client.txn_soon(self._key.guarded(txn), _done)

    def _tell(self) -> None:
        self._configs.learn(self._table.digests(), time.monotonic())
        self._changed_at = None
        found = self._table.census(self._configs.shards)
        self._members = len(found.members)
        self._told(found, self._seen_at)


def _done(_answer: wire.Answer | None, error: errors.EtcdError | None) -> None:
    """What came of an offer is told by the next census."""
    if error is not None:
        logger.get().debug("offer not written", error=str(error))

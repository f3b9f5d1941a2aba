"""What is asked again and again, once for all shards of a worker that follow.

A quiet shard looks the same whether nothing happens or nothing is heard, whoever owns it. So every
second ZooKeeper is asked (`of_zookeeper`), and every two etcd (`of_etcd`): what quiet costs grows
with workers. An answer that is as it should be wakes no shard's thread (`seat`).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import records
from zk2etcd_workers.rounds import of_etcd, of_zookeeper, seat
from zk2etcd_workers.zookeeper import session as sessions

_BEAT = 0.25
_AGAIN = 1.0
_NEW = object()


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
        self._client = client
        self._lease = lease
        self._lock = threading.Lock()
        self._seats: dict[seat.Seat, None] = {}
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._joined = False
        """A seat has come since they were last looked at."""
        self._undoubted: int | None = None
        """How often etcd had been found put back when no seat was in doubt."""
        self._of_zookeeper = of_zookeeper.OfZooKeeper(session, self._answers.put, patience)
        self._of_etcd = of_etcd.OfEtcd(client, keys, self._answers.put)
        self.turn = turn.Turn()

    def join(self, one: seat.Seat) -> None:
        """From now on it is asked for, too; soon."""
        with self._lock:
            self._seats[one] = None
            self._joined = True
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
                self._stop.wait(_AGAIN)

    def _once(self, now: float) -> None:
        with self._lock:
            seats, joined, self._joined = list(self._seats), self._joined, False
        if joined:
            self._undoubted = None
        self._doubt(seats)
        self._of_zookeeper.ask(now, seats)
        self._of_etcd.ask(now, seats)
        self._hear()

    def _hear(self) -> None:
        """Wait for an answer, and take all that are there."""
        try:
            self._take(self._answers.get(timeout=_BEAT))
            while True:
                self._take(self._answers.get_nowait())
        except queue.Empty:
            return

    def _take(self, answer: Any) -> None:
        if answer is _NEW:
            seats = len(self._seats)
            self._of_zookeeper.soon(seats)
            self._of_etcd.soon(seats)
        elif isinstance(answer, of_etcd.Told):
            self._of_etcd.told(answer)
        else:
            self._of_zookeeper.replied(answer)

    def _doubt(self, seats: Sequence[seat.Seat]) -> None:
        """What a shard would notice by itself if it turned: it does when it is woken."""
        doubtful, rollbacks = False, self._client.rollbacks
        try:
            self._lease.check()
        except errors.LeaseDoubt:
            doubtful = True
        if not doubtful and rollbacks == self._undoubted:
            return
        found = [s for s in seats if (doubtful and not s.ctx.dry_run) or s.rollbacks != rollbacks]
        for each in found:
            each.wake()
        self._undoubted = None if found else rollbacks

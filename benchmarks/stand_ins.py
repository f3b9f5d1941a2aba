"""Supervisors that share, without ZooKeeper: the real decisions, keeper, lease and claims of each
against one etcd, several of them in a process of its own.

    python -m benchmarks.stand_ins URL PREFIX SHARDS NAME...

What is stood in for is what mirrors a shard: here it is in order as soon as it is owned. A line on
stdin starts them; another one has them tell what they did, as JSON. It ends by being killed.
"""

from __future__ import annotations

import concurrent.futures
import json
import queue
import random
import sys
import threading
import time
from multiprocessing import connection
from typing import NamedTuple

from zk2etcd import census, errors, messages, metrics
from zk2etcd.config import connections
from zk2etcd.logs import logger
from zk2etcd.policy import situation
from zk2etcd.supervisor import sharing
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.gathering import desk
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import fence, records

TTL = 10.0
TURN = 0.2
"""A worker's loop turns so often at least."""
_SIGN = TTL / 5
_THREADS = 32


def shards(count: int) -> dict[str, messages.Shard]:
    paths = [f"/members/p{number:04d}" for number in range(count)]
    made = [messages.Shard(messages.shard_id(path, path), path, path) for path in paths]
    return {shard.id: shard for shard in made}


class Client(etcd.Client):
    """Counts the Txns that would put owner keys, whether they were applied or not."""

    def __init__(self, settings: connections.Etcd, owners: bytes) -> None:
        super().__init__(settings, metrics.null())
        self._owners = owners
        self.claims = 0

    def txn(self, txn: wire.Txn, *, write: bool = True) -> wire.Answer:
        puts = [op for op in txn.success if isinstance(op, wire.Put)]
        self.claims += any(op.key.startswith(self._owners) for op in puts)
        return super().txn(txn, write=write)


class Done(NamedTuple):
    """A shard is ours by this token; 0: it was let go of, or the claim was given up."""

    shard: str
    token: int


class Member:
    """A supervisor with one worker, turned by a thread of its own."""

    def __init__(
        self, url: str, prefix: str, name: str, configured: dict[str, messages.Shard]
    ) -> None:
        keys = records.Keys(prefix)
        settings = connections.Etcd.model_validate({"endpoints": [url]})
        self.client = Client(settings, keys.all_of("owners")[0])
        self._lease = leases.Lease(self.client, TTL)
        self._identity = messages.Identity(name, "w0", 1)
        self._shards, self._keys = configured, keys
        self._shared = fence.Shared(self.client, keys, self._lease)
        self._desk = desk.Desk(self._identity)
        self._sharing = sharing.Sharing(name, situation.Rules(ttl=TTL))
        self._wanted: frozenset[str] = frozenset()
        self._fences: dict[str, fence.Fence] = {}
        self._owned: set[str] = set()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS)
        self._ids = frozenset(configured)
        self._told: tuple[object, float] = (None, 0.0)
        self.steps = 0.0
        """Seconds of processors for its decisions."""

    def run(self) -> None:
        """Until the process is killed."""
        self._sharing.at((("etcd",), None), 0)
        self._desk.begin(self.client, self._keys, self._lease, lambda: True)
        while True:
            connection.wait([self._desk.fileno()], self._rest(time.monotonic()))
            self._turn(time.monotonic())

    def _rest(self, now: float) -> float:
        wakes_at = self._sharing.wakes_at()
        return min(TURN, max(0.001, wakes_at - now)) if wakes_at is not None else TURN

    def _turn(self, now: float) -> None:
        used = time.thread_time()
        if (found := self._desk.take(1)) is not None:
            self._sharing.gathered(found, now)
        while not self._done.empty():
            done = self._done.get()
            if done.token:
                self._owned.add(done.shard)
                self._sharing.reported(_follows(done), now)
            else:
                del self._fences[done.shard]
        self._sharing.let_go(self._shared.left.let_go(), 1, self._ids)
        offers = self._sharing.step(self._ids, self._fences.__contains__, now)
        self._say(now)
        if offers:
            self._desk.carry_out(messages.Offers(offers))
        self._wanted = self._sharing.wanted(self._ids)
        self._follow()
        self.steps += time.thread_time() - used

    def _say(self, now: float) -> None:
        failing = self._sharing.failing
        if self._told[0] == failing and now - self._told[1] < _SIGN:
            return
        self._told = failing, now
        member = census.Member(self._identity.instance, self._ids, failing=failing)
        self._desk.carry_out(messages.Standing(member, "0" * 12, "benchmark"))

    def _follow(self) -> None:
        new = self._wanted - self._fences.keys()
        self._shared.claims.expect(len(new))
        for shard in sorted(new):
            made = fence.Fence(
                *(self.client, self._keys, self._lease, self._identity),
                *(self._shards[shard], self._shared),
            )
            self._fences[shard] = made
            self._pool.submit(self._claim, shard, made)
        for shard in self._owned - self._wanted:
            self._owned.discard(shard)
            self._pool.submit(self._release, shard, self._fences[shard])

    def _claim(self, shard: str, fence_: fence.Fence) -> None:
        while shard in self._wanted:
            try:
                fence_.claim({})
            except errors.Held:
                time.sleep(TURN)
            except errors.EtcdError:
                time.sleep(random.uniform(0.0, TURN))
            else:
                self._done.put(Done(shard, fence_.token))
                return
        self._release(shard, fence_)

    def _release(self, shard: str, fence_: fence.Fence) -> None:
        try:
            fence_.release()
        except errors.EtcdError as error:
            print(f"{shard} not released: {error}", file=sys.stderr)
        self._done.put(Done(shard, 0))


def _follows(done: Done) -> messages.ShardReport:
    return messages.ShardReport(done.shard, "following", owned=True, token=done.token)


def main(url: str, prefix: str, count: str, *names: str) -> None:
    logger.set_level("error")
    configured = shards(int(count))
    members = [Member(url, prefix, name, configured) for name in names]
    print("there", flush=True)
    sys.stdin.readline()
    for each in members:
        threading.Thread(target=each.run, daemon=True).start()
    while sys.stdin.readline():
        told = [(each.client.claims, each.steps) for each in members]
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

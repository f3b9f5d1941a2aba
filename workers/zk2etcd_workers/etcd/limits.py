"""What an etcd was found to take less of than usual, and how many keys are looked up within that.

Its limits cannot be asked for, only met. Whoever meets one tells it here, so that not every walk
and every shard has its Txns refused again; a client keeps it as long as it lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import line, pacing

_READS = 100
_LEAST_BYTES = 1024
_PAGES = 8 * 1024 * 1024
"""Bytes of pages of walks under way, on a line that is no bound."""

_TXNS = 4
"""As many of Txns, at least."""

_PATIENCE = 2.5
"""Seconds, however patient requests are: a lease is renewed over the same lines, and has 2.5 s for
the way there and back, behind all that is under way."""


class Learned:
    """`operations` and `bytes` of a Txn are plain numbers that only fall; 0 means that no limit was
    met. Shards that learn at the same time do no harm: each tells of a refusal of its own. `up` and
    `down` are the line to it and the one from it."""

    def __init__(self, settings: connections.Etcd) -> None:
        self.operations = 0
        self.bytes = 0
        self.reads = _READS
        """In one Txn, at most."""
        patience = min(settings.request_timeout, _PATIENCE)
        self.up = line.Line(settings.txn_bytes * max(settings.txn_in_flight, _TXNS), patience)
        self.down = line.Line(_PAGES, patience)

    def fewer_operations(self, refused: int, most: int) -> bool:
        """A Txn of `refused` operations was too many. Half of them, and at most `most`, is what is
        tried next; False when there is nothing to give."""
        self.operations = min(self.operations or most, max(1, refused // 2))
        return refused > 1

    def fewer_reads(self, refused: int) -> bool:
        """A Txn of so many reads was too much; False when it cannot be fewer."""
        self.reads = min(self.reads, max(1, refused // 2))
        return refused > 1

    def fewer_bytes(self, refused: int) -> None:
        """A Txn of several writes, of `refused` bytes in all, was too large."""
        half = max(_LEAST_BYTES, refused // 2)
        self.bytes = min(self.bytes or half, half)

    def unanswered(self, failure: errors.EtcdError | None, took: float, now: float) -> None:
        """A request failed after so many seconds. If it was not answered, nobody knows which way
        was too long."""
        if isinstance(failure, errors.EtcdUnavailable | errors.AmbiguousWrite):
            self.up.lost(took, now)
            self.down.lost(took, now)


class Reading(Protocol):
    """A client, as far as a lookup needs one."""

    learned: Learned

    def txn(self, txn: wire.Txn, *, write: bool = True) -> wire.Answer: ...


def lookup(client: Reading, keys: Sequence[bytes], *, keys_only: bool) -> list[wire.Present | None]:
    """See `client.Client.lookup`."""
    found: list[wire.Present | None] = []
    learned = client.learned
    ramp = pacing.Ramp(learned.reads, learned.down.large)
    while len(found) < len(keys):
        most = learned.reads if keys_only else min(learned.reads, ramp.batch)
        chunk = keys[len(found) : len(found) + most]
        reads = [wire.Range(key, keys_only=keys_only) for key in chunk]
        try:
            answer = client.txn(wire.Txn((), reads), write=False)
        except (errors.TooManyOperations, errors.TooLarge) as refusal:
            if not learned.fewer_reads(len(chunk)):
                raise refusal
            continue
        found += (next(iter(answer.kvs(at)), None) for at in range(len(chunk)))
        ramp.saw(sum(len(each.value) for each in found[-len(chunk) :] if each is not None))
    return found

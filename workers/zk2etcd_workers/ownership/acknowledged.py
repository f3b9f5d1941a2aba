"""What etcd must still have of a shard: its checkpoint, as it was last acknowledged.

A restore with `--bump-revision --mark-compacted` never lets the store's revision go back, and every
key keeps the mod_revision that it had in the snapshot, an owner key and its lease too: neither
`rollbacks` nor the token tells. But each Txn that mirrors, and each that keeps what a person was
promised, puts the shard's checkpoint: one that is older than the last that was acknowledged means
that etcd lost what had been written since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zk2etcd_workers.etcd import wire


class Mark(NamedTuple):
    """The checkpoint's value, and the etcd revision at which it was put."""

    value: bytes
    revision: int

    def later(self, other: Mark) -> Mark:
        """Answers may come in any order."""
        return max(self, other, key=lambda mark: mark.revision)

    def stands(self, key: bytes) -> wire.Compare:
        """The compare that etcd has this checkpoint, at `key`, or a later one."""
        return wire.Compare(key, "mod", ">", self.revision - 1)

    def is_lost(self, found: Sequence[wire.Present]) -> bool:
        """Whether `found`, what etcd has at the checkpoint's key, is older than this."""
        if not found:
            return True
        return found[0].revision < self.revision or found[0].value < self.value

    def is_gone(self, own: wire.Present, claimed: int) -> bool:
        """The same, of what a claim found that was applied at `claimed`: it puts a checkpoint where
        there is none. A value may have fallen since, by a release that another owner had."""
        return bool(self.revision) and (own.revision < self.revision or own.revision == claimed)

    def again(self, key: bytes) -> wire.Txn:
        """Put it once more, for a later revision, unless it has risen meanwhile."""
        falls_not = wire.Compare(key, "value", "<", self.value + b"\0")
        return wire.Txn([falls_not], [wire.Put(key, self.value)], [])


def puts(key: bytes, ops: Sequence[wire.Op], answer: wire.Answer) -> Iterator[bytes]:
    """The values of this checkpoint that a Txn of these was answered to have put."""
    for at, op in enumerate(ops):
        if isinstance(op, wire.Txn):
            yield from puts(key, op.success, answer.inner(at)) if answer.inner(at).succeeded else ()
        elif isinstance(op, wire.Put) and op.key == key:
            yield op.value


NOTHING = Mark(b"", 0)
"""Nothing was acknowledged yet."""

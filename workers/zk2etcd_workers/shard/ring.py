"""The marks of what a shard wrote last, in etcd: put in the very Txn that writes it, so that none
is missing after a crash, and there is none of what was not written.

Each kind has a ring of keys, of which each Txn overwrites one. A single key that holds them all
would be a kilobyte more of etcd's history with each change. A key of its own has those of what the
last walk found to have changed last, since the one that wrote it may have left no marks; and one
those that could not be held against anything yet, since their nodes might not be read.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence

from zk2etcd import errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import history, plan, tree
from zk2etcd_workers.ownership import reads, records

_ZXID = operator.attrgetter("zxid")
_SLOTS = 16
_TAKEN_OVER = 32
_WALKED, _HIDDEN = b"walked", b"hidden"
_MOST_HIDDEN = 64


class Ring:
    """Where the next mark of each kind goes. Used by the shard's thread only."""

    def __init__(self) -> None:
        self._next: dict[str, int] = dict.fromkeys(history.KINDS, 0)
        self._walked: Sequence[history.Mark] = ()
        self._hidden: Sequence[history.Mark] = ()
        self.telling: set[bytes] = set()
        """The paths that marks wait for: they were not to be read when the shard started."""

    def heard(self, nodes: Iterable[tuple[bytes, tree.Result]]) -> None:
        """These were read.

        :raises errors.SessionDoubt: one of them tells, now that it may be read, whether this is
            the history that was mirrored: that is to be seen before anything else is written.
        """
        for path, node in nodes if self.telling else ():
            if path in self.telling and not history.is_silent(node):
                raise errors.SessionDoubt(
                    f"{tree.shown(path)} can be read again, and is to tell whether ZooKeeper was"
                    " put back to an earlier state meanwhile"
                )

    def puts(self, prefix: bytes, token: int, writes: Sequence[plan.Write]) -> list[wire.Put]:
        """What goes into the Txn of these writes, one key for each kind of them.

        :param prefix: `records.Keys.marks` of the shard.
        :param token: of who writes it, the shard's.
        """
        return [self._put(prefix, token, *of) for of in history.chosen(writes).items()]

    def _put(
        self, prefix: bytes, token: int, kind: history.Kind, marks: Sequence[history.Mark]
    ) -> wire.Put:
        slot, self._next[kind] = self._next[kind], (self._next[kind] + 1) % _SLOTS
        return wire.Put(_key(prefix, kind, slot), _encoded(token, marks))

    def walked(
        self, prefix: bytes, token: int, marks: Sequence[history.Mark]
    ) -> Sequence[wire.Put]:
        """What is to be written of what a walk found; nothing if that is known."""
        if not marks or marks == self._walked:
            return ()
        self._walked = marks
        return [wire.Put(prefix + _WALKED, _encoded(token, marks))]

    def hidden(
        self, prefix: bytes, token: int, marks: Sequence[history.Mark]
    ) -> Sequence[wire.Put]:
        """What is to be written of the marks that nothing can be held against now, the latest of
        each path: the rings would overwrite them. Nothing if that is known."""
        latest = sorted({mark.path: mark for mark in sorted(marks, key=_ZXID)}.values(), key=_ZXID)
        kept = sorted(latest[-_MOST_HIDDEN:])
        if kept == self._hidden:
            return ()
        self._hidden = kept
        return [wire.Put(prefix + _HIDDEN, _encoded(token, kept))]

    def load(self, kvs: Sequence[wire.Present], prefix: bytes, era: int) -> list[history.Mark]:
        """The marks that count, and go on after the last of them.

        :param kvs: what `read` finds.
        :param era: the first token whose marks do; 0: none.
        :raises errors.NewerFormat: they cannot be read.
        """
        newest: dict[str, int] = dict.fromkeys(history.KINDS, 0)
        counted: list[history.Mark] = []
        self._walked = self._hidden = ()
        for kv in kvs:
            kind, _, slot = kv.key[len(prefix) :].decode().partition("-")
            if kv.revision > newest.get(kind, kv.revision):
                newest[kind], self._next[kind] = kv.revision, (int(slot) + 1) % _SLOTS
            found = of_era(kv, era)
            if kind == _WALKED.decode():
                self._walked = sorted(found)
            elif kind == _HIDDEN.decode():
                self._hidden = sorted(found)
            counted += found
        return counted


def read(client: reads.Reads, prefix: bytes) -> Sequence[wire.Present]:
    """All that is kept of one shard's marks."""
    return client.range(prefix, prefix[:-1] + b"0").kvs


def of_era(kv: wire.Present, era: int) -> list[history.Mark]:
    """The marks in one key, if they count.

    :raises errors.NewerFormat: they cannot be read.
    """
    with records.decoded(kv.value, kv.key) as document:
        if not 0 < era <= int(document["token"], 16):
            return []
        return [
            history.Mark(path.encode("utf-8", "surrogateescape"), *(int(z, 16) for z in zxids))
            for path, zxids in document["marks"].items()
        ]


def taken_over(prefix: bytes, token: int, marks: Sequence[history.Mark]) -> Iterator[wire.Put]:
    """Marks of other shards, the latest first, put as this one's own: a few of each kind, and the
    latest of each path."""
    for kind in history.KINDS:
        latest: dict[bytes, history.Mark] = {}
        for mark in marks:
            if history.kind(mark) == kind:
                latest.setdefault(mark.path, mark)
        if ours := list(latest.values())[:_TAKEN_OVER]:
            yield wire.Put(_key(prefix, kind, 0), _encoded(token, ours))


def _key(prefix: bytes, kind: str, slot: int) -> bytes:
    return prefix + b"%s-%02d" % (kind.encode(), slot)


def _encoded(token: int, marks: Sequence[history.Mark]) -> bytes:
    told = {
        mark.path.decode("utf-8", "surrogateescape"): (f"{mark.zxid:x}", f"{mark.czxid:x}")
        for mark in marks
    }
    return records.encode({"token": f"{token:x}", "marks": told})

"""The marks of one prefix: their names, what one says, and what is known of our keys by heart."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd import messages
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import mapping

_MOST = 200_000
"""Keys of one shard whose creation is known, at some 100 bytes each."""
_CREATED = operator.attrgetter("create_revision")


class Title(NamedTuple):
    """At which revision a key of ours was created, and its mark."""

    created: int
    marked: int


class Marks:
    """Of one shard. What is known by heart only saves a look: each write compares it, and a full
    sync counts the marks. Used by the shard's thread, and its full sync's: what one of them
    overwrites of the other's is looked at when it is written."""

    def __init__(self, base: bytes, cut: int = 0, most: int = _MOST) -> None:
        """:param base: what the marks' names begin with; the key follows.
        :param cut: of a bucket, where a child's name begins; those of others are between its own.
        """
        self.base = base
        self._cut = cut
        self._most = most
        self._created: dict[int, int | Title] = {}
        self._is_whole = self._is_cut = False
        """All of ours are known, from a base on that learned them; and whether they are too many,
        so that some are not."""
        self.orphans: dict[bytes, Title] = {}
        """Marks without their key, which stand in the way of its creation: by key; `created` is
        that of a stranger's key in its place, or 0."""

    def name(self, key: bytes) -> bytes:
        return self.base + key

    def key(self, name: bytes) -> bytes:
        return name[len(self.base) :]

    def part(self, key: bytes) -> bytes:
        """Between two keys of one part, nobody else of the prefix has any."""
        return mapping.first(key, self._cut - 1) if self._cut else b""

    # --- what is known by heart --------------------------------------------------------------

    def title(self, key: bytes) -> Title | None:
        known = self._created.get(hash(key))
        return Title(known, known) if isinstance(known, int) else known

    def knows(self, keys: Sequence[bytes], created: int | Sequence[int]) -> None:
        """These are ours, and so are their marks: of one revision, or of one each. What does not
        fit any more is asked for when it is written."""
        if len(self._created) >= self._most:
            self._created.clear()
            self._is_whole, self._is_cut = False, True
        many = [created] * len(keys) if isinstance(created, int) else created
        self._created.update(zip(map(hash, keys), many, strict=False))

    def also_knows(self, keys: Sequence[bytes], created: Sequence[int]) -> None:
        """The same, from any thread, if there is room: what is known stays."""
        if len(self._created) + len(keys) < self._most:
            self._created.update(zip(map(hash, keys), created, strict=True))

    def forget(self, key: bytes) -> None:
        self._created.pop(hash(key), None)

    def knows_all(self) -> None:
        """A base has learned all that is ours, as far as they are not too many to be known."""
        self._is_whole = not self._is_cut

    def knows_less(self) -> None:
        """Others may be ours too, by marks that somebody has put; from any thread."""
        self._is_whole = False

    @property
    def knows_whole(self) -> bool:
        """All that is ours is known by heart; from any thread."""
        return self._is_whole

    def recognized(self, keys: Sequence[bytes], created: Sequence[int]) -> Sequence[int]:
        """Which of these are known to be ours, as they were created; from any thread."""
        known = list(map(self._created.get, map(hash, keys)))
        if known == created:
            return range(len(keys))
        revisions = (each.created if isinstance(each, Title) else each for each in known)
        both = enumerate(zip(revisions, created, strict=True))
        return [at for at, (known_at, created_at) in both if known_at == created_at]

    def may_have(self, key: bytes) -> bool:
        """Whether it may be ours; from any thread."""
        return not self._is_whole or hash(key) in self._created

    def clear(self) -> None:
        self._created.clear()
        self._is_whole = self._is_cut = False
        self.orphans.clear()

    def looked(self, key: wire.Present | None, name: bytes, mark: wire.Present | None) -> bool:
        """Whether a key is ours, as it was seen with its mark at one moment.

        :param name: the key's.
        """
        self.forget(name)
        self.orphans.pop(name, None)
        if mark is None:
            return False
        created = key.created if key is not None else 0
        title = Title(created, mark.created)
        if created and says(mark) == created:
            self._created[hash(name)] = created if title.marked == created else title
            return True
        self.orphans[name] = title
        return False


def of(base: bytes, shard: messages.Shard) -> Marks | None:
    """Those of a shard, if what is its own goes by marks: then there is a `base`."""
    if not base:
        return None
    return Marks(base, len(shard.target.rstrip("/")) + 1 if shard.buckets > 1 else 0)


def says(mark: wire.Present) -> int:
    """The revision at which the key of this mark was created."""
    return _said(mark.value) if mark.value else mark.created


def value(created: int) -> bytes:
    """Of a mark that is put when its key is there already."""
    return b"%016x" % created


def _said(value: bytes) -> int:
    try:
        return int(value, 16)
    except ValueError:
        return -1


def columns(page: wire.Page) -> tuple[Sequence[int], Sequence[int]]:
    """Of a page of marks: the revision that each says, and its own."""
    created = list(map(_CREATED, page.reply.kvs))
    if not any(page.values):
        return created, created
    each = zip(page.values, created, strict=True)
    return [_said(value) if value else own for value, own in each], created


def created(page: wire.Page) -> Sequence[int]:
    """At which revision each key of a page was created."""
    return list(map(_CREATED, page.reply.kvs))

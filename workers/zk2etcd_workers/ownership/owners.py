"""All owner keys of a state prefix at one moment, and which of them stand in a shard's way.

A thousand shards that look for their own range among a thousand others would compare each with
each: they are found by their target's path instead.
"""

from __future__ import annotations

import bisect
import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from zk2etcd import messages
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import mapping
from zk2etcd_workers.ownership import records

_ALL = "/"
"""What the owner key of another tool's making is for, if it does not say."""


class Owner(NamedTuple):
    """An owner key, and what it says. `revision` is its token."""

    key: bytes
    said: Mapping[str, Any]
    revision: int


class Owners:
    """As etcd told of them, and those that were added since: owner keys only come by our own."""

    def __init__(self, found: Iterable[wire.Present]) -> None:
        self._by_key: dict[bytes, Owner] = {}
        self._by_target: dict[bytes, set[bytes]] = {}
        self._targets: list[bytes] = []
        for kv in found:
            self.add(Owner(kv.key, said(kv.value, kv.key), kv.revision))

    def add(self, owner: Owner) -> None:
        """In the place of the one at the same key, if there is one."""
        if (old := self._by_key.get(owner.key)) is not None:
            self._by_target[_target(old)].discard(owner.key)
        self._by_key[owner.key] = owner
        target = _target(owner)
        if target not in self._by_target:
            self._by_target[target] = set()
            bisect.insort(self._targets, _sorted(target))
        self._by_target[target].add(owner.key)

    def of(self, key: bytes) -> Owner | None:
        """The one at this key."""
        return self._by_key.get(key)

    def instances(self, since: int) -> frozenset[str]:
        """The supervisors that have put one after this revision."""
        new = (each.said for each in self._by_key.values() if each.revision > since)
        return frozenset(str(said.get("instance", "")) for said in new)

    def beside(self, key: bytes, shard: messages.Shard) -> Iterator[Owner]:
        """Those at other keys who may write what this shard may, by key."""
        found = {each for target in self._near(shard.target.encode()) for each in target}
        for each in sorted(found - {key}):
            if intersect(self._by_key[each].said, shard):
                yield self._by_key[each]

    def _near(self, target: bytes) -> Iterator[set[bytes]]:
        """Keys by whose target lies at, above, or below this one."""
        above = target
        while above:
            yield self._by_target.get(above, set())
            above = above[: above.rfind(b"/")]
        yield self._by_target.get(b"/", set())
        below = _sorted(target)
        for each in self._targets[bisect.bisect_right(self._targets, below) :]:
            if not each.startswith(below):
                break
            yield self._by_target[each[:-1]]


def document(worker: messages.Identity, epoch: int, shard: messages.Shard) -> bytes:
    """What the owner key of this worker's shard says; no two epochs are alike."""
    part = {"source": shard.source, "bucket": shard.bucket, "buckets": shard.buckets}
    marked = {"source": shard.source, "ownership": shard.ownership}
    return records.encode(
        {
            **records.of_worker(worker),
            "epoch": epoch,
            "target": shard.target,
            **(part if shard.buckets > 1 else {}),
            **(marked if shard.ownership == "marks" else {}),
            "range": [part.decode() for part in mapping.Mapping.of(shard).below()],
        }
    )


@functools.lru_cache(maxsize=4096)
def said(value: bytes, key: bytes) -> Mapping[str, Any]:
    """What an owner key says; looks that follow one another find most of them as they were. Half a
    character, which JSON can hold and nobody encodes, is a `?`.

    :raises errors.NewerFormat: it cannot be read.
    """
    document = records.decode(value, key)
    return types.MappingProxyType({name: _whole(each) for name, each in document.items()})


def _whole(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _target(owner: Owner) -> bytes:
    return str(owner.said.get("target", _ALL)).encode()


def _sorted(target: bytes) -> bytes:
    """With a slash behind it, so that those below it come right after it."""
    return b"/" if target == b"/" else target + b"/"


def intersect(owner: Mapping[str, Any], shard: messages.Shard) -> bool:
    """Whether both may write the same key. An owner key that says nothing of buckets is for all of
    its range. Where both go by marks, only those of one prefix have the same ones."""
    target = str(owner.get("target", _ALL))
    marked = owner.get("ownership") == shard.ownership == "marks"
    if marked and (owner.get("source"), target) != (shard.source, shard.target):
        return False
    one, other = target.encode(), shard.target.encode()
    if not (mapping.is_below(one, other) or mapping.is_below(other, one)):
        return False
    prefix = (shard.source, shard.target, shard.buckets)
    siblings = (owner.get("source"), target, owner.get("buckets")) == prefix
    return not siblings or owner.get("bucket") not in {*range(shard.buckets)} - {shard.bucket}

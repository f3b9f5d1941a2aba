"""What etcd has of members, owners and offers: as it was read last, and as a watch told since.

A read is the truth of its revision. What it shows and the watch has not told a moment later, the
watch owes; so one that lives and tells nothing is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from zk2etcd import census
from zk2etcd_workers.etcd.streams import watching
from zk2etcd_workers.gathering import documents
from zk2etcd_workers.ownership import records

PATIENCE = 2.0
"""Seconds that a watch has to tell what was read."""


class Entry(NamedTuple):
    """A key: its value, what that says, its mod_revision, and the lease that it hangs on."""

    value: bytes
    said: Mapping[str, Any]
    revision: int
    lease: int


class Table:
    """`revision` is that of which it speaks; 0 before the first read."""

    def __init__(self, keys: records.Keys) -> None:
        self._kinds = {kind: keys.all_of(kind)[0] for kind in ("members", "offers", "owners")}
        self._entries: dict[bytes, Entry] = {}
        self.read_revision = 0
        """Of the last read."""
        self._owed: dict[bytes, tuple[int, float]] = {}
        self.revision = 0

    def entry(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def read(self, found: Iterable[watching.Change], revision: int, now: float) -> bool:
        """All that there is, as a range said; whether it is another than it was."""
        entries = {each.key: self._entry(each) for each in found}
        before, self._entries = self._entries, entries
        for key in entries.keys() | before.keys():
            is_, was = entries.get(key), before.get(key)
            if is_ != was and key not in self._owed:
                self._owed[key] = (is_.revision if is_ else was.revision + 1 if was else 0, now)
        self.read_revision = self.revision = revision
        return before != entries

    def told(self, changes: Iterable[watching.Change]) -> bool:
        """Whether a watch told anything that was not read."""
        new = False
        for change in changes:
            if change.key in self._owed and change.revision >= self._owed[change.key][0]:
                del self._owed[change.key]
            if change.revision <= self.read_revision:
                continue
            new = True
            self.revision = max(self.revision, change.revision)
            if change.value is None:
                self._entries.pop(change.key, None)
            else:
                self._entries[change.key] = self._entry(change)
        return new

    def owes(self, now: float) -> bool:
        """The watch has not told what was read a while ago."""
        return any(since < now - PATIENCE for _, since in self._owed.values())

    def forgive(self) -> None:
        """There is another watch, or none; it tells what comes after the last read."""
        self._owed.clear()

    def digests(self) -> frozenset[str]:
        """All that members name."""
        named = (each.said.get("shards") for _, each in self._of("members"))
        return frozenset(str(each) for each in named if each)

    def census(self, shards_of: Callable[[str], frozenset[str]]) -> census.Census:
        """What is known, for the supervisor."""
        owners = {
            shard: census.Owner(str(each.said.get("instance", "")), each.revision)
            for shard, each in self._of("owners")
        }
        offers = {
            shard: offer
            for shard, each in self._of("offers")
            if (offer := documents.read_offer(each.said, each.revision)) is not None
        }
        members = {
            name: documents.read_member(name, each.said, shards_of)
            for name, each in self._of("members")
        }
        return census.Census(self.revision, members, owners, offers)

    def _of(self, kind: str) -> Iterable[tuple[str, Entry]]:
        start = self._kinds[kind]
        for key, each in self._entries.items():
            if key.startswith(start):
                yield key[len(start) :].decode("utf-8", "replace"), each

    def _entry(self, change: watching.Change) -> Entry:
        known, value = self._entries.get(change.key), change.value or b""
        if known is not None and known.value == value:
            return known._replace(revision=change.revision, lease=change.lease)
        return Entry(value, documents.said(value, change.key), change.revision, change.lease)

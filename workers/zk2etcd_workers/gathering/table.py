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
    """A key: its value, what that says, its mod_revision, and the lease that it hangs on. `kind`
    and `name` are those of the key; `means` is the owner or offer, if it is one."""

    value: bytes
    said: Mapping[str, Any]
    revision: int
    lease: int
    kind: str
    name: str
    means: census.Owner | census.Offer | None


class _Known(NamedTuple):
    """A member, and what it was read from: the same gives the same."""

    said: Mapping[str, Any]
    shards: frozenset[str]
    member: census.Member


class Table:
    """`revision` is that of which it speaks; 0 before the first read."""

    def __init__(self, keys: records.Keys) -> None:
        self._kinds = {keys.all_of(kind)[0]: kind for kind in ("members", "offers", "owners")}
        self._entries: dict[bytes, Entry] = {}
        self._members: dict[str, _Known] = {}
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
        named = (documents.text(each.said, "shards") for each in self._of("members"))
        return frozenset(each for each in named if each)

    def census(self, shards_of: Callable[[str], frozenset[str]]) -> census.Census:
        """What is known, for the supervisor."""
        known = {each.name: self._known(each, shards_of) for each in self._of("members")}
        self._members = known  # only those that are there
        members = {name: each.member for name, each in known.items()}
        all_ = self._entries.values()
        owners = {each.name: each.means for each in all_ if isinstance(each.means, census.Owner)}
        offers = {each.name: each.means for each in all_ if isinstance(each.means, census.Offer)}
        return census.Census(self.revision, members, owners, offers)

    def _of(self, kind: str) -> Iterable[Entry]:
        return (each for each in self._entries.values() if each.kind == kind)

    def _known(self, entry: Entry, shards_of: Callable[[str], frozenset[str]]) -> _Known:
        shards = shards_of(documents.text(entry.said, "shards"))
        known = self._members.get(entry.name)
        if known is not None and known.said is entry.said and known.shards is shards:
            return known
        member = documents.read_member(entry.name, entry.said, lambda _: shards)
        return _Known(entry.said, shards, member)

    def _entry(self, change: watching.Change) -> Entry:
        known, value = self._entries.get(change.key), change.value or b""
        if known is not None and known.value == value:
            kind, name, said = known.kind, known.name, known.said
        else:
            kind, name = self._place(change.key)
            said = documents.said(value, change.key)
        means = _means(kind, said, change.revision)
        return Entry(value, said, change.revision, change.lease, kind, name, means)

    def _place(self, key: bytes) -> tuple[str, str]:
        for start, kind in self._kinds.items():
            if key.startswith(start):
                return kind, key[len(start) :].decode("utf-8", "replace")
        return "", ""


def _means(kind: str, said: Mapping[str, Any], revision: int) -> census.Owner | census.Offer | None:
    if kind == "owners":
        return census.Owner(documents.text(said, "instance"), revision)
    return documents.read_offer(said, revision) if kind == "offers" else None

"""Which changes that etcd tells of are our own: those at the revision of a Txn of ours. Pure.

A change is often told before the Txn that made it is answered. So it is held until each Txn that
had been sent by then has been: what is at none of their revisions is a stranger's. A revision of
ours that is not known costs a look at both sides, no more; one taken for ours that is not would
hide what a stranger did. So only a Txn that wrote counts: one that wrote nothing is answered with a
revision of somebody else's.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

_MOST = 4096
"""Revisions that are remembered."""
_LAST = 64
MOST_HELD = 100_000
"""Keys that wait for answers."""
MOST_UNREAD = 16
"""Changes that wait as they were told, with the values that came: more are read, and drop them."""


class Change(NamedTuple):
    """All that one revision, or one part of it, changed; `gone` are those that it deleted."""

    revision: int
    keys: Sequence[bytes]
    gone: Collection[bytes] = ()

    @property
    def size(self) -> int:
        return len(self.keys)

    def read(self) -> Change:
        return self


class Told(Protocol):
    """A change as etcd tells of it: `size` in keys, which nobody reads if it is our own."""

    @property
    def revision(self) -> int: ...
    @property
    def size(self) -> int: ...
    def read(self) -> Change: ...


class _Held(NamedTuple):
    change: Told
    before: int
    """Txns with lower numbers had been sent."""


class Ours:
    """Of one range, whichever of our shards writes there. `overflows`: how often more was held than
    may be, and forgotten."""

    def __init__(self, most: int = _MOST, most_held: int = MOST_HELD) -> None:
        self._most = most
        self._most_held = most_held
        self._next = 0
        self._under_way: dict[int, None] = {}
        # Revision -> when its Txn was answered, and whether the watch owes us a word of it.
        self._known: dict[int, tuple[float, bool]] = {}
        self._held = collections.deque[_Held]()
        self._keys_held = 0
        self._heard = 0
        self.overflows = 0

    def sent(self) -> int:
        """A Txn is about to be sent: its number."""
        number, self._next = self._next, self._next + 1
        self._under_way[number] = None
        return number

    def ended(
        self, number: int, revision: int = 0, *, told: bool = False, now: float = 0.0
    ) -> Sequence[Change]:
        """It was answered, or it does not matter any more.

        :param revision: at which it wrote; 0 if it did not, or not for certain.
        :param told: the watch must tell of it.
        :returns: what turns out to be strangers'.
        """
        self._under_way.pop(number, None)
        if revision and revision >= self._passed:
            self._known[revision] = (now, told)
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
        return self._strange()

    def heard(self, change: Told) -> Sequence[Change]:
        """etcd tells of it. What turns out to be strangers'."""
        self._heard = max(self._heard, change.revision)
        if change.revision not in self._known:
            waits = change if len(self._held) < MOST_UNREAD else change.read()
            self._held.append(_Held(waits, self._next))
            self._keys_held += change.size
            if self._keys_held > self._most_held:
                self._held.clear()
                self._keys_held, self.overflows = 0, self.overflows + 1
        return self._strange()

    def owed_since(self) -> float | None:
        """When the first Txn was answered of which the watch has not told yet, although it must."""
        known = self._known.items()
        return min((at for when, (at, told) in known if told and when > self._heard), default=None)

    def forget(self, since: int) -> None:
        """Another watch begins, which tells of nothing up to this revision."""
        self._known.clear()
        self._held.clear()
        self._keys_held, self._heard = 0, since

    def _strange(self) -> Sequence[Change]:
        found: list[Change] = []
        unanswered = next(iter(self._under_way), self._next)
        while self._held and self._held[0].before <= unanswered:
            change = self._held.popleft().change
            self._keys_held -= change.size
            if change.revision not in self._known:
                found.append(change.read())
        self._prune()
        return found

    @property
    def _passed(self) -> int:
        """Nobody asks any more for revisions before this one."""
        return self._held[0].change.revision if self._held else self._heard

    def _prune(self) -> None:
        """What the watch has passed is told of. The last ones stay a while: more of them may come,
        in another part of an answer, or from the watch of the range's own key."""
        while len(self._known) > _LAST and (first := next(iter(self._known))) < self._passed:
            del self._known[first]

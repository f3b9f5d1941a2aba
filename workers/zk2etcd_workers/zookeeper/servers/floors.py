"""How far on a server must be for those who share a session: the highest zxid that any has seen.

It is the same for all, but when a person has said of some shards that an ensemble which is behind
is the right one: then a shard of which nobody has said it yet wants another server than they do.
While that one asks nothing, since it is held, paused or another's, it keeps nobody from theirs.
"""

from __future__ import annotations


class Floors:
    """By shard. Not to be called by several threads at once."""

    def __init__(self) -> None:
        self._asking: dict[str, int] = {}
        self._resting: dict[str, int] = {}
        self._since: dict[str, int] = {}
        self.highest = 0
        """Of those who ask; of those who rest if nobody does."""

    def want(self, shard: str, floor: int, since: int = 0) -> None:
        """It asks from now on. Its floor only ever rises: etcd may have been put back. But where
        etcd tells of a release that is not known here, what was known before is history: it may
        have been another's when a person released it, or the answer to the release was lost.

        :param since: etcd's revision of its last release.
        """
        self._released(shard, since)
        known = max(self.of(shard), floor)
        self._resting.pop(shard, None)
        self._asking[shard] = known
        # Not of all of them each time: a thousand shards of one worker start together.
        self.highest = known if len(self._asking) == 1 else max(self.highest, known)

    def rest(self, shard: str, floor: int = 0, since: int = 0) -> None:
        """It asks nothing until it wants a floor again."""
        if floor:
            self._released(shard, since)
        self._resting[shard] = max(self.of(shard), floor)
        self._asking.pop(shard, None)
        self._settle()

    def lower(self, shard: str) -> None:
        """What this one has seen is of an ensemble that was given up."""
        self._resting.pop(shard, None)
        self._asking[shard] = 0
        self._settle()

    def forget(self, shard: str) -> None:
        """It is gone."""
        self._asking.pop(shard, None)
        self._resting.pop(shard, None)
        self._since.pop(shard, None)
        self._settle()

    def of(self, shard: str) -> int:
        return max(self._asking.get(shard, 0), self._resting.get(shard, 0))

    def _released(self, shard: str, since: int) -> None:
        if since > self._since.setdefault(shard, since):
            self._since[shard] = since
            self._asking.pop(shard, None)
            self._resting.pop(shard, None)
            self._settle()

    def _settle(self) -> None:
        # With nobody there it stays: who comes next says what it wants.
        floors = (self._asking or self._resting).values()
        self.highest = max(floors, default=self.highest)

"""Who may hold which shard: the bookkeeping that keeps two workers off one shard.

etcd's fence would stop the second writer anyway (DESIGN I5), but only after both had paid for a
walk and fought over the owner key. A shard given to a worker counts as held by it until that
worker said that it let go, or was seen dead; only then another gets it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping


class Handover:
    """Mutable, owned by the supervisor's loop. Slots and shards by their ids."""

    def __init__(self) -> None:
        self._given: dict[str, set[str]] = {}
        # Per slot: shard -> the generation of the Assign that took it away.
        self._leaving: dict[str, dict[str, int]] = {}

    def holders(self, shard: str) -> frozenset[str]:
        """The slots that may hold this shard, at most one unless a caller broke the rule."""
        return frozenset(
            slot
            for slot in {*self._given, *self._leaving}
            if shard in self._given.get(slot, ()) or shard in self._leaving.get(slot, ())
        )

    def grantable(self, slot: str, assignment: Mapping[str, str]) -> tuple[str, ...]:
        """The shards that `slot` may be given now, of those that `assignment` means for it."""
        return tuple(
            shard
            for shard, meant in assignment.items()
            if meant == slot and self.holders(shard) <= {slot}
        )

    def give(self, slot: str, shards: Iterable[str], generation: int) -> None:
        """An Assign of this generation with exactly these shards goes out to the slot."""
        now = set(shards)
        leaving = self._leaving.setdefault(slot, {})
        for shard in self._given.get(slot, set()) - now:
            leaving[shard] = generation
        for shard in now:
            leaving.pop(shard, None)
        self._given[slot] = now

    def reported(self, slot: str, generation: int, held: Collection[str]) -> None:
        """The slot's worker has carried out the Assign of `generation` and still holds `held`."""
        leaving = self._leaving.get(slot, {})
        for shard, since in list(leaving.items()):
            if generation >= since and shard not in held:
                del leaving[shard]

    def reaped(self, slot: str) -> None:
        """The slot's process is dead: it holds nothing."""
        self._given.pop(slot, None)
        self._leaving.pop(slot, None)

"""Who may hold which shard: the bookkeeping that keeps two workers off one shard.

etcd's fence would stop the second writer anyway, but only after both had paid for a walk and
fought over the owner key. A shard given to a worker counts as held by it until that
worker said that it let go, or was seen dead; only then another gets it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping


class Handover:
    """Mutable, owned by the supervisor's loop. Slots and shards by their ids."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        # Per slot: shard -> the generation of the Assign that took it away.
        self._leaving: dict[str, dict[str, int]] = {}
        self.changes = 0
        """While it stays, so does what is grantable."""

    def holders(self, shard: str) -> frozenset[str]:
        """The slots that may hold this shard: one at most, as long as only grantable is given."""
        leaving = {slot for slot, shards in self._leaving.items() if shard in shards}
        given = self._given.get(shard)
        return frozenset(leaving if given is None else {given, *leaving})

    def grantable(self, slot: str, assignment: Mapping[str, str]) -> tuple[str, ...]:
        """The shards that `slot` may be given now, of those that `assignment` means for it."""
        return tuple(
            shard
            for shard, meant in assignment.items()
            if meant == slot and self.holders(shard) <= {slot}
        )

    def give(self, slot: str, shards: Iterable[str], generation: int) -> None:
        """An Assign of this generation with exactly these shards goes out to the slot."""
        self.changes += 1
        wanted = set(shards)
        leaving = self._leaving.pop(slot, {})
        for shard in [shard for shard, given in self._given.items() if given == slot]:
            if shard not in wanted:
                del self._given[shard]
                leaving[shard] = generation
        self._given.update(dict.fromkeys(wanted, slot))
        self._leave(slot, {shard: since for shard, since in leaving.items() if shard not in wanted})

    def reported(self, slot: str, generation: int, held: Collection[str]) -> tuple[str, ...]:
        """The slot's worker has carried out the Assign of `generation` and still holds `held`.

        The shards that it is now known to have let go of.
        """
        leaving = self._leaving.pop(slot, {})
        still = {shard: at for shard, at in leaving.items() if generation < at or shard in held}
        self._leave(slot, still)
        self.changes += len(leaving) != len(still)
        return tuple(shard for shard in leaving if shard not in still)

    def reaped(self, slot: str) -> None:
        """The slot's process is dead: it holds nothing."""
        self.changes += 1
        self._given = {shard: given for shard, given in self._given.items() if given != slot}
        self._leaving.pop(slot, None)

    def _leave(self, slot: str, shards: dict[str, int]) -> None:
        if shards:
            self._leaving[slot] = shards

"""What the workers are told to do: which of them run, which shards each has, what is due."""

from __future__ import annotations

from collections.abc import Iterable

from zk2etcd import messages
from zk2etcd.logs import logger
from zk2etcd.policy import handover, roster, run_once
from zk2etcd.supervisor import fleet, reloading

_LINGER = 60.0
"""Seconds for which a worker without shards runs on, where others' shards may come: a process takes
its time to start, and who said that he is ready for a shard is given only so much to claim it."""


class Ordering:
    """Tells each worker what shall be, where that differs from what it was told last."""

    def __init__(
        self,
        configuration: reloading.Configuration,
        shards: roster.Roster,
        holding: handover.Handover,
        workers: fleet.Fleet,
        *,
        once: bool,
        keeper: str = "",
    ) -> None:
        """:param keeper: the slot whose worker runs in any case, and tells who else is there."""
        self._configuration = configuration
        self._roster = shards
        self._handover = holding
        self._fleet = workers
        self._once = once
        self._keeper = keeper
        self.generation = 0
        self._needed: dict[str, float] = {}
        """The slots that had work, and until when (monotonic)."""
        self._claimed = self._cause = ""
        self._causes = ("", "")

    def is_done(self, shard: str) -> bool:
        """Whether it needs no worker any more."""
        return self._once and run_once.finished(self._roster.reports[shard])

    def claimed(self, trace_id: str) -> None:
        """Shards were claimed with this trace id last; what they start is because of that."""
        self._claimed = trace_id

    def reconcile(self, now: float, foreseen: int = 0) -> None:
        """Run the slots that have work, tell each its shards, start the full syncs that are due.

        :param foreseen: so many shards are about to come. If they are enough for every slot, all
            run already: a worker takes its time to start.
        """
        assignment = self._roster.assignment
        wanted = {*assignment.values()}
        if self._once:
            wanted = {slot for shard, slot in assignment.items() if not self.is_done(shard)}
        if self._keeper:
            wanted |= {self._keeper, *self._lingering(wanted, now)}
        wanted |= {*self._roster.slots} if foreseen >= len(self._roster.slots) else set()
        self._fleet.want(wanted, now, self._news())
        for slot in self._fleet.slots.values():
            if slot.takes_orders:
                self._assign(slot)
        if not self._once:
            self._start_full_syncs(now)

    def _lingering(self, wanted: Iterable[str], now: float) -> set[str]:
        """Those slots that had work until lately."""
        self._needed.update(dict.fromkeys(wanted, now))
        slots = self._roster.slots
        return {slot for slot, at in self._needed.items() if slot in slots and now < at + _LINGER}

    def _news(self) -> str:
        """The trace id of what changed what is wanted since the last time; empty if nothing did."""
        causes = self._configuration.cause, self._claimed
        new = [each for each, before in zip(causes, self._causes, strict=True) if each != before]
        self._causes = causes
        self._cause = new[-1] if new else self._cause
        return new[-1] if new else ""

    def _assign(self, slot: fleet.Slot) -> None:
        """Send the slot its shards if they, or its settings, differ from what it was last told."""
        seen = self._roster.shape, self._handover.changes, self._configuration.revision
        if slot.told is not None and slot.seen == seen:
            return
        slot.seen = seen
        ids = self._handover.grantable(slot.name, self._roster.assignment)
        shards = self._roster.of(ids)
        if slot.told == (told := (shards, self._configuration.revision)):
            return
        slot.told = told
        self.generation += 1
        self._handover.give(slot.name, ids, self.generation)
        config, cause = self._configuration.current, self._cause
        reaped, known = dict(self._fleet.reaped), self._roster.inherited(ids)
        keeps = slot.name == self._keeper
        order = messages.Assign(self.generation, shards, reaped, config, cause, known, keeps)
        self._fleet.send(slot.name, order)

    def _start_full_syncs(self, now: float) -> None:
        for shards in self._roster.due(now):
            trace_id, slot = logger.new_trace(), self._roster.assignment[shards[0]]
            for shard in shards:
                logger.get().info("full sync due", shard=shard, slot=slot, trace_id=trace_id)
            self._fleet.send(slot, messages.FullSync(shards, trace_id))

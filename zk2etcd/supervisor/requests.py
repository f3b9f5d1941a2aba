"""What is asked of a running supervisor, by people over its desk and by signals, carried out.

All of it runs in the loop's own thread between two turns. What may be asked is decided here and in
`pause_orders`, from what the workers last said; what is done then is a message to a worker, a mark
in the roster or the configuration read again, and the loop's next turn does the rest.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Protocol

from zk2etcd import conditions, messages
from zk2etcd.logs import logger
from zk2etcd.policy import roster
from zk2etcd.supervisor import fleet, pause_orders, releasing, reloading
from zk2etcd.view import control


class Loop(Protocol):
    """The loop in whose thread this runs; `turned_at` is when its turn began (monotonic)."""

    turned_at: float
    stopping: bool

    def take_over(self) -> None: ...
    def publish(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Requests:
    """What the desk hands on, in the loop's own thread only. `single`: a run of --once or
    --dry-run, which nobody may pause."""

    loop: Loop
    configuration: reloading.Configuration
    roster: roster.Roster
    wishes: pause_orders.Wishes
    releases: releasing.Releases
    fleet: fleet.Fleet
    single: bool

    def full_sync(self, shards: Sequence[str] | None) -> tuple[str, ...]:
        """See control.Control.request_full_sync."""
        wanted = self._had(pause_orders.to_sync(self.roster.reports, shards), shards)
        self.roster.ask(wanted, self.loop.turned_at)
        logger.get().info("full sync asked for", shards=list(wanted))
        return wanted

    def release(self, shard: str, trip: str, by: str) -> control.Held:
        """See control.Control.request_release."""
        held = self._released(shard, trip)
        order, slot = messages.Release(shard, trip, by), self.roster.assignment[shard]
        self.fleet.send(slot, order)
        told = slot, self.fleet.slots[slot].life.incarnation
        if isinstance(held, conditions.Guard):
            # What is kept goes by another name as soon as another worker has the shard.
            self.releases.take(order, told, self.loop.turned_at)
        logger.get().warning("release asked for", shard=shard, guard=trip, by=by)
        return held

    def pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        """See control.Control.request_pause."""
        wanted = self._had(pause_orders.to_pause(self.roster.reports, shards), shards)
        self._order([messages.Pause(shard, by, pause_orders.order_id()) for shard in wanted])
        logger.get().warning("pause asked for", shards=list(wanted), by=by)
        return wanted

    def resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        """See control.Control.request_resume."""
        reports, wishes = self.roster.reports, self.wishes
        wanted = self._had(pause_orders.to_resume(reports, shards, wishes.wants_paused), shards)
        self._order([messages.Resume(shard, by, pause_orders.order_id()) for shard in wanted])
        logger.get().warning("resume asked for", shards=list(wanted), by=by)
        return wanted

    def reload(self) -> control.ReloadResult:
        """See control.Control.request_reload."""
        trace_id = logger.new_trace()
        log = logger.get(trace_id=trace_id)
        result = self.configuration.reload(time.time(), trace_id)
        if not result.ok:
            count = self.configuration.counts["error"]  # so each answer is said
            what = "configuration kept: the new one is refused"
            log.error(what, reason=result.error, refused=count)
            return result
        settings = self.configuration.current.log
        if "log.level" in result.changed:
            self.set_log_level(settings.level)
        if any(key.startswith("log.") for key in result.changed):
            logger.setup("supervisor", settings, self.configuration.log_level)
        self.loop.take_over()
        log.info("configuration reloaded", changed=list(result.changed))
        return result

    def set_log_level(self, level: str) -> None:
        """See control.Control.set_log_level."""
        self.configuration.log_level = level
        logger.set_level(level)
        for slot in self.fleet.slots:
            self.fleet.send(slot, messages.SetLogLevel(level))
        logger.get().info("log level set", to=level)

    def _released(self, shard: str, trip: str) -> control.Held:
        """The trip to release, or what is kept, as its worker last reported it: what the person
        saw.

        Raises control.UnknownShard; Conflict; Unavailable while no worker mirrors the shard.
        """
        if (report := self.roster.reports.get(shard)) is None:
            raise control.UnknownShard([shard])
        self._had([shard], [shard])
        slot = self.fleet.slots.get(self.roster.assignment[shard])
        holds = [each for each in (report.guard, report.kept) if each is not None]
        if not holds:
            raise control.Conflict(
                f"the guard of {shard} holds nothing: there is nothing to release"
            )
        held = next((each for each in holds if each.id == trip), None)
        if held is None:
            now = holds[0]
            raise control.Conflict(
                f"the guard of {shard} holds {now.deletes} deletes in trip {now.id} now, "
                f"not in {trip}: look again (zk2etcd status), then release what you saw"
            )
        pause_orders.require_unpaused(report)
        if slot is None or not slot.takes_orders or not report.owned:
            raise control.Unavailable(f"no worker mirrors {shard} at the moment: try again")
        return held

    def _had(self, wanted: Sequence[str], asked: Sequence[str] | None) -> tuple[str, ...]:
        """Of these, those that our workers have; all that were `asked` for must be, if any was."""
        reports, ours = self.roster.reports, self.roster.assignment
        return pause_orders.require_had(reports, wanted, ours, named=asked is not None)

    def _order(self, orders: Sequence[pause_orders.Order]) -> None:
        if self.single:
            raise control.Conflict("a single run, or a dry one, has nothing to pause")
        if self.loop.stopping:
            raise control.Unavailable("the supervisor is stopping")
        self.wishes.take(orders, self.loop.turned_at)
        for order in orders:
            self.fleet.send(self.roster.assignment[order.shard], order)
            self.roster.show(self.wishes.shown(self.roster.reports[order.shard]))
        # Whoever looks after our answer must not see what was before.
        self.loop.publish()

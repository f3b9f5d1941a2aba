"""May this trip of a shard's guard be released? Only the one that stands, as the person saw it."""

from __future__ import annotations

from collections.abc import Mapping

from zk2etcd import messages
from zk2etcd.policy import roster
from zk2etcd.supervisor import fleet, pause_orders
from zk2etcd.view import control


def judge(
    shards: roster.Roster, slots: Mapping[str, fleet.Slot], shard: str, trip: str
) -> tuple[str, messages.Guard]:
    """The slot to tell, and the trip as its worker last reported it.

    Raises control.UnknownShard; control.Conflict; control.Unavailable while no worker mirrors it.
    """
    if unknown := shards.unknown([shard]):
        raise control.UnknownShard(unknown)
    report = shards.reports[shard]
    if report.guard is None:
        raise control.Conflict(f"the guard of {shard} holds nothing: there is nothing to release")
    if report.guard.id != trip:
        raise control.Conflict(
            f"the guard of {shard} holds {report.guard.deletes} deletes in trip {report.guard.id} "
            f"now, not in {trip}: look again (zk2etcd status), then release what you saw"
        )
    pause_orders.require_unpaused(report)
    slot = slots.get(shards.assignment[shard])
    if slot is None or not slot.takes_orders or not report.owned:
        raise control.Unavailable(f"no worker mirrors {shard} at the moment: try again")
    return slot.name, report.guard

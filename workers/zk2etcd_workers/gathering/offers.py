"""The Txns by which an offer of a shard is put, taken and withdrawn.

None is sent again: one that was overtaken comes to nothing, and what is to be done then follows
from the next census. An offer hangs on its owner key's lease and goes with it.
"""

from __future__ import annotations

from zk2etcd import acts
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.gathering import documents, table
from zk2etcd_workers.ownership import records

Act = acts.MakeOffer | acts.TakeOffer | acts.Withdraw


def txn(act: Act, ours: str, keys: records.Keys, known: table.Table) -> wire.Txn | None:
    """What carries this out for the member `ours`; None if it is out of date already."""
    key = keys.offer(act.shard)
    if isinstance(act, acts.MakeOffer):
        return _make(act, ours, keys, known)
    there = known.entry(key)
    if there is None or there.revision != act.revision:
        return None
    same = wire.Compare(key, "mod", "=", act.revision)
    if isinstance(act, acts.Withdraw):
        return wire.Txn([same], [wire.Delete(key)])
    offer = documents.read_offer(there.said, there.revision)
    if offer is None or offer.taker != ours:
        return None
    taken = documents.offer(offer.giver, offer.taker, taken=True)
    return wire.Txn([same], [wire.Put(key, taken, there.lease)])


def _make(
    act: acts.MakeOffer, ours: str, keys: records.Keys, known: table.Table
) -> wire.Txn | None:
    owner_key = keys.owner(act.shard)
    owner = known.entry(owner_key)
    if owner is None or owner.revision != act.token or not owner.lease:
        return None
    start, end = keys.all_of("offers")
    compares = [
        wire.Compare(owner_key, "mod", "=", act.token),
        # Of all offers: no more are under way than the decision knew of.
        wire.Compare(start, "mod", "<", act.revision + 1, end),
    ]
    offer = documents.offer(ours, act.taker, taken=False)
    return wire.Txn(compares, [wire.Put(keys.offer(act.shard), offer, owner.lease)])

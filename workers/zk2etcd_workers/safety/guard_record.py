"""The delete guard's record in etcd: a walk under way, or a trip that stands until it is settled.

Written under the shard's fence, before any delete of the walk it speaks of, so that neither a
crash nor another worker forgets it.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence

from zk2etcd import conditions, messages, text
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import guard, plan, told, turnover
from zk2etcd_workers.ownership import kept, records
from zk2etcd_workers.shard import context, facts as shard_facts

_SAMPLE = 20
_TURNOVER = 100_000
"""Deletes that may be replaced, and are remembered for that, beyond `max_deletes`."""


class Guarding:
    """One shard's guard, from the start of a walk to its deletes."""

    def __init__(
        self, ctx: context.Context, facts: shard_facts.Facts, known: kept.Kept | None = None
    ) -> None:
        """:param known: the record as etcd has it, if that has just been read."""
        self._ctx = ctx
        self._known = known
        self._stood = True
        """There may be a record in etcd."""
        self._facts = facts
        self._key = ctx.keys.guard(ctx.shard.id)
        self._record: records.GuardRecord | None = None
        self._inherited: int | None = None
        self._writes = False
        self._token = ctx.fence.token
        self.went, self.came = turnover.Side(), turnover.Side()
        self.since = facts.zxid or None
        """The checkpoint before the walk, or before the first one that was cut off: what was
        created after it is new. None if there was none, or none is known: then nothing is."""
        self._began = 0
        """etcd's revision at which the first walk that was cut off began."""
        self.was_cut_off = False
        self.released = False
        """A person let the deletes of this base happen: they are no repairs."""

    def standing(self) -> conditions.Guard | None:
        """The trip that etcd knows of."""
        if not (kvs := self._read()):
            return None
        self._record = records.GuardRecord.from_bytes(kvs[0].value, self._key)
        return self._record.trip

    def _read(self) -> Sequence[wire.Present]:
        if self._known is not None:
            return self._known.guard
        return self._ctx.reads.range(self._key).kvs

    def distrust(self, reason: str, present: int, *, lowers: bool = False) -> conditions.Guard:
        """Another ensemble answers than was mirrored: nothing is written until a release. A trip
        that holds deletes is replaced: what it saw was another tree.

        :param lowers: that ensemble is behind the floor.
        """
        reason = text.shortened(reason, told.LONGEST_TEXT)
        trip = records.new_trip(reason, 0, present, (), time.time(), "identity")
        self._record = records.GuardRecord(present, first=True, trip=trip, lowers=lowers)
        self._write(self._record)
        self._ctx.instruments.guard_trip()
        tell_distrust(self._ctx, trip)
        return trip

    def trust(self, trip: conditions.Guard, release: messages.Release) -> None:
        """A person says that what answers now is to be mirrored. What it lacks is held as at a
        first sync: they have not seen yet what that would delete. If it is behind what was
        mirrored, what all checkpoints say until now is history, and this one's starts anew."""
        ctx, keys, shard = self._ctx, self._ctx.keys, self._ctx.shard.id
        known = records.read_identity(ctx.reads, keys.identity(shard)) or records.IdentityRecord({})
        ops = [wire.Put(self._key, records.GuardRecord(trip.present, first=True).to_bytes())]
        since = known.since
        # One that is not behind after all was let in meanwhile.
        if self._record is not None and self._record.lowers and not ctx.session.reaches(shard):
            since = ctx.reads.range(keys.checkpoint(shard)).revision
            ops.append(wire.Put(keys.checkpoint(shard), records.encode_zxid(0)))
        record = records.IdentityRecord({}, since)
        self._fenced([*ops, wire.Put(keys.identity(shard), record.to_bytes())])
        if since != known.since:
            ctx.session.lower(shard)
        self._ctx.log.warning("identity released", guard=trip.id, by=release.by)

    def begin(self, present: int, *, first: bool) -> None:
        """A base starts. What a walk that was cut off knew goes on to count, and so does a trip.
        That it is under way is kept in etcd from its first write on: before, it has done nothing.
        """
        self._writes = True
        kvs = self._read()
        self._stood = bool(kvs)
        if kvs:
            old = records.GuardRecord.from_bytes(kvs[0].value, self._key)
            if old.trip is None:
                self._inherited, self.was_cut_off = old.present, True
                self.since = min(self.since or 0, old.since) or None
                self._began = kvs[0].created
            first = first or old.first
        trip = old.trip if kvs else None
        lost = self._facts.lost_guard if trip is None else None
        trip = trip or lost
        self._record = records.GuardRecord(
            self._before(present), first, trip, since=self.since or 0
        )
        self._facts.guard = trip
        if trip is None or lost is not None:
            self._write(self._record, soon=trip is None)
        self._facts.lost_guard = None
        if not self.exempts:
            self._ctx.waiting.forget()

    def _before(self, present: int) -> int:
        """How many keys there were before a walk that was cut off: it may have put many since,
        beside which what is missing looks like little."""
        return present if self._inherited is None else min(present, self._inherited)

    def resume(self) -> None:
        """A full sync starts: a standing trip holds its deletes too. What it finds came and went
        while the pipeline looked, so no checkpoint tells what is new."""
        self.since = 0
        if kvs := self._read():
            self._record = records.GuardRecord.from_bytes(kvs[0].value, self._key)

    @property
    def room(self) -> int:
        """How many absent paths are worth remembering: with one more, no delete happens."""
        trip = self._record.trip if self._record is not None else None
        most = self._ctx.delete_guard.max_deletes + _TURNOVER
        return max(most, trip.deletes) if trip and self._ctx.grants.names(trip) else most

    def creates(self, writes: Iterable[plan.Write]) -> None:
        """A walk puts keys: new nodes, perhaps in the place of others, where etcd has none."""
        if self.since is None or self.was_cut_off:
            return
        for write in writes:
            if write.born > self.since:
                self.came.saw(write.path)

    def recount(self, walk: Iterable[plan.Run]) -> Iterator[plan.Run]:
        """The walk. What is new was put already, in part, by one that was cut off: so all of its
        nodes are looked at, but for those that are back at their old key, which replace nothing."""
        if self.since is None:
            yield from walk
            return
        for run in walk:
            pairs = zip(run.keys, run.nodes, strict=True)
            new = [(key, n) for key, n in pairs if n is not None and n.czxid > self.since]
            found = self._ctx.etcd.lookup([key for key, _ in new], keys_only=True)
            for (_, node), held in zip(new, found, strict=True):
                if held is None or held.created > self._began:
                    self.came.saw(node.path)
            yield run

    def allows(self, paths: Sequence[bytes], total: int, present: int, *, root: bool) -> bool:
        """May `total` confirmed deletes happen, of which `paths` are known? A trip is written
        before this says no. After a yes, and the deletes, call `end`.

        :param root: the prefix's root node exists in ZooKeeper.
        """
        record = self._record or records.GuardRecord(present, first=False)
        if record.trip is None and self._facts.guard is not None:
            # It tripped live while this full sync looked.
            record = dataclasses.replace(record, trip=self._facts.guard)
        present = self._before(present)
        replaced = turnover.replaced(self.went, self.came)
        found = guard.Walk(total, present, record.first, not root, replaced)
        reason = guard.trips(found, self._ctx.delete_guard)
        if reason is None and total > len(paths):
            reason = f"more than {len(paths)} keys would go"
        if total and record.trip is not None:
            # A trip stands until a person releases it, or nothing is left to delete.
            reason = record.trip.reason
        if reason is None or self._is_released(record.trip, total):
            return True
        self._trip(record, reason, paths, total, present)
        return False

    def _is_released(self, trip: conditions.Guard | None, total: int) -> bool:
        """A person allowed it: at most as many deletes as they were shown, in one base."""
        if self._ctx.released is not None:
            return total <= self._ctx.released
        if trip is None or not self._writes or (release := self._ctx.grants.use(trip)) is None:
            return False
        self.released = allowed = total <= trip.deletes
        self._ctx.log.warning(
            "delete guard released" if allowed else "release refused: there are more deletes now",
            guard=trip.id,
            by=release.by,
            deletes=total,
            shown=trip.deletes,
        )
        return allowed

    def _trip(
        self,
        record: records.GuardRecord,
        reason: str,
        paths: Sequence[bytes],
        total: int,
        present: int,
    ) -> None:
        old = record.trip
        if old is not None and old.reason == reason and total <= old.deletes:
            # A release allows at most the count that was shown, so the trip is still the same.
            return
        sample = tuple(told.path(path) for path in paths[:_SAMPLE])
        creates, live = turnover.beside(self.went, self.came), old is not None and old.live
        trip = records.new_trip(
            reason, total, present, sample, time.time(), creates=creates, live=live
        )
        self._record = records.GuardRecord(present, record.first, trip)
        self._write(self._record)
        self._facts.guard = trip
        if old is None:
            self._ctx.instruments.guard_trip()
        self._ctx.log.error(
            "delete guard tripped: deletes are held",
            reason=reason,
            deletes=total,
            creates=creates,
            present=present,
            sample=list(sample[:5]),
            guard=trip.id,
        )

    @property
    def holds_all(self) -> bool:
        """What the first sync finds missing may be somebody else's: none of it may go at all, until
        a person says so, not even once another key has come beside it."""
        record = self._record
        if record is None or not record.first or self._ctx.delete_guard.first_sync != "hold":
            return False
        return self._ctx.released is None and not self._ctx.grants.names(record.trip)

    @property
    def exempts(self) -> bool:
        """What was seen live is no case of a walk's guard, as it is none live."""
        trip = self._record.trip if self._record is not None else None
        return self._ctx.delete_guard.live is None and not (trip is not None and trip.live)

    def hold_live(
        self, reason: str, total: int, present: int, creates: int, held: Iterable[bytes]
    ) -> conditions.Guard:
        """So many deletes are held by now, of those that are seen live too; some of them `held`."""
        ctx, old = self._ctx, self.standing()
        first = self._record is not None and self._record.first
        sample = tuple(told.path(path) for path in itertools.islice(held, _SAMPLE))
        trip = records.new_trip(
            reason, total, present, sample, time.time(), creates=creates, live=True
        )
        self._write(records.GuardRecord(present, first, trip))
        self._facts.guard = trip
        if old is None or not old.live:
            ctx.instruments.guard_trip()
            ctx.log.error(
                "delete guard tripped: live deletes are held",
                reason=reason,
                creates=creates,
                present=present,
                sample=list(sample[:5]),
                guard=trip.id,
            )
        return trip

    def end(self, *, soon: bool = False) -> None:
        """The walk is over, and nothing is held: a standing trip is over too.

        :param soon: with what the shard writes next.
        """
        if self._record is not None:
            now, trip = self._facts.guard, self._record.trip
            if now is not None and trip is not None and now.id != trip.id:
                return  # it tripped live, once more, while this full sync looked
            self._record = None
            self._facts.guard = None
            if not self._ctx.fence.forget(self._key) or self._stood:
                self._fenced([wire.Delete(self._key)], soon=soon)

    def _write(self, record: records.GuardRecord, *, soon: bool = False) -> None:
        put = wire.Put(self._key, record.to_bytes())
        # Not where the ensemble is in doubt: then what the checkpoint says is of another one, and
        # it would look younger than a release of that.
        holds = record.trip is not None and record.trip.kind == "deletes" and not soon
        self._fenced([put, self._ctx.fence.touch()] if holds else [put], soon=soon)

    def _fenced(self, ops: Sequence[wire.Op], *, soon: bool = False) -> None:
        if self._ctx.dry_run:
            return
        if soon:
            self._ctx.fence.owe([op for op in ops if isinstance(op, wire.Put | wire.Delete)])
        else:
            # A full sync that outlived its ownership must not write beside the next base.
            self._ctx.fence.write(ops, self._token)


def tell_distrust(ctx: context.Context, trip: conditions.Guard) -> None:
    """Another ensemble answers, or did."""
    ctx.log.error(
        "guard tripped: nothing is written",
        reason=trip.reason,
        guard=trip.id,
        remedy=f"when the right ZooKeeper answers: zk2etcd release {ctx.shard.id}",
    )

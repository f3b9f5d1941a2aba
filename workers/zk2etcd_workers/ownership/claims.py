"""Taking many shards at once: one look at the owners, and one Txn for as many as fit.

Each Txn that takes shards compares that no owner key has changed since the look, or claimants of
ranges that intersect could both succeed. So a thousand that look and put one by one void each
other for ever. All that want a shard of one worker at the same moment go together; the look stands
for the next Txn too, since what changed in between is known: it is what the one before it put. One
that was overtaken reads the owners again in the same Txn, so that a lost race costs no look more;
and who else is there and has not claimed yet, so that all who were overtaken by the same one come
one behind the other.

Renewals, which compare their own key's token alone, go together likewise. Where one of them has
lost its shard the whole Txn is not applied, and the halves of it are sent by themselves.

What else is kept of a shard is read in the same Txn: it is what stands once the shard is taken.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from zk2etcd import errors, messages
from zk2etcd_workers.etcd import client as etcd, together, wire
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import checkpoints, formats, kept, owners, reads, records

_MOST = 60
"""Shards in one Txn: each is a put of its own, which etcd's quota counts, and an inner Txn."""
_TOGETHER = 2 * _MOST
"""Those that are taken begin while others are: a look at all owners costs less than they wait."""
_MOST_BYTES = 256 * 1024
_TRIES = 20
_CONTENDED = 0.02
_BEHIND = 0.025
"""Seconds between two supervisors that were overtaken; as `policy.situation.Rules.stagger`."""
_LONGEST = 1.0
"""Seconds that one waits for those before it, at most."""
_LINGER = 0.02
"""Seconds for which more claims are waited for, behind others: each look is at all owners."""


class Wish(NamedTuple):
    """A shard that is to be taken, and what its owner key shall say. `takeable` is asked of what
    stands at that key; `keeps` is what is read of it then (`kept.asked`); `token` is
    that of a renewal, 0 of a claim."""

    shard: messages.Shard
    key: bytes
    checkpoint: bytes
    document: bytes
    takeable: Callable[[owners.Owner], bool]
    keeps: Sequence[wire.Range] = ()
    token: int = 0

    @property
    def asks(self) -> Sequence[wire.Range]:
        """What stands in the way of a renewal, for `Lost`."""
        return wire.Range(self.key, keys_only=True), wire.Range(self.checkpoint)


class Taken(NamedTuple):
    """It is ours: the token, and all checkpoints as they were in that moment; and what is kept of
    it, unless this server takes too few operations for that."""

    token: int
    checkpoints: checkpoints.Checkpoints
    kept: kept.Kept | None = None


class Lost(errors.Fenced):
    """A renewal was not applied; `found` answers the wish's `asks`."""

    def __init__(self, found: wire.Answer) -> None:
        super().__init__("the shard's owner changed meanwhile")
        self.found = found


_Answer = Taken | errors.EtcdError


class _Look(NamedTuple):
    """The owners as they were at that revision; `formatted` is `format`'s. `before`: how many
    supervisors that are there and have claimed nothing since an earlier look come before us."""

    owners: owners.Owners
    revision: int
    formatted: int
    before: int = 0


class Claims:
    """Of all shards of one worker."""

    def __init__(self, client: etcd.Client, keys: records.Keys, lease: leases.Lease) -> None:
        self._client = client
        self._keys = keys
        self._lease = lease
        self._rng = random.Random()
        self._most = _MOST
        self._claims = together.Together[Wish, Taken](self._claimed, _LINGER, most=_TOGETHER)
        self._renewals = together.Together[Wish, Taken](self._renewed)

    def expect(self, shards: int) -> None:
        """So many are about to be claimed: in one Txn, if it takes them, and not one before the
        others. Each claim voids those of other supervisors that are under way."""
        self._claims.expect(shards)

    def take(self, wish: Wish) -> Taken:
        """:raises errors.Held: somebody else may still write there.
        :raises errors.Fenced: others took shards all the while: ask again.
        :raises Lost: a renewal's token is not ours any more.
        :raises errors.AmbiguousWrite: etcd did not answer; it may be ours.
        :raises errors.NewerReader: a newer release has our keys by now.
        """
        return (self._renewals if wish.token else self._claims).ask(wish)

    # --- claims ------------------------------------------------------------------------------

    def _claimed(self, wishes: Sequence[Wish]) -> Sequence[_Answer]:
        answers: dict[bytes, _Answer] = {}
        look: _Look | None = None
        for attempt in range(_TRIES):
            left = [wish for wish in wishes if wish.key not in answers]
            if not left:
                break
            if attempt and look is None:
                time.sleep(self._rng.uniform(0.0, _CONTENDED))
            elif look is not None and look.before:
                behind = look.before + self._rng.random()
                time.sleep(min(_LONGEST, behind * _BEHIND))
                look = None  # they have changed it
            try:
                if look is None:
                    look = self._look(left, answers)
                    left = [wish for wish in left if wish.key not in answers]
                look = self._take_all(left, answers, look)
            except errors.TooManyOperations as refusal:
                look = None
                answers.update(self._fewer(left, refusal))
            except errors.EtcdError as error:
                answers.update({w.key: copy.copy(error) for w in left if w.key not in answers})
        again = "the shard's owner changed meanwhile"
        self._others(wishes, answers)
        return [answers.get(wish.key) or errors.Fenced(again) for wish in wishes]

    def _others(self, wishes: Sequence[Wish], answers: dict[bytes, _Answer]) -> None:
        """What others know of the ensemble, for those that have mirrored nothing yet."""
        never = records.encode_zxid(0)
        found: reads.Found | None = None
        for wish in wishes:
            taken = answers.get(wish.key)
            if not isinstance(taken, Taken) or taken.kept is None:
                continue
            if taken.checkpoints.by_key[wish.checkpoint].value != never:
                continue
            if found is None:
                try:
                    look = wire.Txn((), [wire.Range(*self._keys.all_of("identities"))])
                    found = reads.Found(self._client.txn(look, write=False), 0)
                except errors.EtcdError:
                    return  # each asks by itself
            answers[wish.key] = taken._replace(kept=taken.kept._replace(identities=found))

    def _look(self, wishes: Sequence[Wish], answers: dict[bytes, _Answer]) -> _Look:
        shards = [wish.shard for wish in wishes]
        reader = formats.reader_for(shards)
        formatted, demanded = formats.ensure(self._client, self._keys, "zk2etcd", reader)
        page = self._client.range(*self._keys.all_of("owners"))
        seen = owners.Owners(page.kvs)
        free = [wish.shard for wish in wishes if _obstacle(wish, seen) is None]
        refused = formats.marked(self._client, self._keys, free, demanded)
        answers.update({w.key: refused[w.shard.id] for w in wishes if w.shard.id in refused})
        return _Look(seen, page.revision, formatted)

    def _take_all(
        self, wishes: Sequence[Wish], answers: dict[bytes, _Answer], look: _Look
    ) -> _Look | None:
        """Take what is free by this look, until an owner key has changed by somebody else: how it
        is then. None if there is nothing to go by.

        :raises errors.EtcdError: those without an answer were not taken, or nobody knows.
        """
        start, end = self._keys.all_of("owners")
        asks = (
            wire.Range(start, end),
            wire.Range(self._keys.format(), keys_only=True),
            wire.Range(*self._keys.all_of("members"), keys_only=True),
        )
        ours = wire.Compare(self._keys.format(), "mod", "=", look.formatted)
        known = look.revision
        for chunk in self._chunks(wishes):
            free = list(_free(chunk, look.owners, answers))
            if not free:
                continue
            unchanged = wire.Compare(start, "mod", "<", known + 1, end)
            answer = self._put(free, (unchanged, ours), asks)
            if not answer.succeeded:
                if [kv.revision for kv in answer.kvs(1)] != [look.formatted]:
                    return None
                seen = owners.Owners(answer.kvs(0))
                done = seen.instances(since=known)
                before = self._before(free[0], done, answer.kvs(2))
                return _Look(seen, answer.revision, look.formatted, before)
            known = answer.revision
            answers.update(_taken(free, answer))
        return None

    def _before(self, ours: Wish, done: Collection[str], members: Sequence[wire.Present]) -> int:
        """How many of these members come before us, by their names, and are not done."""
        me = self._keys.member(owners.said(ours.document, ours.key)["instance"])
        gone = {self._keys.member(each) for each in done}
        return sum(each.key < me and each.key not in gone for each in members)

    # --- renewals ----------------------------------------------------------------------------

    def _renewed(self, wishes: Sequence[Wish]) -> Sequence[_Answer]:
        answers: dict[bytes, _Answer] = {}
        for chunk in self._chunks(wishes):
            answers.update(self._renew(chunk))
        return [answers[wish.key] for wish in wishes]

    def _renew(self, chunk: Sequence[Wish]) -> dict[bytes, _Answer]:
        """Where one of them has lost its shard, nothing was applied: each half is tried."""
        same = [wire.Compare(wish.key, "mod", "=", wish.token) for wish in chunk]
        asks = chunk[0].asks if len(chunk) == 1 else ()
        try:
            answer = self._put(chunk, same, asks)
        except errors.TooManyOperations as refusal:
            if (found := self._fewer(chunk, refusal)) or len(chunk) == 1:
                return found or self._renew(chunk)
        except errors.EtcdError as error:
            return {wish.key: copy.copy(error) for wish in chunk}
        else:
            if answer.succeeded:
                return _taken(chunk, answer)
            if len(chunk) == 1:
                return {chunk[0].key: Lost(answer)}
        half = len(chunk) // 2
        return {**self._renew(chunk[:half]), **self._renew(chunk[half:])}

    # --- both --------------------------------------------------------------------------------

    def _put(
        self,
        wishes: Sequence[Wish],
        conditions: Sequence[wire.Compare],
        asks: Sequence[wire.Range] = (),
    ) -> wire.Answer:
        """Put the owner keys under `conditions`, and read all checkpoints in the same Txn: what a
        former owner wrote is in it, and nothing of them can come after it. A range by itself might
        answer from before (etcd-io/etcd#20418: linearizable reads could be stale until 3.4.42,
        3.5.28 and 3.6.9)."""
        lease = self._lease.obtain()
        puts = [wire.Put(wish.key, wish.document, lease) for wish in wishes]
        firsts = [_first(wish, keeps=self._most > 1) for wish in wishes]
        every = wire.Range(*self._keys.all_of("checkpoints"))
        try:
            return self._client.txn(wire.Txn(conditions, [*puts, *firsts, every], asks))
        except errors.LeaseGone:
            self._lease.is_gone(lease)
            raise

    def _chunks(self, wishes: Sequence[Wish]) -> Iterator[Sequence[Wish]]:
        """As many as fit into a Txn; a long path may fill one alone."""
        chunk: list[Wish] = []
        size = 0
        for wish in wishes:
            if chunk and (len(chunk) >= self._most or size > _MOST_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(wish)
            size += len(wish.document) + 2 * (len(wish.key) + len(wish.checkpoint))
        if chunk:
            yield chunk

    def _fewer(self, wishes: Sequence[Wish], refusal: errors.EtcdError) -> dict[bytes, _Answer]:
        """This server takes fewer operations in a Txn; nobody's answer, unless one is too many."""
        alone = self._most == 1
        self._most = max(1, min(self._most, len(wishes)) // 2)
        return {wish.key: copy.copy(refusal) for wish in wishes} if alone else {}


def _free(
    chunk: Sequence[Wish], seen: owners.Owners, answers: dict[bytes, _Answer]
) -> Iterator[Wish]:
    """Those whose ranges nobody has, who are owners from now on; the others are told by whom."""
    for wish in chunk:
        if (other := _obstacle(wish, seen)) is None:
            seen.add(owners.Owner(wish.key, owners.said(wish.document, wish.key), 0))
            yield wish
        else:
            said = other.said
            who = f"{said['instance']}/{said['slot']}.{said['incarnation']}"
            answers[wish.key] = errors.Held(who, str(said.get("admin", "")))


def _obstacle(wish: Wish, seen: owners.Owners) -> owners.Owner | None:
    own = seen.of(wish.key)
    if own is not None and not wish.takeable(own):
        return own
    return next(seen.beside(wish.key, wish.shard), None)


def _first(wish: Wish, *, keeps: bool) -> wire.Txn:
    """The checkpoint, if there was none; and what is kept. An inner Txn may have as many operations
    as its own leaves of what a server takes."""
    asks = list(wish.keeps) if keeps else []
    absent = wire.Compare(wish.checkpoint, "create", "=", 0)
    return wire.Txn([absent], [*asks, wire.Put(wish.checkpoint, records.encode_zxid(0))], asks)


def _taken(wishes: Sequence[Wish], answer: wire.Answer) -> dict[bytes, _Answer]:
    found = checkpoints.Checkpoints(answer.kvs(2 * len(wishes)))
    answers: dict[bytes, _Answer] = {}
    for at, wish in enumerate(wishes, len(wishes)):
        inner, known = answer.inner(at), None
        if wish.keeps and len(inner) >= len(wish.keeps):
            pause, guard, identity, marks = map(inner.kvs, range(4))
            counted = [inner.total(each) for each in range(4, len(wish.keeps))]
            known = kept.Kept(
                pause, guard, identity, marks, None, sum(counted) if counted else None
            )
        answers[wish.key] = Taken(answer.revision, found, known)
    return answers

"""One writer a shard, enforced by etcd: the owner key, its lease, and the token in every write.

The owner key's mod_revision is the fencing token. Whoever re-puts or deletes the key makes every
write that still carries the old token fail its compare, however late it lands
(docs/architecture.md).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from zk2etcd import errors, messages
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.leasing import leases, left
from zk2etcd_workers.ownership import (
    acknowledged,
    checkpoints as all_checkpoints,
    claims,
    formats,
    kept,
    owners,
    records,
    writes,
)

# Of the whole process: a shard that left it and came back puts no owner key that it put before.
_EPOCHS = itertools.count(1)
LOOK_EVERY = 2.0
"""Seconds between two looks at an owner key that is not written beside, see `Fence.ask`."""


class Seen(NamedTuple):
    """What an answer about the keys of many says of one's, as `wire.Answer` would."""

    found: Sequence[Sequence[wire.Present]]
    revision: int

    def kvs(self, index: int) -> Sequence[wire.Present]:
        return self.found[index]


class Standing(NamedTuple):
    """What etcd said of the owner key, of the checkpoint, then of `format`; `answer` None if it did
    not answer. `token` and `mark` are of when it was asked."""

    token: int
    mark: acknowledged.Mark
    answer: wire.Answer | Seen | None


class Shared:
    """How the shards of one worker come to their owner keys, and write what they keep: together."""

    def __init__(self, client: etcd.Client, keys: records.Keys, lease: leases.Lease) -> None:
        self.claims = claims.Claims(client, keys, lease)
        self.writes = writes.Writes(client)
        self.left = left.Left(client, lease, keys.all_of("owners")[0])
        lease.each_time(self.left.look)


class Fence:
    """The ownership of one shard. `token` is 0 while it is not owned."""

    def __init__(
        self,
        client: etcd.Client,
        keys: records.Keys,
        lease: leases.Lease,
        identity: messages.Identity,
        shard: messages.Shard,
        shared: Shared | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._lease = lease
        self._shared = shared or Shared(client, keys, lease)
        self._identity = identity
        self._shard = shard
        self._key = keys.owner(shard.id)
        self._checkpoint = keys.checkpoint(shard.id)
        self._epoch = 0
        self._in_doubt = False
        self._document_put = b""
        self._owed: dict[bytes, wire.Put | wire.Delete] = {}
        self.token = 0
        self.mark = acknowledged.NOTHING
        """The shard's checkpoint as etcd last acknowledged it."""
        self._former = 0
        """The last token."""
        self.kept: kept.Kept | None = None
        """What etcd kept of the shard when the token was put, if that was read then."""
        self.put_back = False
        """The last claim, applied or not, found that etcd had lost what it had acknowledged."""

    def inherit(self, mark: messages.Mark) -> None:
        """What etcd had acknowledged to a worker that had the shard before."""
        checkpoint, revision, self._former = mark
        self.mark = acknowledged.Mark(checkpoint, revision)

    def claim(self, reaped: Mapping[str, int]) -> all_checkpoints.Checkpoints:
        """Take the shard: it is free, or its owner is ourselves or a reaped predecessor.

        :param reaped: for each slot of our own supervisor, the highest incarnation seen dead.
        :returns: all checkpoints, as they were in the very moment in which it became ours.
        :raises errors.AmbiguousWrite: etcd did not answer; it may be ours, so claim again.
        :raises errors.Held: somebody else may still write here.
        :raises errors.NewerReader: a newer release has our keys by now.
        """
        self.token, self.put_back = 0, False
        return self._put_owner(functools.partial(self._met, reaped))

    def renew_token(self) -> all_checkpoints.Checkpoints:
        """Re-put the owner key, so that no write under way with the old token can land.

        :returns: all checkpoints, as `claim` does.
        :raises errors.AmbiguousWrite: as `claim` does.
        :raises errors.Fenced: the shard is not ours any more.
        :raises errors.RolledBack: as it was before, since etcd was put back meanwhile.
        """
        old, self.token, self.put_back = self.token, 0, False
        try:
            return self._put_owner(lambda _: False, old)
        except claims.Lost as lost:
            self._compare(Standing(old, self.mark, lost.found), lost.found)
            raise

    def release(self) -> None:
        """Delete our owner key: writes under way can land no more, and others need not wait. So is
        the offer of it, which was the owner's.

        :raises errors.EtcdError: it may be there still; it is deleted once etcd answers.
        """
        token, self.token = self.token, 0
        revision = 0
        try:
            if not token and self._in_doubt:
                token, revision = self._unclaimed()
            if token:
                ours = wire.Compare(self._key, "mod", "=", token)
                gone = [wire.Delete(key) for key in (self._key, self._keys.offer(self._shard.id))]
                revision = self._shared.writes.write(writes.Write([ours], gone, ())).revision
        except errors.EtcdError:
            self._shared.left.add(self._key, self._document_put)
            raise
        finally:
            self._shared.left.released(self._key)
        self._shared.left.told(self._key, revision)
        self._in_doubt = False

    @property
    def known(self) -> messages.Mark | None:
        """What etcd has acknowledged, for `inherit`."""
        checkpoint, revision = self.mark
        return (checkpoint, revision, self._former) if revision else None

    @property
    def standing(self) -> Standing:
        """As it is known now, without an answer."""
        # In this order: the mark only grows, and what is asked later answers for both.
        mark = self.mark
        return Standing(self.token, mark, None)

    def stands(self) -> None:
        """Ask now, and wait for the answer; raises as `check` does."""
        asked = self.standing
        look = wire.Txn((), [*self.asks(), wire.Range(self._keys.format())])
        self.check(asked._replace(answer=self._client.txn(look, write=False)))

    def among(
        self, kvs: Mapping[bytes, wire.Present], formatted: Sequence[wire.Present], revision: int
    ) -> Seen:
        """What a look at the keys of many shards says of this one's, for `check`."""
        mine = [[kvs[key]] if key in kvs else [] for key in (self._key, self._checkpoint)]
        return Seen([*mine, formatted], revision)

    def check(self, standing: Standing) -> None:
        """:raises errors.Fenced: etcd answered, and the key is not as we put it.
        :raises errors.RolledBack: it answered, and has lost what it had acknowledged.
        :raises errors.NewerReader: it answered, and a newer release has our keys by now."""
        if standing.answer is None:
            return
        for kv in standing.answer.kvs(2):
            formats.check_format(kv.value, kv.key)
        self._compare(standing, standing.answer)

    def _compare(self, standing: Standing, answer: wire.Answer | Seen) -> None:
        """What `check` says of an answer to `asks`."""
        owners, checkpoints = answer.kvs(0), answer.kvs(1)
        # Only a state from before our token has an owner key with a lower one.
        older = any(kv.revision < standing.token for kv in owners)
        if standing.mark.is_lost(checkpoints) or older:
            raise errors.RolledBack(
                "etcd has lost what it had acknowledged for this shard: "
                "it was put back to an earlier state (restored from a backup?)"
            )
        if [kv.revision for kv in owners] != [standing.token]:
            raise errors.Fenced("the shard's owner key is not ours any more")

    def compares(self) -> tuple[wire.Compare, ...]:
        """What every Txn that writes must carry: the shard is ours, and etcd still has what it
        acknowledged; one that was restored may have our owner key, and much else from before.

        :raises errors.LeaseDoubt: the lease is too old to go on.
        :raises errors.Fenced: the shard is not owned.
        """
        self._lease.check()
        if not self.token:
            raise errors.Fenced("the shard is not owned")
        owned = wire.Compare(self._key, "mod", "=", self.token)
        return owned, self.mark.stands(self._checkpoint)

    def asks(self) -> tuple[wire.Op, ...]:
        """What such a Txn reads when its compares do not hold, for `refusal`."""
        return wire.Range(self._key, keys_only=True), wire.Range(self._checkpoint)

    def held(self, standing: Standing, answer: wire.Answer | None) -> bool:
        """Whether `compares`, of a Txn that was sent then and not applied, held all the same: what
        did not is another of its compares."""
        if answer is None:
            return False
        try:
            self._compare(standing, answer)
        except errors.EtcdError:
            return False
        return True

    def refusal(self, answer: wire.Answer | None) -> errors.EtcdError:
        """Why a Txn with `compares` was not applied."""
        if answer is not None:
            try:
                self._compare(Standing(self.token, self.mark, answer), answer)
            except errors.EtcdError as error:
                return error
        return errors.Fenced("another owner took the shard: a write failed its fence compare")

    def acknowledged(self, checkpoint: bytes, revision: int) -> None:
        """Our checkpoint was put with this value, at this revision."""
        self.mark = self.mark.later(acknowledged.Mark(checkpoint, revision))

    def write(self, ops: Sequence[wire.Op], token: int | None = None) -> None:
        """Write keys of our own in one Txn, which every other owner makes fail.

        :param token: that under which the reason for it was found out, which must still be ours.
        :raises errors.Fenced: the shard is not ours any more.
        """
        answer = self.together(ops, token)
        if not answer.succeeded:
            raise self.refusal(answer)
        for value in acknowledged.puts(self._checkpoint, ops, answer):
            self.acknowledged(value, answer.revision)

    def touch(self) -> wire.Txn:
        """For `write`: so that an etcd put back to before it is known by the checkpoint."""
        return self.mark.again(self._checkpoint)

    def together(self, ops: Sequence[wire.Op], token: int | None = None) -> wire.Answer:
        """Write in one Txn, perhaps with other shards' writes: `ops`, whose answers come first, and
        what is owed. It may not have been applied, see `refusal`; for the rest see `write`."""
        ours = self.compares()
        # Before it takes what is owed: that is of the ownership that stands.
        if token not in (None, ours[0].operand):
            raise errors.Fenced("the ownership under which this walk began is over")
        keys = {op.key for op in ops if isinstance(op, wire.Put | wire.Delete)}
        owed = [op for key, op in self._owed.items() if key not in keys]
        answer = self._shared.writes.write(writes.Write(ours, [*ops, *owed], self.asks()))
        self._owed = {}
        return answer

    def owe(self, ops: Sequence[wire.Put | wire.Delete]) -> None:
        """What nothing waits for, but must be there with, or before, whatever this shard writes
        next; the latest of each key. Used by the shard's thread only."""
        self._owed.update({op.key: op for op in ops})

    def forget(self, key: bytes) -> bool:
        """Owe nothing of this key any more; whether something was."""
        return self._owed.pop(key, None) is not None

    def pay(self) -> None:
        """Write what is owed; raises as `write` does."""
        if self._owed:
            self.write(())

    def _met(self, reaped: Mapping[str, int], owner: owners.Owner) -> bool:
        """Whether what stands at our key may be overwritten."""
        # Only a state from before our last token has it with a lower one.
        self.put_back = self.put_back or owner.revision < self._former
        return self._takeable(owner.said, reaped)

    def _takeable(self, owner: Mapping[str, Any], reaped: Mapping[str, int]) -> bool:
        if owner["instance"] != self._identity.instance:
            return False
        slot, incarnation = str(owner["slot"]), int(owner["incarnation"])
        own = slot == self._identity.slot and incarnation == self._identity.incarnation
        return own or incarnation <= reaped.get(slot, 0)

    def _put_owner(
        self, takeable: Callable[[owners.Owner], bool], old: int = 0
    ) -> all_checkpoints.Checkpoints:
        """Put the key with the next epoch; see `claims`."""
        self._epoch = next(_EPOCHS)
        self._in_doubt = True
        self._owed = {}
        self._document_put = document = self._document()
        self._shared.left.taken(self._key)
        keeps = kept.asked(self._keys, self._shard)
        wish = claims.Wish(self._shard, self._key, self._checkpoint, document, takeable, keeps, old)
        self.token, found, self.kept = self._shared.claims.take(wish)
        own = found.by_key[self._checkpoint]
        self.put_back = self.put_back or self.mark.is_gone(own, self.token)
        self._former = self.token
        self.mark = acknowledged.Mark(own.value, own.revision)
        return found

    def _unclaimed(self) -> tuple[int, int]:
        """The revision of an owner key that is ours although we hold no token, else 0: a put of
        ours was applied and its answer lost. As long as the lease lives nobody else could take the
        shard. And at which revision it was so."""
        page = self._client.range(self._key)
        for kv in page.kvs:
            owner = records.decode(kv.value, kv.key)
            mine = (self._identity.instance, self._identity.slot, self._identity.incarnation)
            if (owner["instance"], owner["slot"], owner["incarnation"]) == mine:
                return kv.revision, page.revision
        return 0, page.revision

    def _document(self) -> bytes:
        return owners.document(self._identity, self._epoch, self._shard)

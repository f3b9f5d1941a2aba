"""The work behind `adopt`: mark as ours what is there already, and equals ZooKeeper.

A mark is put only under the compare that its key is still as it was when both sides were compared,
so it needs no owner key: a mirror that runs meanwhile meets it in its next full sync. No key of
anybody is written. What another mirror's mark says to be its own is left, unless that one is named.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from zk2etcd import errors, messages
from zk2etcd_workers.belonging import looking, marks
from zk2etcd_workers.commands import both_sides, spool
from zk2etcd_workers.commands.adopting import others
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import mapping, pacing, plan, tree
from zk2etcd_workers.ownership import formats
from zk2etcd_workers.shard import confirm, context
from zk2etcd_workers.walk import beside

WRITTEN_BY = "zk2etcd adopt"
_CHUNK = 60
"""Keys that are looked at, and marked, together: with their marks, one Txn's reads."""
_SAMPLE = 5

Tell = Callable[[int, int], None]


@dataclasses.dataclass
class Found:
    """What of one shard has keys that are not ours: `equal` ones may be marked; `differs`; and
    those that are `owned` by the mark of another, by its id. `marked` so far."""

    shard: messages.Shard
    equal: int = 0
    differs: int = 0
    owned: dict[str, int] = dataclasses.field(default_factory=dict)
    sample: list[str] = dataclasses.field(default_factory=list)
    marked: int = 0
    all_seen: bool = True
    """Nobody else has marks but who was looked at."""
    paths: spool.Spool = dataclasses.field(default_factory=spool.Spool)


class _Beside(NamedTuple):
    """The marks of others: of each id, what they begin with."""

    bases: dict[str, bytes]
    all_seen: bool
    given_up: str | None
    """Whose are ours from now on."""
    of_etcd: pacing.Ramp
    of_zookeeper: pacing.Ramp


class _Met:
    """The paths whose keys are not ours, as a walk finds them."""

    def __init__(self, found: spool.Spool) -> None:
        self._found = found

    def saw(self, paths: Sequence[bytes]) -> None:
        for path in paths:
            self._found.add(spool.Record(spool.CONFLICT, path))

    def ended(self) -> None:
        """There was nothing before."""


class _Candidate(NamedTuple):
    """A key that equals its node; `mark` is ours, if there is one that says nothing, `former` that
    of whoever gave it up."""

    path: bytes
    key: wire.Present
    mark: wire.Present | None
    former: wire.Present | None


def look(both: both_sides.Sides, shard: messages.Shard, from_: str | None, told: Tell) -> Found:
    """What could be marked; nothing is written.

    :param from_: the id of another mirror, whose keys may be ours.
    :raises errors.UsageError: nothing is marked with that id.
    :raises errors.Zk2EtcdError: a side did not answer.
    """
    ctx, them = _context(both, shard, from_)
    both.sync(ctx.root)
    differing, found = spool.Spool(), Found(ctx.shard)
    walk = ctx.walk()
    reader = ctx.reader(yields=True, met=_Met(differing))
    for _ in beside.differences(walk, reader, ctx.mapping.buckets, plan.Counts()):
        told(walk.nodes, 0)
    for chunk in _chunks(differing):
        for each in _candidates(ctx, them, chunk, found):
            found.equal += 1
            found.paths.add(spool.Record(spool.CONFLICT, each.path, each.key.revision))
            if len(found.sample) < _SAMPLE:
                found.sample.append(tree.shown(each.path))
        told(walk.nodes, walk.nodes)
    differing.close()
    return found


def adopt(both: both_sides.Sides, found: Found, from_: str | None, told: Tell) -> None:
    """Mark what was found, as far as it is still equal; `found.marked` counts.

    :raises errors.Zk2EtcdError: it was not finished; what was marked is right all the same.
    """
    ctx, them = _context(both, found.shard, from_)
    formatted = formats.ensure_format(ctx.etcd, ctx.keys, WRITTEN_BY, formats.READER)
    ours = wire.Compare(ctx.keys.format(), "mod", "=", formatted)
    again = Found(ctx.shard)
    for chunk in _chunks(found.paths):
        some = list(_candidates(ctx, them, chunk, again))
        if stale := [_clearing(each) for each in some if each.mark is not None]:
            _write(ctx, ours, stale)
            some = list(_candidates(ctx, them, chunk, again))
        found.marked += _write(ctx, ours, [_marking(ctx, each) for each in some])
        told(found.marked, found.equal)


def _write(ctx: context.Context, ours: wire.Compare, ops: Sequence[wire.Txn]) -> int:
    """How many of these came about, in one Txn, if etcd takes as many."""
    if not ops:
        return 0
    try:
        answer = ctx.etcd.txn(wire.Txn([ours], ops))
    except (errors.TooManyOperations, errors.TooLarge):
        if len(ops) == 1:
            raise
        half = len(ops) // 2
        return _write(ctx, ours, ops[:half]) + _write(ctx, ours, ops[half:])
    if not answer.succeeded:
        raise errors.EtcdError(f"{ctx.keys.format().decode()} has changed meanwhile: again")
    return sum(answer.inner(at).succeeded for at in range(len(ops)))


def _context(
    both: both_sides.Sides, shard: messages.Shard, from_: str | None
) -> tuple[context.Context, _Beside]:
    ctx = both.context(dataclasses.replace(shard, ownership="marks"))
    bases, all_seen = others.known(ctx.etcd, ctx.keys)
    assert ctx.marks is not None
    own = bases.keys() & {messages.shard_id(shard.source, shard.target)}
    bases = {name: base for name, base in bases.items() if name not in own}
    if from_ in own:
        raise errors.UsageError(f"{from_} is this mirror's own id: without --from it is adopted")
    if from_ is not None and from_ not in bases:
        known = ", ".join(sorted(bases)) or "none"
        raise errors.UsageError(f"no key is marked with the id {from_!r}; known: {known}")
    asked = [
        (name, each)
        for name, base in bases.items()
        for each in formats.below(mapping.Mapping.of(ctx.shard, base))
    ]
    there = ctx.reads.all([each for _, each in asked]) if asked else ()
    near = {name for (name, _), found in zip(asked, there, strict=True) if found.kvs}
    bases = {name: base for name, base in bases.items() if name in near}
    ramps = looking.ramp_for(ctx.etcd), confirm.ramp_for(ctx)
    return ctx, _Beside(bases, all_seen, from_, *ramps)


def _candidates(
    ctx: context.Context, them: _Beside, paths: Sequence[bytes], found: Found
) -> Iterator[_Candidate]:
    """Those that are equal now and nobody's; the others are counted. etcd is read first."""
    assert ctx.marks is not None
    keys = [ctx.mapping.key(path) for path in paths]
    look = functools.partial(looking.lookup, ctx.etcd, keys=keys, ramp=them.of_etcd)
    mine = list(look(ctx.marks.base))
    owners = {name: list(look(base)) for name, base in them.bases.items()}
    verdicts = confirm.read_again(ctx, list(paths), ramp=them.of_zookeeper)
    for at, verdict in enumerate(verdicts):
        key, mark = mine[at]
        if key is None or mine[at].is_ours or not isinstance(verdict.node, tree.Node):
            continue
        whose = next((name for name, pairs in owners.items() if pairs[at].is_ours), None)
        if whose != them.given_up and whose is not None:
            found.owned[whose] = found.owned.get(whose, 0) + 1
        elif them.given_up is not None and whose is None:
            continue  # Only that one's are asked for.
        elif key.value != verdict.node.data:
            found.differs += 1
        else:
            former = owners[whose][at].mark if whose is not None else None
            yield _Candidate(verdict.path, key, mark, former)


def _clearing(each: _Candidate) -> wire.Txn:
    """Delete a mark that says nothing, for a new one: a full sync that is about to delete it knows
    it by when it was put."""
    assert each.mark is not None
    same = wire.Compare(each.mark.key, "mod", "=", each.mark.revision)
    return wire.Txn([same], [wire.Delete(each.mark.key)])


def _marking(ctx: context.Context, each: _Candidate) -> wire.Txn:
    """If it is still what it was: mark it, and delete the mark of who gave it up."""
    assert ctx.marks is not None
    key, mark = each.key, each.mark
    name = ctx.marks.name(key.key)
    stands = [
        wire.Compare(key.key, "create", "=", key.created),
        wire.Compare(key.key, "mod", "=", key.revision),
        wire.Compare(name, "mod", "=", mark.revision if mark is not None else 0),
    ]
    ops: list[wire.Op] = [wire.Put(name, marks.value(key.created))]
    if each.former is not None:
        stands.append(wire.Compare(each.former.key, "mod", "=", each.former.revision))
        ops.append(wire.Delete(each.former.key))
    return wire.Txn(stands, ops)


def _chunks(records: spool.Spool) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for record in records:
        chunk.append(record.path)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

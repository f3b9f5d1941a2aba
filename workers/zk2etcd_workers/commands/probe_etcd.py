"""What `check` finds out about etcd: the endpoints, our rights, the server's limits, and who owns
what already.

Rights are tried with Txns whose compare can never hold, so nothing is written: etcd checks the
rights of the branch not taken as well (tried with 3.4.23). The operations must stand in the Txn
itself: of nested ones, which our large writes consist of, that release checks none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from zk2etcd import errors, messages, metrics
from zk2etcd.config import models
from zk2etcd_workers.commands import both_sides, finding
from zk2etcd_workers.etcd import client as etcd, failures, wire
from zk2etcd_workers.model import mapping, tree
from zk2etcd_workers.ownership import formats, records
from zk2etcd_workers.walk import etcd_keys

SIDE = finding.Side("etcd")
_LARGEST_NODE = 1024 * 1024
_OLDEST = (3, 4)
_GROUPS, _INNER = 64, 32
_KINDS = ("owners", "checkpoints", "guards", "identities", "pauses", "members")
_SHARED = ("offers", "configs")
"""What supervisors that share write besides."""


# --- the endpoints --------------------------------------------------------------------------------


def endpoints(settings: models.Config) -> Iterator[finding.Fact]:
    """Each endpoint by itself."""
    for endpoint in settings.etcd.endpoints:
        alone = settings.etcd.model_copy(update={"endpoints": (endpoint,)})
        with contextlib.closing(etcd.Client(alone, metrics.null())) as client:
            yield _endpoint(endpoint, client, records.Keys(settings.state.prefix).format())


def _endpoint(endpoint: str, client: etcd.Client, key: bytes) -> finding.Fact:
    """What it answers to a read of `key`, as a mirror asks for it: whether we have the right to
    is looked at by itself."""
    try:
        _answered(client, key)
        started = time.monotonic()
        _answered(client, key)
        took = (time.monotonic() - started) * 1000
        version = client.version()
    except errors.EtcdUnavailable as error:
        remedy = "start it, or correct etcd.endpoints (and etcd.tls)"
        return SIDE.fail(str(error), remedy, unreachable=True)
    except errors.UnfitMember as error:
        return SIDE.fail(str(error), "name only voting members of one cluster in etcd.endpoints")
    except errors.EtcdError as error:
        return SIDE.fail(str(error), "correct etcd.username and etcd.password")
    if version and _numbers(version) < _OLDEST:
        return SIDE.fail(f"{endpoint} is etcd {version}", "upgrade to 3.4 or later")
    known = f"etcd {version}" if version else "an etcd that tells its version to root only"
    return SIDE.ok(f"{endpoint} is {known}, answers in {took:.1f} ms")


def _answered(client: etcd.Client, key: bytes) -> None:
    """:raises errors.EtcdError: the endpoint, or our login, serves for nothing."""
    try:
        client.range(key, keys_only=True)
    except failures.WrongLogin:
        raise
    except errors.EtcdDenied:
        return


def _numbers(version: str) -> tuple[int, ...]:
    """`3.5.0-rc.1` -> (3, 5)."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


# --- rights ---------------------------------------------------------------------------------------


def state_rights(both: both_sides.Sides) -> finding.Fact:
    """May our own keys be read and written?"""
    keys = records.Keys(both.settings.state.prefix)
    base = keys.prefix + b"/"
    kinds = _KINDS + (_SHARED if both.settings.cluster.mode == "share" else ())
    wanted = [keys.format(), *(base + kind.encode() + b"/check" for kind in kinds)]
    ours = _Span(f"our own keys below {_shown(base)}", base, keys.prefix + b"0", tuple(wanted))
    return _right(both, [ours], ours.what)


def target_rights(both: both_sides.Sides, shard: messages.Shard) -> finding.Fact:
    """May the keys of one shard be read and written: its own, the first and the last below it?"""
    mapped = mapping.Mapping.of(shard)
    (start, end), own = mapped.below(), mapped.target
    below = _Span(f"the keys below {_shown(start)}", start, end, (start + b"\0", start + b"\xff"))
    spans = [below] if start == own else [_Span(f"the key {_shown(own)}", own, b"", (own,)), below]
    return _right(both, spans, f"{shard.target} and the keys below it")


class _Span(NamedTuple):
    """A key, or a range [start, end), to which a right is given as a whole; `tried` are keys of it
    that a write is tried with."""

    what: str
    start: bytes
    end: bytes
    tried: tuple[bytes, ...]


def _right(both: both_sides.Sides, spans: Sequence[_Span], what: str) -> finding.Fact:
    """One fact about all of these: which of them lacks which right, and what grants it."""
    try:
        lacking = {span: lack for span in spans if (lack := _lacking(both.client, span))}
    except errors.EtcdUnavailable as error:
        return SIDE.fail(str(error), "see the endpoints above", unreachable=True)
    except errors.EtcdError as error:
        return SIDE.fail(f"{what} cannot be looked at: {error}", "see etcd's log")
    if not lacking:
        return SIDE.ok(f"{what} may be read and written")
    whole = len(lacking) == len(spans) and len(set(lacking.values())) == 1
    named = (
        {what: next(iter(lacking.values()))}
        if whole
        else {span.what: lack for span, lack in lacking.items()}
    )
    denied = " and ".join(f"{each} may not be {lack}" for each, lack in named.items())
    user = both.settings.etcd.username
    if user is None:
        login = "set etcd.username and etcd.password: this etcd asks for a login"
        return SIDE.fail(f"{denied} without a login", login)
    remedy = " and ".join(_grant(span.start, span.end) for span in lacking)
    return SIDE.fail(f"{denied} by the user {user}", remedy)


def _lacking(client: etcd.Client, span: _Span) -> str:
    """What may not be: read, written, or both; "" if nothing is lacking.

    :raises errors.EtcdError: it cannot be told.
    """
    reads = _allowed(lambda: client.range(span.start, span.end, limit=1, keys_only=True))
    writes = {key: functools.partial(_write, client, [key]) for key in span.tried}
    denied = [key for key, write in writes.items() if not _allowed(write)]
    some = "" if len(denied) in (0, len(span.tried)) else f" in part ({_shown(denied[0])})"
    return " or ".join(["read"] * (not reads) + [f"written{some}"] * bool(denied))


def _allowed(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except errors.EtcdDenied:
        return False
    return True


def _grant(key: bytes, end: bytes = b"") -> str:
    """The command that gives the right; with `end` for the range [key, end)."""
    span = f"{_shown(key)} {_shown(end)}".rstrip()
    return f"etcdctl role grant-permission ROLE readwrite {span}"


def _write(client: etcd.Client, keys: list[bytes], value: bytes = b"", lease: int = 0) -> None:
    """Ask for puts that cannot happen."""
    puts = [wire.Put(key, value, lease) for key in keys]
    client.txn(wire.Txn([_never(keys[0])], puts), write=False)


def _never(key: bytes) -> wire.Compare:
    """No key was created at a revision below 0."""
    return wire.Compare(key, "create", "<", 0)


def lease(both: both_sides.Sides) -> finding.Fact:
    """A lease is the only thing made here; it is given back at once."""
    wanted = round(both.settings.state.lease_ttl)
    owner = records.Keys(both.settings.state.prefix).owner("check")
    try:
        made, granted = both.client.grant(wanted)
        try:
            _write(both.client, [owner], lease=made)
            left = _kept_alive(both.client, made, granted)
        finally:
            both.client.revoke(made)
    except errors.EtcdError as error:
        return SIDE.fail(f"a lease cannot be used: {error}", "see the rights above, and etcd's log")
    if left < granted:
        return SIDE.fail(
            f"a lease can be taken, but not renewed through {both.client.endpoint}",
            "an etcd grpc-proxy with logins cannot since etcd 3.4.42, 3.5.28 and 3.6.9: name the "
            "members themselves in etcd.endpoints",
        )
    if granted > wanted:
        return SIDE.note(
            f"a lease of {wanted} s is granted for {granted} s",
            "its election time-out allows no shorter one: raise state.lease_ttl to say the same",
        )
    return SIDE.ok(f"a lease of {granted} s can be taken")


def _kept_alive(client: etcd.Client, made: int, granted: int) -> int:
    """The TTL after a renewal; 0 if there is no answer in the time that a worker gives it."""
    try:
        return client.keep_alive(made, granted / 6)
    except errors.EtcdUnavailable:
        return 0


# --- limits ---------------------------------------------------------------------------------------


def limits(both: both_sides.Sides, shard: messages.Shard) -> Iterator[finding.Fact]:
    """Does the server take Txns of our size, and values of ZooKeeper's?

    :raises errors.EtcdError: it did not answer, or refuses for another reason.
    """
    client, base = both.client, mapping.Mapping.of(shard).below()[0]
    groups = [
        wire.Txn((), [wire.Put(base + b"%d.%d" % (group, at), b"") for at in range(_INNER)])
        for group in range(_GROUPS)
    ]
    try:
        client.txn(wire.Txn([_never(base)], groups), write=False)
        yield SIDE.ok(f"Txns of {_GROUPS} times {_INNER} operations are taken")
    except errors.TooManyOperations:
        yield SIDE.note(
            "Txns of fewer operations than usual are taken, so writing will be slower",
            "start etcd with --max-txn-ops of 128 or more",
        )
    size = both.settings.etcd.txn_bytes
    if not _takes(client, base, size):
        remedy = "lower etcd.txn_bytes, or raise etcd's --max-request-bytes"
        yield SIDE.fail(f"requests of etcd.txn_bytes ({size:,} bytes) are too large", remedy)
    elif not _takes(client, base, _LARGEST_NODE):
        yield SIDE.note(
            "values of 1 MiB, the most that ZooKeeper takes by default, are too large",
            "raise etcd's --max-request-bytes if there are such nodes",
        )
    else:
        yield SIDE.ok("values of 1 MiB are taken")


def _takes(client: etcd.Client, base: bytes, size: int) -> bool:
    try:
        _write(client, [base + b"check"], bytes(size))
    except errors.TooLarge:
        return False
    return True


# --- what is there already ------------------------------------------------------------------------


def present(both: both_sides.Sides, shard: messages.Shard) -> Iterator[finding.Fact]:
    """Who owns the shard, and keys that were there before its first sync.

    :raises errors.EtcdError: etcd did not answer.
    """
    keys, mapped = records.Keys(both.settings.state.prefix), mapping.Mapping.of(shard)
    for kv in both.client.range(keys.owner(shard.id)).kvs:
        owner = records.decode(kv.value, kv.key)
        who = f"{owner['instance']}/{owner['slot']}.{owner['incarnation']}"
        where = f" ({owner['admin']})" if owner.get("admin") else ""
        part = f" {shard.bucket + 1}/{shard.buckets}" if shard.buckets > 1 else ""
        yield SIDE.ok(f"{shard.target}{part} is being written by {who}{where}")
    checkpoints = records.read_checkpoints(both.client, keys)
    if checkpoints.get(keys.checkpoint(shard.id), 0):
        return
    if shard.buckets > 1:
        count = etcd_keys.number(both.client, mapped)
    else:
        count = both.client.range(*mapped.below(), count_only=True).total
    if count and shard.ownership == "marks":
        yield SIDE.note(
            f"below {shard.target} are keys already ({count:,}), and not from a mirror of it",
            "they are left alone; zk2etcd adopt makes ours those that equal ZooKeeper",
        )
    elif count and both.settings.sync.delete_guard.first_sync == "hold":
        yield SIDE.note(
            f"below {shard.target} are keys already ({count:,}), and not from a mirror of it",
            "those that ZooKeeper lacks stay until released (sync.delete_guard.first_sync)",
        )


def readable_format(both: both_sides.Sides) -> Iterator[finding.Fact]:
    """Nothing, unless a newer zk2etcd wrote our own keys."""
    key = records.Keys(both.settings.state.prefix).format()
    for kv in both.client.range(key).kvs:
        try:
            formats.check_format(kv.value, key)
        except errors.NewerFormat as error:
            fact = SIDE.fail(str(error), "no shard is mirrored as long as that is so")
            yield dataclasses.replace(fact, refused=isinstance(error, errors.NewerReader))


def floor(both: both_sides.Sides) -> int:
    """The zxid that ZooKeeper must have reached: the highest of all checkpoints, or 0."""
    keys = records.Keys(both.settings.state.prefix)
    return max(records.read_checkpoints(both.client, keys).values(), default=0)


def _shown(key: bytes) -> str:
    return tree.shown(key)

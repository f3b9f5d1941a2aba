"""What `check` finds out about ZooKeeper: the hosts, a session, and each prefix's root."""

from __future__ import annotations

import functools
import heapq
import re
import time
from collections.abc import Iterator, Sequence

from zk2etcd import errors, messages
from zk2etcd.config import connections, models
from zk2etcd_workers.commands import both_sides, finding
from zk2etcd_workers.model import mapping, pacing, tree
from zk2etcd_workers.zookeeper import protocol as protocols
from zk2etcd_workers.zookeeper.servers import probing, protocol_choice, refusal

SIDE = finding.Side("ZooKeeper")
_LOOKED_AT = 64
_SECONDS = 5
_REQUEST_BYTES = 8192
_ANYONE = "world:anyone"
_MODE = re.compile(rb"Mode: ([a-z-]+)")


def hosts(settings: connections.ZooKeeper) -> Iterator[finding.Fact]:
    """Each host by itself: does it answer, and is it new enough?"""
    for host in settings.hosts:
        try:
            answer = probing.srvr(host, settings)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
        except OSError as error:
            remedy = "start it, or correct zookeeper.hosts (and zookeeper.tls)"
            yield SIDE.fail(f"{host} does not answer: {refusal.reason(error)}", remedy)
            continue
        yield _host(host, answer, settings.protocol)


def _host(host: str, answer: bytes, protocol: str) -> finding.Fact:
    version, mode = probing.told(answer), _MODE.search(answer)
    if trouble := probing.serving(answer):
        return SIDE.fail(f"{host}: {trouble}", "see its log")
    if not answer:
        return SIDE.note(
            f"{host} takes connections, and ends them at a four-letter word",
            "what it is, the session finds out",
        )
    if version is None:
        return SIDE.note(
            f"{host} answers, but does not tell its version",
            "it is found out by trying; add srvr to its 4lw.commands.whitelist to have it told",
        )
    shown = ".".join(map(str, version))
    if version < protocol_choice.OLDEST_BULK and protocol == protocol_choice.BULK:
        return SIDE.fail(
            f"{host} is ZooKeeper {shown}",
            "set zookeeper.protocol to auto or classic: multiRead and recursive watches came with "
            "3.6",
        )
    return SIDE.ok(f"{host} is ZooKeeper {shown}" + (f", {mode[1].decode()}" if mode else ""))


def session(both: both_sides.Sides) -> finding.Fact:
    """A session, logged in as a mirror would be. Raises nothing."""
    started = time.monotonic()
    who = identity(both.settings.zookeeper)
    try:
        both.reach_zookeeper()
    except errors.ZooKeeperError as error:
        return SIDE.fail(str(error), "see the hosts above", unreachable=True)
    except errors.Unreachable as error:
        denied = both.session.is_denied
        remedy = "correct zookeeper.auth and zookeeper.sasl" if denied else "see the hosts above"
        return SIDE.fail(str(error), remedy, unreachable=not denied)
    took = (time.monotonic() - started) * 1000
    return SIDE.ok(f"a session was made in {took:.0f} ms, as {who}")


def protocol(both: both_sides.Sides) -> Iterator[finding.Fact]:
    """That the session is spoken to otherwise than it could be, and why."""
    if both.session.why_classic:
        yield SIDE.note(
            f"read the classic way, much slower: {both.session.why_classic}",
            "upgrade it, or let it use its default watch manager; or set zookeeper.protocol to "
            "classic, if it is meant so",
        )


def prefix(both: both_sides.Sides, shard: messages.Shard) -> Iterator[finding.Fact]:
    """The root of one shard: is it there, may it be read and watched, and its children read?

    :raises errors.ZooKeeperError: the session broke off.
    """
    root = shard.source.encode()
    (node,) = read(both, [(protocols.GET_DATA, root)])
    names: tree.Result = tree.Miss.OTHER
    if isinstance(node, tree.Node) and node.children > pacing.DANGEROUS_LISTING:
        yield _many(shard, node.children)
    else:
        (names,) = read(both, [(protocols.GET_CHILDREN, root)])
        yield _root(both, shard, node, names)
    if isinstance(names, tree.LISTINGS) and names:
        yield from _children(both, shard, names)
    reply = both.ask(lambda sink: both.session.watch(root, sink))
    if reply.error is None:
        how = "node by node" if both.session.protocol == protocol_choice.CLASSIC else "recursively"
        yield SIDE.ok(f"{shard.source} can be watched, {how}")
    else:
        yield SIDE.fail(
            f"{shard.source} cannot be watched: {reply.error}",
            "the server must allow persistent recursive watches: not with WatchManagerOptimized",
        )


def _many(shard: messages.Shard, children: int) -> finding.Fact:
    return SIDE.note(
        f"{shard.source} can be read, and has {children:,} children: they are not listed here",
        "its server needs memory for the whole listing, three times over (-Xmx), and "
        "zookeeper.request_timeout must be long enough for it",
    )


def read(both: both_sides.Sides, ops: Sequence[protocols.Op]) -> Sequence[tree.Result]:
    """Some reads, in requests that a small jute.maxbuffer lets pass, as many at once as a session
    may have under way, waited for.

    :raises errors.ZooKeeperError: one was not answered.
    """
    found: list[tree.Result] = []
    ramp = pacing.Ramp(_LOOKED_AT, both.session.line.large)
    while len(found) < len(ops):
        left = ops[len(found) : len(found) + ramp.batch]
        left = left[: pacing.fitting([path for _, path in left], _REQUEST_BYTES)]
        part = left[: _permitted(both, left)]
        found += both.answer(functools.partial(both.session.read, part)).results
        ramp.saw(sum(len(n.data) for n in found[-len(part) :] if isinstance(n, tree.Node)))
    return found


def _permitted(both: both_sides.Sides, ops: Sequence[protocols.Op]) -> int:
    """How many of them may go now, after a wait if need be. Listings need no permit, and give none
    back (`session.Session.read`)."""
    data = [at for at, (kind, _) in enumerate(ops) if kind == protocols.GET_DATA]
    while data and not (granted := both.session.take(len(data), live=True)):
        time.sleep(0.01)
    return data[granted] if data and granted < len(data) else len(ops)


def few(most: int, settings: connections.ZooKeeper) -> int:
    """How many may be looked at where `most` would do: no more than are read in some seconds."""
    rate = settings.max_reads_per_second
    return most if rate is None else min(most, rate * _SECONDS)


def _root(
    both: both_sides.Sides, shard: messages.Shard, node: tree.Result, names: tree.Result
) -> finding.Fact:
    if isinstance(node, tree.Node) and isinstance(names, tree.LISTINGS):
        count = f"{len(names):,} {'child' if len(names) == 1 else 'children'}"
        return SIDE.ok(f"{shard.source} can be read: {count}")
    if node is tree.Miss.NO_NODE:
        return SIDE.note(f"{shard.source} does not exist", "it is mirrored as soon as it does")
    who = identity(both.settings.zookeeper)
    remedy = _readable(both.settings.zookeeper, shard.source)
    return SIDE.fail(f"{shard.source} may not be read by {who}: READ is missing", remedy)


def _children(
    both: both_sides.Sides, shard: messages.Shard, names: tree.Listing
) -> Iterator[finding.Fact]:
    """Some of the children: an ACL is not inherited, so the root tells nothing of them."""
    root = shard.source.encode()
    most = few(_LOOKED_AT, both.settings.zookeeper)
    paths = [tree.join(root, name) for name in heapq.nsmallest(most, names)]
    closed = mapping.Mapping.of(shard).is_closed
    kept = [path for path in paths if not closed(path)]
    if not kept:
        return
    found = read(both, [(protocols.GET_DATA, path) for path in kept])
    denied = [path for path, node in zip(kept, found, strict=True) if node is tree.Miss.NO_AUTH]
    if denied:
        who = identity(both.settings.zookeeper)
        yield SIDE.fail(
            f"{len(denied)} of {len(kept)} children of {shard.source} looked at may not be read "
            f"by {who}, such as {tree.shown(denied[0])}",
            _readable(both.settings.zookeeper, tree.shown(denied[0]))
            + "; what cannot be read is not mirrored",
        )


def identity(settings: connections.ZooKeeper) -> str:
    """Whom the ACLs see, without a secret in it."""
    known = [_named(each) for each in settings.auth]
    if settings.sasl is not None:
        known.append(f"sasl:{settings.sasl.username}")
    return ", ".join(known) or _ANYONE


def _readable(settings: connections.ZooKeeper, path: str) -> str:
    """What to do when an ACL denies READ. A command would have to name all of the ACL, since
    setAcl replaces it; and it is not inherited."""
    who = identity(settings)
    login = "set zookeeper.auth to an identity of its ACL, or " if who == _ANYONE else ""
    return (
        f"{login}grant READ on it and all below it to {who}: `zkCli.sh getAcl {path}` shows its "
        f"ACL, `zkCli.sh setAcl -R {path} ACL,{_entry(settings)}` replaces it, so name "
        "the old one too"
    )


def _entry(settings: connections.ZooKeeper) -> str:
    """The entry of an ACL that lets us read; of a digest zkCli shows the hash."""
    for auth in settings.auth:
        return f"{_named(auth)}:HASH:r" if auth.scheme == "digest" else f"{auth.scheme}:ID:r"
    return f"sasl:{settings.sasl.username}:r" if settings.sasl else f"{_ANYONE}:r"


def _named(auth: connections.ZkAuth) -> str:
    if auth.scheme != "digest":
        return auth.scheme
    user, colon, _ = models.revealed(auth.credentials).partition(":")
    return f"digest:{user}" if colon else "digest"

"""From a shard that is ours to a connection whose every change is noticed.

A session counts only at or above the floor; a server below it lags, or belongs to an ensemble that
was restored or replaced, which is another answer. From the watch's reply on, dirty paths collect,
and all that is read is of that connection: what answers is judged once.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable

from zk2etcd import errors
from zk2etcd_workers.model import tree
from zk2etcd_workers.shard import confirm, context, dirty_paths
from zk2etcd_workers.walk import glance
from zk2etcd_workers.zookeeper import session as sessions, watch_routes

_CONNECT_WAIT = 3.0
_BEHIND = 15.0


class Connecting:
    """One shard's way to a session, over all its attempts."""

    def __init__(self) -> None:
        self._behind_since: float | None = None
        self._told = ""

    def session(
        self,
        ctx: context.Context,
        floor: int,
        since: int,
        meanwhile: Callable[[context.Context], bool],
    ) -> str | None:
        """A live session at or above the floor, and how to speak to its server; or why all
        that answers is another ensemble, which has been so for a while.

        :param since: see `link.Link.open`.
        :param meanwhile: does some work that does not need one, and says whether there was some.
        :raises errors.ZooKeeperError: there is none yet, or (`ZooKeeperDenied`) none for our login.
        """
        session = ctx.session
        session.open(floor, ctx.shard.id, since)
        deadline = time.monotonic() + min(_CONNECT_WAIT, ctx.config.zookeeper.connect_timeout)
        while not session.connected:
            trouble = session.trouble
            if self._is_behind(session, ctx.shard.id):
                return f"identity: every ZooKeeper host is behind what was mirrored: {trouble}"
            if time.monotonic() > deadline:
                kind = errors.ZooKeeperDenied if session.is_denied else errors.ZooKeeperError
                trouble = trouble or "not connected"
                raise kind(f"no ZooKeeper session: {trouble}{_after(session)}")
            if not meanwhile(ctx):
                ctx.turn.pause(0.01)
        self._behind_since = None
        if session.why_classic != self._told:
            self._told = session.why_classic
            if self._told:
                ctx.log.warning("ZooKeeper is read the classic way, slower", reason=self._told)
        return None

    def _is_behind(self, session: sessions.Session, shard: str) -> bool:
        """Every host has been behind its floor for longer than a follower lags. They said so when
        asked for their zxid, which only a server does that serves, so that has a quorum."""
        if not session.all_behind(shard):
            self._behind_since = None
            return False
        self._behind_since = self._behind_since or time.monotonic()
        return time.monotonic() - self._behind_since > _BEHIND


def _after(session: sessions.Session) -> str:
    """At what the last one ended, if that may have ended the server."""
    suspect = session.caution.suspect()
    if suspect is None:
        return ""
    path, children = suspect
    what = f"the {children:,} children of {tree.shown(path)}"
    return f" (the last one ended when it was to list {what}: had its server the memory for it?)"


def watch(
    ctx: context.Context, dirty: dirty_paths.Dirty, doubt: Callable[[], None]
) -> tuple[context.Context, glance.Seen]:
    """Watch the shard's subtree; what was marked before is covered by the base. The context for
    all that follows: a connection lost later, during the base too, ends its epoch. And what was
    read of it meanwhile, with that of others.

    :raises errors.ZooKeeperError: it failed, or was not answered on one connection.
    """
    session, root = ctx.session, ctx.root
    part = watch_routes.Part(ctx.mapping.bucket, ctx.mapping.buckets)
    session.subscribe(root, dirty.event, doubt, part)
    dirty.restart()
    ctx = dataclasses.replace(ctx, epoch=session.epoch, watched_at=time.monotonic())
    if ctx.glances is not None and ctx.glances.serves:
        seen = ctx.glances.ask(glance.Wish(ctx.mapping, ctx.epoch or 0))
        _require(ctx)
        told = session.tells_watches == ctx.epoch
        return dataclasses.replace(ctx, since=seen.since, watch_told=told), seen
    # A server answers the requests of one session in their order.
    sends = [functools.partial(send, root) for send in (session.watch, session.sync)]
    tells = session.tells_watches == ctx.epoch
    if session.may_check_watches and not tells:
        sends.append(functools.partial(session.check_watch, root))
    _, synced, *checked = confirm.ask_all(ctx, sends)
    _require(ctx)
    # Whether this server says of our watch, which stands, that it does: then it is worth asking
    # later. Before 3.9 it says so of anybody's watch there: its no is what counts.
    if any(reply.results for reply in checked):
        session.tells_watches, tells = ctx.epoch, True
    return dataclasses.replace(ctx, since=synced.zxid, watch_told=tells), glance.NOTHING


def _require(ctx: context.Context) -> None:
    if ctx.session.epoch != ctx.epoch:
        raise errors.SessionDoubt("the ZooKeeper session changed")

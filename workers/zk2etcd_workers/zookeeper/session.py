"""One ZooKeeper session for all shards of a worker.

Callers send bulk reads and get `reply.Reply` values back through a callable, which runs in kazoo's
connection thread and must only enqueue. Nothing here decides what a reply means for a shard; but a
reply that cannot be trusted says so in its `error`: the session broke while it was under way
(`SessionDoubt`) or it comes from before the floor (`StaleRead`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd.logs import logger
from zk2etcd_workers.model import line, pacing
from zk2etcd_workers.zookeeper import (
    connection,
    failures,
    link,
    outbox,
    protocol,
    reply,
    watch_routes,
)
from zk2etcd_workers.zookeeper.classic import arming, bulk, resumption, watches as watching
from zk2etcd_workers.zookeeper.servers import protocol_choice

_USUAL = 16 * 1024 * 1024
"""Bytes of answers that walks have under way, on a line that is no bound."""

_CHECKS_LOST = 3
"""Connections in a row that ended on the question whether a watch stands, before it is given up."""


class Session(link.Link):
    """What the shards ask of ZooKeeper and hear from it, over a link that they share."""

    def __init__(
        self,
        settings: connections.ZooKeeper,
        instruments: metrics.Instruments,
        sessions: int = 1,
    ) -> None:
        """:param sessions: how many there are of this supervisor."""
        super().__init__(settings, instruments, outbox.share(sessions))
        self._routes = watch_routes.Routes()
        self.protocol: str | None = None
        """bulk or classic, as the last connection was spoken to; None before the first."""
        self.why_classic = ""
        """Why it is not bulk, in words, if that was not asked for."""
        self._standing: bulk.Standing | None = None
        """In the classic protocol: what is watched."""
        self._uncounted: int | None = None
        """The epoch in which a count was asked for that has not been answered."""
        self._unchecked: list[int] = []
        """The epochs in which a watch was asked for in vain, since it was last answered."""
        self.budget = pacing.Budget()
        self.rate = pacing.Rate(settings.max_reads_per_second)
        self.request_size = pacing.RequestSize()
        self.caution = pacing.Caution()
        self.may_trust = settings.max_reads_per_second is None  # see `walk/trust`
        # The answers to pings wait behind all that is under way.
        patience = min(settings.request_timeout, settings.session_timeout / 2)
        self.line = line.Line(_USUAL, patience)
        """From ZooKeeper to us."""

    def tend(self, now: float) -> None:
        """See `link.Link.tend`; and list what has waited for it, in the classic protocol."""
        standing = self._standing
        if self._client is not None and standing is not None:
            for path in standing.watches.due(now):
                self._list_again(path)
            standing.arming.flush()
        super().tend(now)

    # --- called by the connection (its thread) -----------------------------------------------

    def event(self, kind: int, path: bytes) -> None:
        standing = self._standing
        if standing is not None:
            standing.watches.fired(kind, path)
            if kind == watching.CHILDREN_CHANGED:
                if standing.watches.may_list(path):
                    self._list_again(path)
                return
        self._routes.tell(kind, path)

    def _list_again(self, path: bytes) -> None:
        """For a shard that still wants to know; what is new is told as events."""
        if self._routes.above(path + b"/") is not None:
            self._read_plainly([(protocol.GET_CHILDREN, path)], _unheard, None, 0, again=True)
        elif self._standing is not None:
            self._standing.watches.unlisted(path)

    def _agreed(self, choice: protocol_choice.Choice) -> None:
        self.protocol, self.why_classic = choice

    def _turned(self, *, connected: bool) -> None:
        """Every connection is a new epoch, also of a session that lived on, or that the server
        silently replaced: watches and events in between are gone either way. How it is spoken to
        is known before its epoch is: who saw the epoch goes by the right one."""
        self.connected = self.connected and connected
        if connected:
            before = self.request_size.most
            self.request_size.reconnected()
            if (most := self.request_size.most) < before:
                why = "a connection ended under a large one: is its jute.maxbuffer smaller?"
                logger.get().warning(
                    "requests to ZooKeeper are made smaller", reason=why, bytes=most
                )
        self._standing = None
        if self.protocol == protocol_choice.CLASSIC:
            size = self.request_size
            self._standing = bulk.Standing(self.epoch + 1, self._arm, lambda: size.most)
        self.epoch += 1
        self.connected = connected
        self._routes.doubt()

    # --- what the shards use -----------------------------------------------------------------

    def subscribe(
        self,
        root: bytes,
        sink: connection.Sink,
        doubt: Callable[[], None],
        part: watch_routes.Part = watch_routes.ALL,
    ) -> None:
        """Events at or below `root` go to `sink`, as far as they are of its `part`; a changed epoch
        to `doubt`. Both only enqueue."""
        self._routes.add(root, sink, doubt, part)

    def unsubscribe(self, root: bytes, sink: connection.Sink) -> None:
        self._routes.remove(root, sink)

    def fall_back(self, why: str) -> None:
        """Bulk cannot be trusted here: connect anew, the classic way, unless the settings demand
        bulk. `why`, in words, is shown beside the protocol."""
        self._choices.distrust(why)
        self.drop(why)

    def read(
        self,
        ops: Sequence[protocol.Op],
        sink: reply.ReplySink,
        tag: Any = None,
        *,
        permits: int | None = None,
        walks: bool = False,
        watch: bool = True,
    ) -> None:
        """Send one bulk read. The caller `take`s a permit for each data read first; they are given
        back when the reply is there. `permits`: how many those are, if not one each. `walks`: it
        lists each node that has children, and has `tree.Rows`. `watch`: these set watches, if any.
        """
        if permits is None:
            permits = sum(1 for kind, _ in ops if kind == protocol.GET_DATA)
        if self._standing is not None:
            self._read_plainly(ops, sink, tag, permits, watch=watch, walks=walks)
        else:
            request = protocol.ColumnRead(ops) if walks else protocol.MultiRead(ops)
            self._send(request, "multiread", sink, tag, permits)

    def _read_plainly(
        self,
        ops: Sequence[protocol.Op],
        sink: reply.ReplySink,
        tag: Any,
        permits: int,
        *,
        watch: bool = True,
        **how: bool,
    ) -> None:
        """:param how: `walks` and `again` of `bulk.Bulk`."""
        client, standing, roots = self._client, self._standing, self._routes.roots
        reads = bulk.Bulk(
            ops,
            cast(connection.Client, client),
            standing if roots and watch else None,
            self._routes.tell,
            self._instruments,
            roots=roots,
            **how,
        )
        pending = reply.Pending(self, reads, "", sink, tag, permits)
        if client is None or not self.connected:
            pending.set_exception(failures.lost())
        else:
            reads.send(pending)

    def _arm(self, request: arming.SetWatches, sink: reply.ReplySink | None = None) -> None:
        def answered(reply: reply.Reply) -> None:
            self._armed(reply)
            if sink is not None:
                sink(reply)

        self._send(request, "arm", answered, None)

    def _armed(self, reply: reply.Reply) -> None:
        """A connection that is lost takes the watches with it anyway; one on which they were
        refused does not watch what it should."""
        if reply.error is not None and reply.epoch == self.epoch and self.connected:
            self.drop(f"ZooKeeper did not set watches: {reply.error}")

    def resuming(self, root: bytes, epoch: int | None) -> resumption.Resumption:
        """Watch a tree that is known; in the classic protocol only.

        :raises errors.SessionDoubt: the connection is not that of this epoch.
        """
        standing = self._standing
        if standing is None or standing.epoch != epoch:
            raise errors.SessionDoubt("the ZooKeeper session changed")
        return resumption.Resumption(root, standing.watches, self._arm, self._list_again)

    def lists(self, root: bytes, epoch: int | None) -> watching.Lists | None:
        """How much is told of what changed in lists below `root` in this epoch; classic."""
        none = watching.NOTHING_TOLD if self.protocol == protocol_choice.CLASSIC else None
        return none if (standing := self._standing) is None else standing.lists(root, epoch)

    def watch(self, root: bytes, sink: reply.ReplySink) -> None:
        """Watch `root` and all below it; in the classic protocol all but `root` as it is read."""
        if self._standing is not None:
            self._standing.watches.begins()
            self._send(protocol.Exists(root, watch=True), "exists", sink, None)
        else:
            self._send(protocol.AddWatch(root), "watch", sink, None)

    def sync(self, root: bytes, sink: reply.ReplySink, tag: Any = None) -> None:
        """Its answer comes after all events of what had changed by now: so all watches that are to
        be armed go before it."""
        if self._standing is not None:
            self._standing.arming.flush()
        self._send(protocol.Sync(root), "", sink, tag)

    def look(self, paths: Sequence[bytes], sink: reply.ReplySink, tag: Any) -> None:
        """Read some nodes, which sets no watch, costs no permit, and is not counted."""
        ops = [(protocol.GET_DATA, path) for path in paths]
        if self._standing is not None:
            self._read_plainly(ops, sink, tag, 0, watch=False)
        else:
            self._send(protocol.MultiRead(ops), "", sink, tag)

    @property
    def may_check_watches(self) -> bool:
        """A server that does not know the question ends the session for it."""
        return self.protocol == protocol_choice.BULK and len(self._unchecked) < _CHECKS_LOST

    def check_watch(self, root: bytes, sink: reply.ReplySink, tag: Any = None) -> None:
        """Ask whether our watch of `root` stands: the reply's results are not empty if it does."""
        self._send(protocol.CheckWatch(root), "", sink, tag)

    def count(self, path: bytes, sink: reply.ReplySink) -> None:
        """Ask how many nodes there are below `path`, the reply's tag. A server that does not know
        the question ends the session for it: not in the classic protocol, nor after such an end."""
        if self.protocol != protocol_choice.BULK or self._uncounted not in (None, self.epoch):
            return
        self._uncounted = self.epoch
        self._send(protocol.CountBelow(path), "", sink, path)

    def _send(
        self, request: Any, op: str, sink: reply.ReplySink, tag: Any, permits: int = 0
    ) -> None:
        pending = reply.Pending(self, request, op, sink, tag, permits)
        client = self._client
        if client is None or not self.connected:
            # kazoo would queue it, and block after some 278 of them (tried).
            pending.set_exception(failures.lost())
            return
        pending.client = client
        client.send(request, pending)

    def answered(self, pending: reply.Pending, value: Any, error: BaseException | None) -> None:
        request = pending.request
        ops = getattr(request, "ops", ())
        if pending.permits:
            self.give(pending.permits)
        if isinstance(request, protocol.CountBelow) and (error is None or failures.says_no(error)):
            self._uncounted = None
        if isinstance(request, protocol.CheckWatch):
            self._checked(pending.epoch, answered=error is None)
        status = "success" if error is None else type(error).__name__
        took = (now := time.monotonic()) - pending.started
        if pending.op:
            self._instruments.zk_op(pending.op, status, took)
        size, overdue = getattr(request, "size", 0), self.overdue(pending.epoch)
        failure = failures.translate(error, size, overdue, ops) if error is not None else None
        if failure is None:
            self.request_size.passed(size)
        elif isinstance(failure, errors.SessionDoubt):
            self.request_size.lost(size, overdue=overdue is not None)
            self.line.lost(took, now)
        lowest = getattr(request, "lowest", request.zxid)
        if failure is None and lowest < (floor := self._floors.highest):
            failure = errors.StaleRead(
                f"a ZooKeeper server answered at zxid {lowest:#x}, behind {floor:#x}"
            )
            self.drop(str(failure))
        tag, epoch, answer = pending.tag, pending.epoch, getattr(request, "answer", 0)
        pending.sink(reply.Reply(ops, tag, epoch, request.zxid, value, failure, answer))

    def _checked(self, epoch: int, *, answered: bool) -> None:
        if answered:
            self._unchecked = []
        elif epoch not in self._unchecked:
            self._unchecked.append(epoch)

    def take(self, wanted: int, *, live: bool, known: bool = False, small: bool = False) -> int:
        """Permits for up to `wanted` reads, now; 0 means: ask again in a few milliseconds.

        :param known: the reads are known to be small, so only the configured rate bounds them.
        :param small: they probably are, see `pacing.cost`.
        """
        with self._lock:
            if known:
                return self.rate.take(wanted, time.monotonic())
            granted = self.budget.take(wanted, live=live, small=small)
            allowed = self.rate.take(granted, time.monotonic())
            self.budget.give(pacing.cost(granted, small=small) - pacing.cost(allowed, small=small))
            return allowed

    def give(self, unused: int) -> None:
        """What was taken of the budget, but not sent."""
        with self._lock:
            self.budget.give(unused)


def _unheard(_reply: reply.Reply) -> None:
    """Nobody asked: what a listing shows is told as events, and a failure is the connection's."""

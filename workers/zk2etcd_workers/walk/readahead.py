"""Reading a subtree ahead of its use, with bulk reads, in bounded memory.

What is nearest to being used is read first, so that requests are full and what is held stays
small: the unread parts of the tree wait as the walk will come to them (`directories`).
"""

from __future__ import annotations

import functools
import itertools
import queue
import time
from collections.abc import Callable, Sequence

from zk2etcd import errors
from zk2etcd_workers import turn
from zk2etcd_workers.model import mapping, pacing, tree
from zk2etcd_workers.walk import directories, listings, names as own, trust
from zk2etcd_workers.walk.predicted import window
from zk2etcd_workers.zookeeper import protocol, reply as replies, session as sessions

_IN_FLIGHT = 3
_BATCH = 48
_SMALL_BATCH = 56

Slot = tuple[directories.Dir, int, int]
"""Whose answers come next in a reply: of `count` names from `start` on, or, with 0, its listing."""


class Reader:
    """Fills directories. `zxid` is the highest zxid of all replies, `largest` the largest value in
    bytes; `held` and `held_bytes` count what was read and not used yet (`used`). `each` are the
    bytes of the answer to one read, about; at first, what those of others have."""

    def __init__(
        self,
        session: sessions.Session,
        shard: mapping.Mapping,
        pulse: turn.Turn,
        denied: Callable[[bytes], None],
        *,
        skip_ephemeral: bool,
        read_batch: int,
        patience: float,
        largest: int | None,
        epoch: int | None,
        walks: int = 1,
    ) -> None:
        """:param denied: called with each node whose children may not be listed.
        :param largest: the largest value that the last read of all showed, in bytes; None if
            there was none, and the sizes are unknown.
        :param epoch: the session's, to which all reads must belong; None: the one of now.
        :param walks: how many read so at the same time, this one too.
        """
        self._session, self._mapping, self._turn = session, shard, pulse
        self._denied = denied
        self._skip_ephemeral = skip_ephemeral
        self.largest_known = largest or 0
        self._known = largest is not None and largest <= pacing.KNOWN_SMALL
        most = read_batch if self._known else min(_BATCH, read_batch)
        self._ramp = pacing.Ramp(most, session.line.large)
        self._parallel = _IN_FLIGHT
        if self._known and largest is not None:
            self._parallel = pacing.parallel(read_batch, largest, walks)
        self._most, self._most_held = read_batch, pacing.held(walks)
        self._line = session.line
        self._each = self._line.expects(largest)
        self._patience, self._epoch = patience, session.epoch if epoch is None else epoch
        self._replies: queue.SimpleQueue[replies.Reply] = queue.SimpleQueue()
        self._frontier = directories.Frontier()
        self._ahead: list[directories.Place] = []
        self._heavy: set[bytes] = set()
        self._listings = listings.Listings(session.caution)
        withheld = largest is not None or not session.may_trust  # small ones, or not all of them
        self._trust = trust.Trust(withheld=withheld, request=read_batch, walks=walks)
        self._in_flight = self._request_bytes = 0
        self.held = self._held_bytes = self.zxid = self.largest = 0

    def root(self, path: bytes) -> directories.Dir:
        """Read one node: a directory of nothing but that node."""
        holder = directories.Dir(b"", 1)
        holder.names, holder.found, holder.read = [path], [None], 1
        self._wait_for_permit()
        self._send([(protocol.GET_DATA, path)], [(holder, 0, 1)], int(not self._known))
        while holder.found[0] is None:
            self.pump()
        if (leaves := holder.leaves.get(0)) is not None:
            holder.found[:] = leaves.nodes
        self.held = self._held_bytes = 0
        return holder

    def pump(self) -> None:
        """Keep requests under way, and wait for at least one reply.

        :raises errors.SessionDoubt: the session changed, or it does not answer.
        """
        self._fill()
        started = time.monotonic()
        while True:
            self._turn.beat()
            try:
                reply = self._replies.get(timeout=turn.SLICE if self._in_flight else 0.002)
                break
            except queue.Empty:
                self._fill()
            if self._session.epoch != self._epoch:
                changed = errors.SessionDoubt("the ZooKeeper session changed during a walk")
                raise self._broken(changed)
            if self._in_flight and time.monotonic() - started > self._patience + 2:
                raise self._broken(errors.SessionDoubt("ZooKeeper did not answer a bulk read"))
        self._process(reply)
        self.absorb()

    def absorb(self) -> None:
        """Take in the replies that are there and ask for more, so that the server is never idle
        while what it sent is being used."""
        while not self._replies.empty():
            self._process(self._replies.get())
        self._fill()

    def used(self, nodes: int, size: int) -> None:
        """So many nodes with so many bytes of values need not be held any more."""
        self.held -= nodes
        self._held_bytes -= size

    # --- requests ----------------------------------------------------------------------------

    def _fill(self) -> None:
        # One more where folders are trusted: their requests are worth it.
        while self._frontier and self._in_flight < self._parallel + int(self._trust.any):
            nodes, size = self._most_held
            if self._in_flight and (self.held >= nodes or self._held_bytes >= size):
                return
            head = self._frontier.first
            if listings.is_huge(head) and not self._listings.may_ask(head):
                return
            is_trusted, trusted = self._trust.has(head), self._trust.room
            if trusted:
                trusted = self._line.carries(trusted, self._each, time.monotonic())
            if is_trusted and not trusted:
                return
            small = not self._known and self._trust.row >= pacing.SMALL_SO_FAR
            batch = min(_SMALL_BATCH, self._most) if small else self._ramp.batch
            carried = self._line.carries(batch, self._each, time.monotonic())
            granted = self._session.take(carried, live=False, known=self._known, small=small)
            if granted == 0 and not is_trusted:
                return
            self._ask(granted, trusted, small=small)

    def _wait_for_permit(self) -> None:
        while not self._session.take(1, live=False, known=self._known):
            self._turn.beat()
            time.sleep(0.002)

    def _ask(self, granted: int, trusted: int, *, small: bool) -> None:
        """One request, with at most so many reads of unknown size, and from trusted folders."""
        ops, slots, used, trusting = self._next_ops(granted, trusted)
        permits = 0
        if not self._known:
            permits = pacing.cost(used, small=small)
            self._session.give(pacing.cost(granted, small=small) - permits)
        self._send(ops, slots, permits, trusting)

    def _send(
        self, ops: list[protocol.Op], slots: list[Slot], permits: int, trusting: int = 0
    ) -> None:
        self._in_flight += 1
        self._trust.under_way += trusting
        key, name = object(), pacing.NAME_BYTES
        size = sum(count * self._each or each.expected * name for each, _, count in slots)
        self._line.take(key, size, time.monotonic())
        sink = functools.partial(self._arrived, key)
        self._session.read(ops, sink, (slots, trusting), permits=permits, walks=True)

    def _arrived(self, key: object, reply: replies.Reply) -> None:
        """In the connection's thread."""
        size = None if reply.error else reply.size or directories.size(reply.results)
        self._line.ended(key, size, time.monotonic())
        self._replies.put(reply)

    def _next_ops(
        self, permits: int, trusted: int
    ) -> tuple[list[protocol.Op], list[Slot], int, int]:
        """The reads nearest to use, and how many of them are data reads: at most `permits`, and
        at most `trusted` from folders that are. A huge listing travels alone, one at a time."""
        ops: list[protocol.Op] = []
        slots: list[Slot] = []
        left, trusting = permits, 0
        self._request_bytes = 0
        while self._frontier and len(ops) < self._most:
            directory = self._frontier.first
            if directory.names is None:
                alone = listings.is_huge(directory)
                self._request_bytes += len(directory.path) + pacing.OP_BYTES
                if ops and (alone or self._request_bytes > self._session.request_size.most):
                    break
                self._frontier.pop()
                ops.append((protocol.GET_CHILDREN, directory.path))
                slots.append((directory, 0, 0))
                if alone:
                    self._listings.asked(directory)
                    break
            else:
                is_trusted = self._trust.has(directory)
                room = min(trusted - trusting if is_trusted else left, self._most - len(ops))
                taken, full = self._take_names(directory, room, ops, slots)
                if is_trusted:
                    trusting += taken
                else:
                    left -= taken
                if full:
                    break
        return ops, slots, permits - left, trusting

    def _take_names(
        self, directory: directories.Dir, room: int, ops: list[protocol.Op], slots: list[Slot]
    ) -> tuple[int, bool]:
        """Add reads of the first directory's next children: (how many, the request is full)."""
        names, start = directory.names or (), directory.read
        heavy = bool(self._heavy) and directory.path in self._heavy
        base = b"" if directory.is_whole else tree.join(directory.path, b"")
        end = start + (min(room, pacing.LARGE_BATCH) if heavy else room)
        some = names[start:end]
        if base:
            some = [base + name for name in some]
        most = self._session.request_size.most - self._request_bytes
        paths, size = directories.fitting(some, most, first=not ops)
        self._request_bytes += size
        if paths:
            ops += zip(itertools.repeat(protocol.GET_DATA), paths)
            slots.append((directory, start, len(paths)))
        directory.read = end = start + len(paths)
        self._frontier.pop()
        if end < len(names):
            self._frontier.add([(base + names[end], directory)])
        return len(paths), heavy or end < len(names)

    # --- replies -----------------------------------------------------------------------------

    def _process(self, reply: replies.Reply) -> None:
        self._in_flight -= 1
        if reply.error is not None:
            raise self._broken(reply.error)
        if reply.epoch != self._epoch:
            raise errors.SessionDoubt("the ZooKeeper session changed during a walk")
        before, self.zxid = self.zxid, max(self.zxid, reply.zxid)
        found = directories.Columns(reply.ops, reply.results)
        rows = found.rows
        slots, trusting = reply.tag
        self._trust.under_way -= trusting
        are_small = self._measured(found)
        plain = found.are_all and not (self._skip_ephemeral and any(rows.owners))
        at = 0
        for directory, start, count in slots:
            if not count:
                self._list(directory, rows.others[at])
                at += 1
                continue
            end = at + count
            self.held += count
            if isinstance(directory, window.Window):
                directory.saw(start, window.Part((before, self.zxid), found, at, end))
                at = end
                continue
            if not plain or any(rows.children[at:end]) or self._leads(directory):
                part = rows[at:end]
                directory.found[start : start + count] = part
                self._descend(directory, start, part)
            else:
                directory.found[start : start + count] = [True] * count
                directory.leaves[start] = found.leaves(at, end)
            if are_small:
                self._trust.saw(directory, count)
            at = end
        self._held_bytes += found.size
        self._frontier.add(self._ahead)
        self._ahead = []
        if found.size > pacing.LARGE_ANSWERS:
            self._heavy.update(directory.path for directory, _, _ in slots)

    def _measured(self, found: directories.Columns) -> bool:
        """What these sizes tell of the next; whether all values are small. A listing says nothing
        of the sizes of what it lists."""
        self.largest = max(self.largest, found.largest)
        if found.nodes:
            self._ramp.saw(found.size)
            each = found.size // found.nodes + pacing.STAT_BYTES
            self._each = max(each, self._each * 2 // 3)
            self._line.typical(each)
        if found.largest > pacing.KNOWN_SMALL:
            self._trust.lose()
            return False
        self._trust.row += found.nodes
        return True

    def _leads(self, directory: directories.Dir) -> bool:
        """Whether some of its children are not to be mirrored, but perhaps what is below them."""
        only = self._mapping.only
        return only is not None and not only(directory.path)

    def _descend(self, directory: directories.Dir, start: int, part: Sequence[tree.Result]) -> None:
        for place, node in enumerate(part, start):
            if isinstance(node, tree.Node) and node.children:
                sub = directory.subs[place] = directories.Dir(node.path, node.children)
                self._ahead.append((sub.path + b"/", sub))

    def _broken(self, error: errors.ZooKeeperError) -> errors.ZooKeeperError:
        """What ends the walk. Where it had trusted, the next one will not."""
        if self._trust.under_way and isinstance(error, errors.SessionDoubt):
            self._session.may_trust = False
        return self._listings.broken(error)

    def _list(self, directory: directories.Dir, result: tree.Listing | tree.Miss) -> None:
        self._listings.answered(directory)
        names: Sequence[bytes] = []
        if not isinstance(result, tree.Miss):
            which = own.wanted(self._mapping, directory.path)
            names = own.ordered(result, which, self._turn.beat)
        elif result is not tree.Miss.NO_NODE:
            self._denied(directory.path)
        directory.names = names
        directory.found = [None] * len(names)
        if names and not directory.is_list:
            self._ahead.append((tree.join(directory.path, names[0]), directory))

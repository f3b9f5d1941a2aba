"""All worker slots: what `lifecycle` decides is done here, and what happens is told to it."""

from __future__ import annotations

import dataclasses
import math
import selectors
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from multiprocessing import connection

from zk2etcd import messages
from zk2etcd.logs import logger
from zk2etcd.policy import lifecycle, reports
from zk2etcd.process import spawned

# Of the time to stop, what a worker may use itself; the rest is for its exit to be seen.
_DRAIN_SHARE = 0.9
_REAP_SECONDS = 2.0
_USAGE_EVERY = 1.0


# (slot, incarnation) -> a started child; raises OSError.
Spawn = Callable[[str, int], spawned.Child]


@dataclasses.dataclass
class Slot:
    """One slot; `told` is what its process was last sent, of whatever kind the caller compares.

    `trace_id` is that of its last start, with the end that made it necessary. `report` is the last
    one of the process that runs, `heard_at` when it came (monotonic).
    """

    name: str
    life: lifecycle.Worker = dataclasses.field(default_factory=lifecycle.Worker)
    child: spawned.Child | None = None
    last_exit: int | None = None
    report: messages.Report | None = None
    etcd: messages.Etcd | None = None
    """What its workers last said of etcd, those before this one too."""
    heard_at: float | None = None
    told: object = None
    seen: object = None
    """Of what `told` was found to be right, for as long as that stays the same."""
    killed: bool = False
    trace_id: str | None = None

    @property
    def takes_orders(self) -> bool:
        starting_or_running = (lifecycle.State.STARTING, lifecycle.State.RUNNING)
        return self.child is not None and self.life.state in starting_or_running


@dataclasses.dataclass(frozen=True)
class Heard:
    """A worker reported."""

    slot: str
    report: messages.Report


@dataclasses.dataclass(frozen=True)
class Seen:
    """A worker has read in etcd who is there."""

    slot: str
    told: messages.Gathered


@dataclasses.dataclass(frozen=True)
class Gone:
    """A slot's process was reaped; `code` is a signal as -N, None when it could not be started.
    `trace_id` stands in the lines about it and about the start that follows.

    `asked`: it had been told to stop, so its end is no failure, whatever the code.
    """

    slot: str
    code: int | None
    asked: bool
    trace_id: str | None = None


class Fleet:
    """Owned by the supervisor's loop. Times are monotonic.

    `reaped` is the highest incarnation seen dead, by slot (`messages.Assign.reaped`).
    """

    def __init__(self, spawn: Spawn, rules: lifecycle.Policy) -> None:
        self._spawn = spawn
        self._cause = ""
        self.rules = rules
        self.slots: dict[str, Slot] = {}
        self.reaped: dict[str, int] = {}
        self._usage: dict[str, tuple[int, float]] = {}
        self._usage_at = -math.inf
        self._measured: Set[str] = frozenset()

    def want(self, names: Iterable[str], now: float, cause: str = "") -> None:
        """Run exactly these slots: others drain and stop. `cause` is the trace id of what made it
        so, for the lines about those that start."""
        wanted = set(names)
        self._cause = cause
        for name in sorted(wanted - self.slots.keys()):
            self.slots[name] = Slot(name)
        for slot in self.slots.values():
            event = lifecycle.Wanted() if slot.name in wanted else lifecycle.Unwanted()
            self._feed(slot, event, now)
        self._cause = ""

    def poll(self, now: float) -> Iterator[Heard | Seen | Gone]:
        """What the workers said, and which ended, the last words of those included."""
        for slot in self.slots.values():
            if slot.child is None:
                continue
            slot.child.channel.flush()
            code = slot.child.exit_code()  # before the reading: nothing comes after it
            yield from self._heard(slot, now)
            if code is not None:
                yield self._reap(slot, code, now)

    def tick(self, now: float, stalled: float = 0.0) -> None:
        """Time passed; `stalled` seconds of it without this process."""
        for slot in self.slots.values():
            if stalled > 0:
                self._feed(slot, lifecycle.Stalled(stalled), now)
            self._feed(slot, lifecycle.Tick(), now)

    def hurry(self, now: float) -> None:
        """Kill whatever runs."""
        for slot in self.slots.values():
            self._feed(slot, lifecycle.Hurry(), now)

    def send(self, name: str, message: messages.Command) -> None:
        """Nothing if the slot has no process that takes orders."""
        slot = self.slots.get(name)
        if slot is not None and slot.takes_orders and slot.child is not None:
            slot.child.channel.send(message)

    def children(self) -> dict[str, spawned.Child]:
        """The running processes by slot."""
        return {slot.name: slot.child for slot in self.slots.values() if slot.child is not None}

    def usage(self, now: float) -> Mapping[str, tuple[int, float]]:
        """Resident bytes and CPU seconds by slot, measured anew once a second at most."""
        children = self.children()
        if now - self._usage_at >= _USAGE_EVERY or children.keys() != self._measured:
            self._usage_at, self._measured = now, children.keys()
            try:
                found = {slot: child.usage() for slot, child in children.items()}
            except OSError as error:  # it is for a gauge, and workers run on without
                found, why = {}, error.strerror or str(error)
                logger.get().warning("cannot measure the workers: tried again", error=why)
            self._usage = {slot: usage for slot, usage in found.items() if usage is not None}
        return self._usage

    def abandon(self) -> None:
        """Kill and reap all that still runs, outside of the loop."""
        children = self.children().values()
        for child in children:
            child.kill()
        deadline = time.monotonic() + _REAP_SECONDS
        for child in children:
            while child.exit_code() is None and time.monotonic() < deadline:
                connection.wait([child.sentinel], 0.05)

    def wait(self, wakeup: int, timeout: float) -> None:
        """Until a child speaks, takes what waits for it, or ends, or `wakeup` is readable."""
        with selectors.PollSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ)
            for child in self.children().values():
                selector.register(child.sentinel, selectors.EVENT_READ)
                if child.channel.broken is None:  # else it would be ready for ever
                    writing = selectors.EVENT_WRITE if child.channel.wants_write else 0
                    selector.register(child.channel, selectors.EVENT_READ | writing)
            selector.select(timeout)

    def etcd_cluster(self, endpoints: Sequence[str]) -> str:
        """The id of the cluster that workers met at these endpoints, "" if none said so yet."""
        told = (slot.etcd for slot in self.slots.values() if slot.etcd is not None)
        return next((e.cluster_id for e in told if e.cluster_id and e.endpoint in endpoints), "")

    def wakes_at(self) -> float | None:
        times = (lifecycle.wakes_at(slot.life, self.rules) for slot in self.slots.values())
        return min((time for time in times if time is not None), default=None)

    def _heard(self, slot: Slot, now: float) -> Iterator[Heard | Seen]:
        assert slot.child is not None
        for message in slot.child.channel.receive():
            if isinstance(message, messages.Report):
                slot.report, slot.heard_at = message, now
                slot.etcd = message.etcd or slot.etcd
                self._feed(slot, lifecycle.Reported(message.oldest_turn_seconds), now)
                yield Heard(slot.name, message)
            elif isinstance(message, messages.Gathered):
                yield Seen(slot.name, message)

    def _reap(self, slot: Slot, code: int, now: float) -> Gone:
        assert slot.child is not None
        asked = slot.life.state is lifecycle.State.STOPPING
        pid, incarnation = slot.child.pid, slot.life.incarnation
        if not slot.killed:
            slot.trace_id = logger.new_trace()
        slot.child.close()
        slot.child, slot.last_exit = None, code
        self.reaped[slot.name] = incarnation
        self._feed(slot, lifecycle.Exited(), now)
        delay = round(max(0.0, (slot.life.deadline or now) - now), 1)
        state, status = slot.life.state.value, reports.exit_status(code)
        ended = {"pid": pid, "status": status, "state": state, "restart_in_seconds": delay}
        self._say("info" if asked else "warning", "worker ended", slot, **ended)
        gone = Gone(slot.name, code, asked, slot.trace_id)
        slot.trace_id = None if asked else slot.trace_id  # what starts it again is another matter
        return gone

    def _feed(self, slot: Slot, event: lifecycle.Event, now: float) -> None:
        before = slot.life
        slot.life, actions = lifecycle.transition(before, event, now, self.rules)
        for action in actions:
            match action:
                case lifecycle.Action.SPAWN:
                    self._start(slot, now)
                case lifecycle.Action.DRAIN:
                    if slot.child is not None:
                        drain = messages.Drain(self.rules.stop_timeout * _DRAIN_SHARE)
                        slot.child.channel.send(drain)
                case lifecycle.Action.KILL:
                    self._kill(slot, before, now)

    def _start(self, slot: Slot, now: float) -> None:
        slot.report, slot.heard_at, slot.told, slot.killed = None, None, None, False
        slot.trace_id = slot.trace_id or logger.new_trace()
        cause = {"cause": self._cause} if self._cause else {}
        try:
            slot.child = self._spawn(slot.name, slot.life.incarnation)
        except OSError as error:
            self._say("error", "cannot start a worker", slot, error=str(error))
            self._feed(slot, lifecycle.Exited(), now)
            return
        pid, incarnation = slot.child.pid, slot.life.incarnation
        self._say("info", "worker started", slot, pid=pid, incarnation=incarnation, **cause)

    def _kill(self, slot: Slot, before: lifecycle.Worker, now: float) -> None:
        if slot.child is None or slot.killed:
            return
        silence = lifecycle.hung_for(before, now, self.rules)
        reason = "it did not stop in time"
        if silence is not None:
            reason = slot.child.channel.broken or f"its loop did not turn for {silence:.1f} s"
        slot.trace_id = logger.new_trace()
        self._say("warning", "killing worker", slot, pid=slot.child.pid, reason=reason)
        slot.killed = True
        slot.child.kill()

    def _say(self, level: str, what: str, slot: Slot, **fields: object) -> None:
        getattr(logger.get(slot=slot.name), level)(what, **fields, trace_id=slot.trace_id)

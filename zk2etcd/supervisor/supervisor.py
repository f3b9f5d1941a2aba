"""The supervisor: one loop that owns the workers, and whatever is asked of it between two turns.

It knows shards as units of work, and nothing of nodes or keys. All of its state belongs to the
main thread; other threads reach it through its `desk`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Sequence

from zk2etcd import cpus, errors, messages, scratch
from zk2etcd.logs import logger
from zk2etcd.policy import handover, lifecycle, roster, run_once
from zk2etcd.process import spawned, stacks
from zk2etcd.supervisor import (
    desk,
    fleet,
    instance,
    ordering,
    overview,
    pause_orders,
    placing,
    releasing,
    reloading,
    requests,
    signals,
)
from zk2etcd.view import control, published

# The loop turns at least this often (seconds), so that ages in the view are true.
LONGEST_WAIT = 0.5
# A turn this much later than that means that we were frozen, and the workers perhaps with us.
STALL_SECONDS = 2.0
_SHORTEST_WAIT = 0.01


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a supervisor is started with. `spawn` starts the child of a spec, see spawned.Child."""

    configuration: reloading.Configuration
    instance: str
    version: str
    folder: scratch.Nowhere
    spawn: Callable[[messages.WorkerSpec], spawned.Child] = spawned.Child
    once: bool = False
    dry_run: bool = False


class Supervisor:
    """`run` is the whole life; `turn` is one turn of it, for tests with children and a clock of
    their own."""

    def __init__(self, setup: Setup, now: float) -> None:
        cfg = setup.configuration.current
        self._setup = setup
        self._configuration = setup.configuration
        self._log = logger.get()
        self._started = (time.time(), now)
        self.turned_at = self._looked_at = now
        self._admin_url = ""
        self._roster = roster.Roster()
        self._exit_code = 0
        self.stopping = False
        self._refusal: str | None = None
        self._handover = handover.Handover()
        self._wishes, self._releases = pause_orders.Wishes(), releasing.Releases()
        self._fleet = fleet.Fleet(self._spawned, lifecycle.policy(cfg.workers))
        self._inbox = signals.Inbox(children=os.getpid() == 1)
        parts = self._configuration, self._roster, self._wishes, self._releases, self._fleet
        single = setup.once or setup.dry_run
        self._placing: placing.Placing | None = None
        if cfg.cluster.mode == "share" and not single:
            who = placing.Self(setup.instance, setup.version)
            self._placing = placing.Placing(who, self._handover, *parts)
        self._ordering = ordering.Ordering(
            self._configuration,
            self._roster,
            self._handover,
            self._fleet,
            once=setup.once,
            keeper=placing.KEEPER if self._placing is not None else "",
        )
        self.requests = requests.Requests(self, *parts, single)
        self.take_over()
        self.desk = desk.Desk(self.requests, self._view(), self._inbox.wake)

    def run(self, listen: control.Listen | None = None) -> int:
        """Serve the admin address, mirror until told to stop, and return the exit code.

        Raises errors.StartError, with no worker at work, when the address cannot be bound; and
        errors.NewerReader, with all workers ended, when a newer release has our keys in etcd.
        """
        with contextlib.ExitStack() as closing:
            closing.enter_context(self._inbox)
            listener = listen() if listen is not None else None
            if listener is not None:
                closing.callback(listener.close)
                self._admin_url = instance.admin_url(
                    listener.address, advertised=self._configuration.current.http.advertise
                )
            closing.callback(self._end)
            self._mirror(listener)
            self._log.info("stopped", exit_code=self._exit_code)
            logger.close()
        if self._refusal is not None:
            raise errors.NewerReader(self._refusal)
        return self._exit_code

    def _mirror(self, listener: control.Listener | None) -> None:
        try:
            while self.turn(time.monotonic(), self._inbox.take()):
                if listener is not None:  # it takes its time to load: the workers start meanwhile
                    listener.serve(self.desk)
                    listener = None
                self._wait(time.monotonic())
        except Exception:
            self._log.exception("the supervisor failed: this is a bug")
            raise

    def turn(self, now: float, arrived: Sequence[signal.Signals] = ()) -> bool:
        """Drain signals, reap, transition, reconcile. False when all is over."""
        stalled = now - self.turned_at - LONGEST_WAIT
        self.turned_at = now
        for number in arrived:
            self._obey(number, now)
        self.desk.serve()
        self._watch(now)
        self._hear(now, max(0.0, stalled))
        self._fleet.tick(now, stalled if stalled > STALL_SECONDS else 0.0)
        if not self.stopping:
            foreseen = 0
            if self._placing is not None:
                self._ordering.claimed(self._placing.turn(now))
                foreseen = self._placing.foreseen
            self._ordering.reconcile(now, foreseen)
        elif self._placing is None or self._placing.may_end(now):
            self._fleet.want((), now)
        self._conclude(now)
        self._setup.folder.tend(now)
        self.desk.turned(self._view, len(self._roster.shards))
        logger.tend()
        return not (self.stopping and not self._fleet.children())

    # --- what is asked by signals, and what the files say ---------------------------------------

    def _obey(self, number: signal.Signals, now: float) -> None:
        if number in signals.STOP:
            self._stop(number, now)
        elif number == signal.SIGHUP:
            self.requests.reload()
        elif number == signal.SIGUSR1:
            try:
                self.requests.full_sync(None)
            except (control.Conflict, control.Unavailable) as refusal:
                self._log.info("full sync asked for: there is none to do", reason=str(refusal))
        elif number == signal.SIGUSR2:
            children = self._fleet.children()
            stacks.ask({slot: child.pid for slot, child in children.items()})

    def _stop(self, number: signal.Signals, now: float) -> None:
        if self.stopping:
            self._log.warning("stopping at once", signal=number.name)
            self._exit_code = signals.INTERRUPTED
            self._fleet.want((), now)
            self._fleet.hurry(now)
            return
        timeout = self._configuration.current.workers.stop_timeout
        self._log.info("stopping", signal=number.name, timeout_seconds=timeout)
        self.stopping = True
        if self._setup.once:
            self._exit_code = signals.INTERRUPTED

    def _watch(self, now: float) -> None:
        every = self._configuration.current.reload.watch
        if every and now - self._looked_at >= every and not self.stopping:
            self._looked_at = now
            if self._configuration.touched():
                self._log.info("configuration file changed")
                self.requests.reload()

    # --- what the workers say -------------------------------------------------------------------

    def _hear(self, now: float, stalled: float) -> None:
        for event in self._fleet.poll(now):
            match event:
                case fleet.Heard(slot, report):
                    self._heard(slot, report, now)
                case fleet.Seen(_, told):
                    if self._placing is not None:
                        self._placing.gathered(told, now - stalled)
                case fleet.Gone():
                    self._lost(event)
        if os.getpid() == 1:
            spawned.reap_orphans(frozenset(c.pid for c in self._fleet.children().values()))

    def _heard(self, slot: str, report: messages.Report, now: float) -> None:
        for told in report.shards:
            if slot not in self._handover.holders(told.id):
                continue
            if self._placing is not None:
                self._placing.heard(told, now)
            worker = slot, report.incarnation
            for order in self._wishes.heard(told, now), self._releases.heard(told, worker, now):
                if order is not None:
                    self._fleet.send(slot, order)
            shard = self._wishes.shown(told)
            if self._roster.heard(shard, now):
                self._refused(shard.refusal)
        self._roster.synced(report)
        for let_go in self._handover.reported(slot, report.generation, report.held):
            self._roster.let_go(let_go)
        if self._placing is not None:
            self._placing.reported(report)
        self._refused(report.refusal)

    def _refused(self, why: str | None) -> None:
        """A newer release has our keys: let go of all shards, and end `run` with the reason."""
        if why is None or self.stopping:
            return
        self._log.error("refused: stopping", reason=why)
        self.stopping, self._refusal = True, why
        self._exit_code = errors.NewerReader.exit_code

    def _lost(self, gone: fleet.Gone) -> None:
        for shard in self._roster.shards:
            if gone.slot in self._handover.holders(shard):
                slot = self._roster.assignment.get(shard)
                self._roster.unschedule(shard)
                if slot != gone.slot:
                    self._roster.let_go(shard)
                elif self.stopping or self._ordering.is_done(shard):
                    continue
                elif gone.asked:  # its slot was emptied, and meant for it again before the end
                    self._roster.let_go(shard)
                else:
                    self._roster.orphan(shard, slot, gone.code, gone.trace_id)
        self._handover.reaped(gone.slot)

    # --- what shall be --------------------------------------------------------------------------

    def take_over(self) -> None:
        """Bring all that follows from the configuration up to it; what is unaffected stays."""
        cfg, ours = self._configuration.current, self._placing
        wanted = None if ours is None else ours.take_over(self._ordering.generation)
        self._roster.reshape(cfg, cpus.usable, self.turned_at, wanted)
        self._fleet.rules = lifecycle.policy(cfg.workers)
        self._wishes.keep(self._roster.shards)
        self._releases.keep(self._roster.shards)

    def _conclude(self, now: float) -> None:
        """With --once: stop when the result is known."""
        if not self._setup.once or self.stopping:
            return
        patience = 3 * self._configuration.current.state.lease_ttl
        failures = {slot.name: slot.life.failures for slot in self._fleet.slots.values()}
        waited = now - self._started[1]
        verdict = run_once.verdict(self._roster.reports.values(), failures, waited, patience)
        if verdict is None:
            return
        if verdict.reason:
            self._log.error("not equal", reason=verdict.reason)
        self.stopping, self._exit_code = True, verdict.exit_code
        self._fleet.want((), now)

    # --- the world outside ----------------------------------------------------------------------

    def _spawned(self, slot: str, incarnation: int) -> spawned.Child:
        spec = messages.WorkerSpec(
            identity=messages.Identity(self._setup.instance, slot, incarnation, self._admin_url),
            config=self._configuration.current,
            multiproc_dir=self._setup.folder.ready(),
            log_level=self._configuration.log_level,
            once=self._setup.once,
            dry_run=self._setup.dry_run,
            trace_id=self._fleet.slots[slot].trace_id or "",
            cluster=self._fleet.etcd_cluster(self._configuration.current.etcd.endpoints),
            shares=self._placing is not None,
        )
        return self._setup.spawn(spec)

    def _wait(self, now: float) -> None:
        """Until a signal, a request, a message, an exit, or the next time that matters."""
        ours = self._placing.wakes_at() if self._placing is not None else None
        times = self._fleet.wakes_at(), self._roster.wakes_at(), ours
        soonest = min((at for at in times if at is not None), default=now + LONGEST_WAIT)
        timeout = min(max(soonest - now, _SHORTEST_WAIT), LONGEST_WAIT)
        self._fleet.wait(self._inbox.fileno(), timeout)

    def _end(self) -> None:
        """However the loop ended: no request hangs, no worker stays."""
        self.desk.close()
        self._fleet.abandon()

    def publish(self) -> None:
        """Let the desk show what is so now."""
        self.desk.publish(self._view())

    def _view(self) -> published.View:
        now, wall_now = self.turned_at, time.time()
        slots, reports = list(self._fleet.slots.values()), self._roster.look(now)
        state: published.State = "stopping"
        if not self.stopping:
            waits, uptime = overview.backing_off(slots), now - self._started[1]
            state = overview.state(reports, waits, self._roster.settled, uptime)
        return published.View(
            version=self._setup.version,
            instance=self._setup.instance,
            pid=os.getpid(),
            started_at=self._started[0],
            state=state,
            config=self._configuration.view(),
            workers=overview.workers(slots, self._roster.assignment, self._fleet.usage(now), now),
            shards=overview.shards(self._roster, now, wall_now),
            last_turn_age=0.0,
            reloads=dict(self._configuration.counts),
            log_level=self._configuration.log_level,
            settings=self._configuration.settings,
            metrics_problem=self._setup.folder.problem,
            cluster=self._placing.shown(now) if self._placing is not None else None,
        )

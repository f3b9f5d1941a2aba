"""A worker process: one ZooKeeper session, one etcd client, and a mirror for each of its shards.

The supervisor says which shards; this loop makes it so, reports, and looks after the session. It
never waits for a server: what can take time happens in the mirrors' threads.
"""

from __future__ import annotations

import gc
import signal
import sys
import time
from multiprocessing.connection import Connection, wait

from zk2etcd import messages, metrics
from zk2etcd.config import models
from zk2etcd.logs import logger
from zk2etcd_workers import bell, heap, sides
from zk2etcd_workers.gathering import desk
from zk2etcd_workers.mirror import admission, mirror
from zk2etcd_workers.model import news, steps, told

_TURN, _ALONE = 0.2, 0.02
_SWITCH_INTERVAL, _CROWDED_INTERVAL = 0.0005, 0.005
_COLLECT_EVERY = 50_000
_STALL = 1.0
_STARTING = 0.1
"""Seconds of a turn for making mirrors of a target; then it reports, and goes on."""


def main(spec: messages.WorkerSpec, pipe: Connection) -> None:
    """The child's entry. Returns when it has let go of everything, or the supervisor is gone."""
    # A single change crosses three threads; the default of 5 ms a switch would be its latency.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # A walk makes many tuples and no cycles: looking for some every 700 tuples is for nothing.
    gc.set_threshold(_COLLECT_EVERY, 20, 50)
    heap.settle()
    logger.setup(spec.identity.slot, spec.config.log, spec.log_level)
    instruments = metrics.for_worker(spec.multiproc_dir, spec.identity.slot)
    if spec.dry_run:  # its lines are all that it is for
        logger.be_patient()
    worker = Worker(spec, pipe, instruments)
    # The supervisor drains us by a message; this is for an init system that signals all of us.
    signal.signal(signal.SIGTERM, lambda *_: worker.terminate())
    worker.run()


class Worker:
    def __init__(
        self, spec: messages.WorkerSpec, pipe: Connection, instruments: metrics.Instruments
    ) -> None:
        self._spec = spec
        self._let_go: dict[str, int] = {}
        """What was let go of over connections that are closed by now."""
        self._pipe = pipe
        self._instruments = instruments
        self._log = logger.get()
        self._mirrors: dict[str, mirror.Mirror] = {}
        self._made: list[mirror.Mirror] = []
        """Those of them that are not started yet."""
        self._admission = admission.Admission()
        self._news = news.News()
        self._target: messages.Assign | None = None
        self._reached: messages.Assign | None = None
        """The last one that was carried out in full: what runs is as it says."""
        self._sides: sides.Sides | None = None
        self._desk = desk.Desk(spec.identity)
        self._generation = 0
        self._trace = spec.trace_id
        self._deadline: float | None = None
        self._more = False
        """Of the target, mirrors are still to be made."""
        self._bell = bell.Bell()
        self._times = news.Times()
        self._turned, self._used = time.monotonic(), time.process_time()
        self._sweeper = heap.Sweeper()
        self._supervised = True
        self._terminated = False
        self._log_level = spec.log_level
        self._log_settings = spec.config.log

    def terminate(self) -> None:
        """Let go of everything and end, as after a `Drain`. Safe in a signal handler."""
        self._terminated = True

    def run(self) -> None:
        incarnation = self._spec.identity.incarnation
        self._log.info("worker runs", incarnation=incarnation, trace_id=self._trace)
        while not self._finished():
            wanted = 0.0 if self._more else min(self._times.until_hurried(time.monotonic()), _TURN)
            self._receive(wanted)
            if self._terminated and self._deadline is None:
                self._drain(self._spec.config.workers.stop_timeout)
            now = time.monotonic()
            self._turns(now, wanted)
            self._reconcile()
            if self._sides is not None:
                self._sides.session.tend(now)
            self._report()
            if (found := self._desk.take(self._generation)) is not None:
                self._send(found)
            self._instruments.tend()
            self._sweeper.tend(now, sum(each.failures for each in self._mirrors.values()))
            logger.tend()
        self._report(last=True)
        self._desk.close()
        if self._sides is not None:
            self._sides.close()
        self._bell.close()
        logger.close()

    def _finished(self) -> bool:
        """Draining, and everything is let go of, or the time for it is over."""
        if self._deadline is None:
            return False
        return not self._mirrors or time.monotonic() > self._deadline

    # --- commands ----------------------------------------------------------------------------

    def _receive(self, seconds: float) -> None:
        if not self._supervised:
            time.sleep(_ALONE)
            return
        try:
            if wait([self._pipe, self._desk.fileno(), self._bell.fileno()], seconds):
                while self._pipe.poll():
                    self._carry_out(self._pipe.recv())
        except (EOFError, OSError):
            # The supervisor is gone, so is our reason to be.
            self._supervised = False
            self._drain(2.0)
        if self._bell.was_rung():
            self._times.hurry()

    def _carry_out(self, command: messages.Command) -> None:
        self._times.expect(time.monotonic())
        match command:
            case messages.Assign():
                self._assigned(command)
                self._news = news.News()  # What was given away and back is thought to wait.
            case messages.FullSync(shards, trace_id):
                for shard in shards:
                    if (running := self._mirrors.get(shard)) is not None:
                        running.full_sync(trace_id)
            case messages.Release(shard):
                if (running := self._mirrors.get(shard)) is not None:
                    running.release(command)
            case messages.Pause(shard) | messages.Resume(shard):
                if (running := self._mirrors.get(shard)) is not None:
                    running.pause(command)
            case messages.SetLogLevel(level):
                self._log_level = level
                logger.set_level(level)
            case messages.Drain(timeout):
                self._drain(timeout)
            case messages.Standing() | messages.Offers():
                self._desk.carry_out(command)

    def _assigned(self, target: messages.Assign) -> None:
        if target.config.log != self._log_settings:
            self._log_settings = target.config.log
            logger.setup(self._spec.identity.slot, self._log_settings, self._log_level)
        # The first orders come of the start of this process, later ones of a reload.
        self._trace = self._trace if self._target is None else target.trace_id
        self._target = target

    def _drain(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._target = None
        for running in self._mirrors.values():
            running.stop()
        self._launch()

    # --- shards ------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Stop what is not wanted as it runs, and start what is missing once that has let go."""
        self._more = False
        gone = [name for name, each in self._mirrors.items() if each.ended and not each.alive]
        for shard_id in gone:
            del self._mirrors[shard_id]
        target = self._target
        if target is None or (target is self._reached and not gone):
            return
        fits = self._sides is not None and self._sides.fits(target.config)
        stop, start = steps.steps(target, self._running(), connected=fits)
        for shard_id in stop:
            running = self._mirrors[shard_id]
            if not running.context.turn.stopping:
                self._log.info("mirror stops", shard=shard_id, trace_id=self._trace)
            running.stop()
        if start is None:
            self._launch()  # What was only made, and is to stop, ends at once.
            return
        if not fits:
            self._reconnect(target.config)
        assert self._sides is not None
        self._sides.keep(self._desk, target.keeps)
        until = time.monotonic() + _STARTING
        for shard in start:
            if time.monotonic() > until:
                self._more = True
                return
            self._start(shard, target)
        self._launch()
        self._generation, self._reached = target.generation, target

    def _running(self) -> dict[str, steps.Running]:
        contexts = {shard_id: each.context for shard_id, each in self._mirrors.items()}
        return {
            shard_id: steps.Running(ctx.shard, ctx.config.sync, ctx.turn.stopping)
            for shard_id, ctx in contexts.items()
        }

    def _reconnect(self, settings: models.Config) -> None:
        known, cluster = self._spec.config.etcd.endpoints, self._spec.cluster
        if self._sides is not None:
            self._log.info("connection settings changed: connecting anew", trace_id=self._trace)
            known = self._sides.settings.etcd.endpoints
            cluster = self._sides.client.cluster.id
            self._let_go.update(self._sides.shared.left.let_go())
            self._desk.end()
            self._sides.close()
        # Other endpoints are a person's word that it is to be another cluster, perhaps.
        if settings.etcd.endpoints != known:
            cluster, self._let_go = "", {}
        self._sides = sides.Sides(settings, self._spec, self._instruments, cluster)

    def _start(self, shard: messages.Shard, target: messages.Assign) -> None:
        ours = self._sides
        assert ours is not None
        log = self._log.bind(shard=shard.id)
        ctx = ours.context(shard, target, self._spec, self._instruments, log)
        sides_of = {"source": shard.source, "target": shard.target}
        ctx.log.info("mirror starts", trace_id=self._trace, **sides_of)
        started = mirror.Mirror(
            ctx,
            self._reaped,
            ours.rounds,
            self._admission,
            once=self._spec.once,
            cause=self._trace,
            inherited=target.inherited.get(shard.id),
            strangers=ours.strangers,
        )
        started.facts.changed = self._bell.ring
        self._mirrors[shard.id] = started
        self._made.append(started)

    def _launch(self) -> None:
        """Start those that have been made: all at once, so that they are taken together."""
        made, self._made = self._made, []
        if len(made) > 1:
            sys.setswitchinterval(_CROWDED_INTERVAL)
        if self._sides is not None:
            self._sides.shared.claims.expect(len(made))
        for each in made:
            each.start()

    def _reaped(self) -> dict[str, int]:
        target = self._target
        return dict(target.reaped) if target is not None else {}

    def _turns(self, now: float, wanted: float) -> None:
        """Where we are late, there is too much to do for all of this process. When we did not turn
        at all, it stood still: nobody else hangs."""
        used, used_before = time.process_time(), self._used
        took, self._turned, self._used = now - self._turned, now, used
        self._admission.tend(took - wanted, (used - used_before) / max(took, 0.001))
        # Each thread that waits for its turn wakes up that often to ask for it.
        crowded = self._admission.is_crowded
        sys.setswitchinterval(_CROWDED_INTERVAL if crowded else _SWITCH_INTERVAL)
        if took > _STALL:
            for each in self._mirrors.values():
                each.context.turn.renew()
            if self._sides is not None:
                self._sides.rounds.turn.renew()

    # --- reports -----------------------------------------------------------------------------

    def _report(self, *, last: bool = False) -> None:
        now = time.monotonic()
        due = self._times.is_due(now)
        if not self._supervised or not (due or (last and self._spec.shares)):
            return
        used = time.thread_time()
        ours = self._sides
        protocol = ours.session.protocol if ours else None
        why = ours.session.why_classic if ours else ""
        running = list(self._mirrors.items())
        for _, each in running:
            if each.facts.course is not None:
                each.look(now)
        room = told.room(len(running))
        news_of, synced_at = self._news.of([each.state(shard) for shard, each in running])
        ages = [m.context.turn.age() for _, m in running if m.begun and not m.ended]
        ages += [self._desk.age, *([ours.rounds.age] if ours else ())]
        report = messages.Report(
            slot=self._spec.identity.slot,
            incarnation=self._spec.identity.incarnation,
            generation=self._generation,
            held=tuple(shard for shard, _ in running),
            shards=tuple(
                each.report(shard, protocol, why, room)
                for shard, each in running
                if shard in news_of
            ),
            synced_at=synced_at,
            oldest_turn_seconds=max(ages, default=0.0),
            zk_connected=bool(ours and ours.session.connected),
            etcd=messages.Etcd(ours.client.endpoint, ours.client.cluster.id) if ours else None,
            narrow=ours.narrow() if ours else None,
            let_go={**self._let_go, **(ours.shared.left.let_go() if ours else {})},
            untold=self._desk.untold,
            refusal=self._desk.refusal,
        )
        self._let_go = {}
        self._send(report)
        cost = time.thread_time() - used
        self._times.told(now, self._news.rest(cost), cost)

    def _send(self, message: messages.Report | messages.Gathered) -> None:
        try:
            self._pipe.send(message)
        except (BrokenPipeError, OSError):
            self._supervised = False
            self._drain(2.0)

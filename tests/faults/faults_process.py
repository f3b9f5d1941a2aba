"""Faults of zk2etcd's own processes: killed, frozen, doubled, told to move their shards."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time

import psutil

from tests.faults import drawing, world

KINDS = (
    drawing.Kind("kill_worker", 0.1, 1.0, 4),
    drawing.Kind("freeze_worker", 0.5, 6.0, 4),
    drawing.Kind("kill_supervisor", 0.1, 1.5, 2),
    drawing.Kind("freeze_supervisor", 0.5, 6.0, 2),
    drawing.Kind("stop_supervisor", 0.2, 1.0, 1),
    drawing.Kind("standby", 2.0, 6.0, 3),
    drawing.Kind("move_shards", 1.0, 4.0, 3),
    drawing.Kind("drop_prefix", 1.0, 4.0, 2),
    drawing.Kind("diff_fix", 1.0, 3.0, 2),
    drawing.Kind("metrics_gone", 0.2, 1.5, 2),
)


def inject(on: world.World, fault: drawing.Fault) -> None:
    """Do it, wait, and undo it."""
    luck = random.Random(fault.luck)
    steps = {
        "kill_worker": _kill_worker,
        "freeze_worker": _freeze_worker,
        "kill_supervisor": _kill_supervisor,
        "freeze_supervisor": _freeze_supervisor,
        "stop_supervisor": _stop_supervisor,
        "standby": _standby,
        "move_shards": _move_shards,
        "drop_prefix": _drop_prefix,
        "diff_fix": _diff_fix,
        "metrics_gone": _metrics_gone,
    }
    with on.restarting:
        steps[fault.kind](on, luck, fault.lasts)


def _supervisor(on: world.World, luck: random.Random) -> world.Supervisor:
    """One that runs; the first is started if none does."""
    alive = [each for each in on.supervisors if each.alive]
    if not alive:
        on.supervisors[0].start()
        return on.supervisors[0]
    return luck.choice(alive)


def _worker(on: world.World, luck: random.Random) -> psutil.Process | None:
    workers = _supervisor(on, luck).workers()
    return luck.choice(workers) if workers else None


def _kill_worker(on: world.World, luck: random.Random, lasts: float) -> None:
    for _ in range(luck.randint(1, 2)):
        worker = _worker(on, luck)
        if worker is not None:
            on.note(f"kill -9 worker {worker.pid}")
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
    time.sleep(lasts)


def _freeze_worker(on: world.World, luck: random.Random, lasts: float) -> None:
    worker = _worker(on, luck)
    if worker is None:
        return
    on.note(f"SIGSTOP worker {worker.pid}")
    with contextlib.suppress(psutil.NoSuchProcess):
        worker.send_signal(signal.SIGSTOP)
        time.sleep(lasts)
        worker.send_signal(signal.SIGCONT)


def _kill_supervisor(on: world.World, luck: random.Random, lasts: float) -> None:
    supervisor = _supervisor(on, luck)
    on.note(f"kill -9 supervisor {supervisor.pid}")
    on.lose_supervisor(supervisor)
    time.sleep(lasts)
    supervisor.start()


def _freeze_supervisor(on: world.World, luck: random.Random, lasts: float) -> None:
    """The supervisor alone, or with all its workers: as when a machine sleeps."""
    supervisor = _supervisor(on, luck)
    whole = luck.random() < 0.5
    on.note(f"SIGSTOP supervisor {supervisor.pid}{' and its workers' if whole else ''}")
    supervisor.freeze()
    for worker in supervisor.workers() if whole else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.send_signal(signal.SIGSTOP)
    time.sleep(lasts)
    on.thaw(supervisor)


def _stop_supervisor(on: world.World, luck: random.Random, lasts: float) -> None:
    supervisor = _supervisor(on, luck)
    on.note(f"SIGTERM supervisor {supervisor.pid}")
    supervisor.stop()
    time.sleep(lasts)
    supervisor.start()


def _standby(on: world.World, luck: random.Random, lasts: float) -> None:
    """A second supervisor joins; one of the two goes, well or badly."""
    for each in on.supervisors:
        if not each.alive:
            on.note("a second supervisor starts")
            each.start()
    time.sleep(lasts)
    going = luck.choice(on.supervisors)
    if luck.random() < 0.5:
        on.note(f"kill -9 supervisor {going.pid} of two")
        on.lose_supervisor(going)
    else:
        on.note(f"SIGTERM supervisor {going.pid} of two")
        going.stop()


def _move_shards(on: world.World, luck: random.Random, lasts: float) -> None:
    content = on.config()
    content["workers"]["count"] = luck.choice((1, 3, 4))
    on.note(f"SIGHUP: {content['workers']['count']} workers")
    on.reconfigure(content)
    time.sleep(lasts)
    on.reconfigure(on.config())


def _drop_prefix(on: world.World, luck: random.Random, lasts: float) -> None:
    """A prefix leaves the configuration and comes back: nothing of it may be deleted."""
    content = on.config()
    prefixes = content["sync"]["prefixes"]
    dropped = prefixes.pop(luck.randrange(len(prefixes)))
    on.note(f"SIGHUP: without {dropped['from']}")
    on.reconfigure(content)
    time.sleep(lasts)
    on.reconfigure(on.config())


def _diff_fix(on: world.World, luck: random.Random, lasts: float) -> None:
    """`diff --fix` beside the mirror, or, with the supervisor stopped, by itself."""
    supervisor = _supervisor(on, luck)
    alone = luck.random() < 0.4
    if alone:
        supervisor.stop()
    on.note(f"diff --fix{' with the supervisor stopped' if alone else ''}")
    on.diff("--fix", "--rounds", "1", timeout=max(lasts, 2.0) + 5)
    if alone:
        supervisor.start()


def _metrics_gone(on: world.World, luck: random.Random, lasts: float) -> None:
    """A system's cleaner takes the folder of the counters away, and then a worker dies."""
    supervisor = _supervisor(on, luck)
    for folder in supervisor.metrics_folders():
        on.note(f"{folder.name} is removed")
        shutil.rmtree(folder, ignore_errors=True)
    time.sleep(lasts)
    _kill_worker(on, luck, 0.0)

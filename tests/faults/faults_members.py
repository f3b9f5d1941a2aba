"""Faults of one supervisor of several that share, or of all at once: each says who is not well
meanwhile, and the others are to have no shard left alone."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Iterator, Sequence

import psutil

from tests import proxy
from tests.faults import drawing, world

ONE = (
    drawing.Kind("kill_one", 0.1, 5.0, 4),
    drawing.Kind("kill_its_worker", 0.5, 2.0, 3),
    drawing.Kind("freeze_one", 1.0, 9.0, 4),
    drawing.Kind("freeze_its_worker", 1.0, 8.0, 2),
    drawing.Kind("freeze_it_alone", 1.0, 9.0, 2),
    drawing.Kind("end_one", 0.2, 4.0, 3),
    drawing.Kind("without_etcd", 0.5, 8.0, 4),
    drawing.Kind("silent_etcd", 0.5, 4.0, 2),
    drawing.Kind("without_zookeeper", 0.5, 10.0, 4),
    drawing.Kind("reload_one", 1.0, 4.0, 2),
    drawing.Kind("forget_one", 1.0, 5.0, 2),
)
ALL = (
    drawing.Kind("cold_start", 0.1, 5.0, 2),
    drawing.Kind("reload_all", 1.0, 3.0, 1),
)
MEMBERS = (drawing.Kind("leader_frozen", 1.0, 6.0, 6),)
"""Only where etcd has several."""


def inject(on: world.World, fault: drawing.Fault) -> None:
    """Do it, wait, and undo it."""
    luck = random.Random(fault.luck)
    everybody = {
        "cold_start": _cold_start,
        "reload_all": _reload_all,
        "leader_frozen": _leader_frozen,
    }
    if fault.kind in everybody:
        everybody[fault.kind](on, luck, fault.lasts)
        return
    steps = {
        "kill_one": _kill_one,
        "kill_its_worker": _kill_its_worker,
        "freeze_one": _freeze_one,
        "freeze_its_worker": _freeze_its_worker,
        "freeze_it_alone": _freeze_it_alone,
        "end_one": _end_one,
        "without_etcd": _without_etcd,
        "silent_etcd": _silent_etcd,
        "without_zookeeper": _without_zookeeper,
        "reload_one": _reload_one,
        "forget_one": _forget_one,
    }
    with _mine(on, luck) as number:
        one = on.supervisors[number]
        with on.seen.hurting(number):
            if one.alive:
                steps[fault.kind](on, number, luck, fault.lasts)
            if not one.alive:
                one.start()


@contextlib.contextmanager
def _mine(on: world.World, luck: random.Random) -> Iterator[int]:
    """One that nobody else hurts now."""
    numbers = list(range(len(on.supervisors)))
    luck.shuffle(numbers)
    for number in numbers:
        if on.hands[number].acquire(blocking=False):
            break
    else:
        number = numbers[0]
        on.hands[number].acquire()
    try:
        yield number
    finally:
        on.hands[number].release()


@contextlib.contextmanager
def _everybody(on: world.World) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        for hand in on.hands:
            held.enter_context(hand)
        with on.seen.hurting():
            yield


# --- one of them ---------------------------------------------------------------------------------


def _kill_one(on: world.World, number: int, luck: random.Random, lasts: float) -> None:
    on.note(f"kill -9 m{number}")
    on.lose_supervisor(on.supervisors[number])
    # At once, its successor has the same name, and the keys of the dead are there still.
    time.sleep(0.0 if luck.random() < 0.3 else lasts)
    on.supervisors[number].start()


def _kill_its_worker(on: world.World, number: int, luck: random.Random, lasts: float) -> None:
    for _ in range(luck.randint(1, 2)):
        workers = on.supervisors[number].workers()
        if workers:
            on.note(f"kill -9 a worker of m{number}")
            with contextlib.suppress(*world.GONE):
                luck.choice(workers).kill()
        time.sleep(lasts / 2)


def _freeze_one(on: world.World, number: int, _luck: random.Random, lasts: float) -> None:
    """As when its machine sleeps."""
    on.note(f"SIGSTOP m{number} and its workers")
    one = on.supervisors[number]
    one.freeze()
    _signal(one.workers(), signal.SIGSTOP)
    time.sleep(lasts)
    on.thaw(one)
    on.note(f"SIGCONT m{number}")


def _freeze_its_worker(on: world.World, number: int, luck: random.Random, lasts: float) -> None:
    workers = on.supervisors[number].workers()
    if workers:
        on.note(f"SIGSTOP a worker of m{number}")
        chosen = [luck.choice(workers)]
        _signal(chosen, signal.SIGSTOP)
        time.sleep(lasts)
        _signal(chosen, signal.SIGCONT)


def _freeze_it_alone(on: world.World, number: int, _luck: random.Random, lasts: float) -> None:
    on.note(f"SIGSTOP m{number} without its workers")
    on.supervisors[number].freeze()
    time.sleep(lasts)
    on.supervisors[number].thaw()
    on.note(f"SIGCONT m{number}")


def _signal(processes: Sequence[psutil.Process], number: int) -> None:
    for each in processes:
        with contextlib.suppress(*world.GONE):
            each.send_signal(number)


def _end_one(on: world.World, number: int, _luck: random.Random, lasts: float) -> None:
    on.note(f"SIGTERM m{number}")
    on.supervisors[number].stop()
    on.note(f"m{number} has ended")
    time.sleep(lasts)
    on.supervisors[number].start()


def _without_etcd(on: world.World, number: int, _luck: random.Random, lasts: float) -> None:
    _away(on, f"m{number} has no way to etcd", on.ways[number].etcd, lasts)


def _without_zookeeper(on: world.World, number: int, _luck: random.Random, lasts: float) -> None:
    _away(on, f"m{number} has no way to ZooKeeper", on.ways[number].zookeeper, lasts)


def _away(on: world.World, what: str, ways: Sequence[proxy.Proxy], lasts: float) -> None:
    on.note(what)
    for each in ways:
        each.refuse()
    time.sleep(lasts)
    for each in ways:
        each.accept()
    on.note(f"{what}: it has again")


def _silent_etcd(on: world.World, number: int, _luck: random.Random, lasts: float) -> None:
    on.note(f"connections of m{number} to etcd have gone silent")
    for each in on.ways[number].etcd:
        each.mute()
    time.sleep(lasts)


def _reload_one(on: world.World, number: int, luck: random.Random, lasts: float) -> None:
    """Its shards move between its workers, and its part is another one."""
    content = on.config()
    content["workers"]["count"] = luck.choice((1, 3))
    on.note(f"SIGHUP m{number}: {content['workers']['count']} workers")
    on.reconfigure(content, on.supervisors[number])
    time.sleep(lasts)
    on.reconfigure(on.config(), on.supervisors[number])


def _forget_one(on: world.World, number: int, luck: random.Random, lasts: float) -> None:
    """A prefix leaves its configuration for a while, and others have it still."""
    content = on.config()
    prefixes = content["sync"]["prefixes"]
    dropped = prefixes.pop(luck.randrange(len(prefixes)))
    on.note(f"SIGHUP m{number}: without {dropped['from']}")
    on.reconfigure(content, on.supervisors[number])
    time.sleep(lasts)
    on.reconfigure(on.config(), on.supervisors[number])


# --- all of them ---------------------------------------------------------------------------------


def _cold_start(on: world.World, luck: random.Random, lasts: float) -> None:
    with _everybody(on):
        hard = luck.random() < 0.5
        on.note(f"all are ended{' by kill -9' if hard else ''}")
        for each in on.supervisors:
            on.lose_supervisor(each) if hard else each.stop()
        time.sleep(lasts)
        on.start_all()
        on.note("all are started")


def _reload_all(on: world.World, luck: random.Random, lasts: float) -> None:
    content = on.config()
    content["workers"]["count"] = luck.choice((1, 3))
    on.note(f"SIGHUP all: {content['workers']['count']} workers")
    with _everybody(on):
        on.reconfigure(content)
        time.sleep(lasts)
        on.reconfigure(on.config())


def _leader_frozen(on: world.World, _luck: random.Random, lasts: float) -> None:
    leader = next((each for each in on.etcds if each.leads()), None)
    if leader is None:
        return
    with on.seen.hurting():
        on.note(f"SIGSTOP etcd's leader {leader.address}")
        leader.freeze()
        time.sleep(lasts)
        leader.thaw()
        on.note(f"SIGCONT etcd {leader.address}")

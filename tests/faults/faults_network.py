"""Faults of the servers and of what lies between them and zk2etcd."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Sequence

from tests import proxy
from tests.faults import drawing, faults_restore, faults_unseen, world
from zk2etcd.sandbox import server_process

ZOOKEEPER = (
    drawing.Kind("zk_kill", 0.1, 2.0, 2),
    drawing.Kind("zk_freeze", 0.5, 5.0, 2),
    drawing.Kind("zk_cut", 0.1, 1.0, 3),
    drawing.Kind("zk_away", 0.5, 5.0, 2),
    drawing.Kind("zk_delay", 0.5, 3.0, 2),
    drawing.Kind("zk_hold", 0.5, 4.0, 2),
    drawing.Kind("recreate_root", 1.0, 3.0, 1),
    drawing.Kind("mass_delete", 1.5, 3.0, 2),
    drawing.Kind("stale_server", 0.5, 2.0, 3),
    drawing.Kind("zk_restore", 0.3, 2.0, 2),
    drawing.Kind("zk_silent", 0.5, 3.0, 2),
    drawing.Kind("zk_slow", 1.0, 4.0, 2),
)
ADMIN = (drawing.Kind("zk_put_back", 0.3, 3.0, 6),)
"""Only of a single ZooKeeper with an admin server."""
ENSEMBLE = (drawing.Kind("follower_lag", 1.0, 3.0, 8),)
ETCD = (
    drawing.Kind("etcd_kill", 0.1, 2.0, 2),
    drawing.Kind("etcd_freeze", 0.5, 5.0, 3),
    drawing.Kind("etcd_cut", 0.1, 1.0, 2),
    drawing.Kind("etcd_delay", 0.5, 4.0, 3),
    drawing.Kind("etcd_hold", 1.2, 5.0, 6),
    drawing.Kind("etcd_deaf", 0.5, 3.0, 3),
    drawing.Kind("etcd_restore", 0.3, 2.0, 3),
    drawing.Kind("etcd_silent", 0.5, 3.0, 2),
    drawing.Kind("etcd_slow", 1.0, 4.0, 2),
)
MEMBERS = (drawing.Kind("stray_member", 2.0, 5.0, 3),)
"""Only where etcd has several."""
_SLOW = 40_000
"""Bytes a second and direction."""
_KEEP = 0.7
"""Seconds of a hold of which the bytes are kept: less than a request's deadline, whose
cancellation would otherwise be let go right after the request."""


def inject(on: world.World, fault: drawing.Fault) -> None:
    """Do it, wait, and undo it."""
    luck = random.Random(fault.luck)
    steps = {
        "zk_kill": lambda: _kill(on, luck.choice(on.zookeepers), fault.lasts),
        "zk_freeze": lambda: _freeze(on, luck.choice(on.zookeepers), fault.lasts),
        "zk_cut": lambda: _cut(on, on.zk_proxies, fault.lasts),
        "zk_away": lambda: _away(on, on.zk_proxies, fault.lasts),
        "zk_delay": lambda: _delay(on, on.zk_proxies, luck, fault.lasts),
        "zk_hold": lambda: _hold(on, on.zk_proxies, luck.choice(("up", "down")), fault.lasts),
        "etcd_kill": lambda: _kill(on, luck.choice(on.etcds), fault.lasts),
        "etcd_freeze": lambda: _freeze(on, luck.choice(on.etcds), fault.lasts),
        "etcd_cut": lambda: _cut(on, _some(on.etcd_proxies, luck), fault.lasts),
        "etcd_delay": lambda: _delay(on, on.etcd_proxies, luck, fault.lasts),
        "etcd_hold": lambda: _hold_writes(on, luck, fault.lasts),
        "etcd_deaf": lambda: _hold(on, _some(on.etcd_proxies, luck), "down", fault.lasts),
        "recreate_root": lambda: faults_unseen.recreate_root(on, luck, fault.lasts),
        "mass_delete": lambda: faults_unseen.mass_delete(on, luck, fault.lasts),
        "stale_server": lambda: faults_unseen.stale_server(on, luck, fault.lasts),
        "zk_restore": lambda: faults_restore.zookeeper(on, luck, fault.lasts),
        "zk_put_back": lambda: faults_restore.put_back(on, luck, fault.lasts),
        "etcd_restore": lambda: faults_restore.etcd(on, luck, fault.lasts),
        "stray_member": lambda: faults_restore.stray_member(on, luck, fault.lasts),
        "zk_silent": lambda: _silent(on, on.zk_proxies, fault.lasts),
        "etcd_silent": lambda: _silent(on, _some(on.etcd_proxies, luck), fault.lasts),
        "zk_slow": lambda: _slow(on, on.zk_proxies, fault.lasts),
        "etcd_slow": lambda: _slow(on, on.etcd_proxies, fault.lasts),
        "follower_lag": lambda: _follower_lag(on, luck, fault.lasts),
    }
    steps[fault.kind]()


def _some(proxies: Sequence[proxy.Proxy], luck: random.Random) -> list[proxy.Proxy]:
    """At least one of them."""
    return luck.sample(list(proxies), luck.randint(1, len(proxies)))


def _kill(on: world.World, server: server_process.Server, lasts: float) -> None:
    on.note(f"kill -9 {server.name} {server.address}")
    server.kill()
    time.sleep(lasts)
    server.start()
    on.note(f"{server.name} {server.address} is back")


def _freeze(on: world.World, server: server_process.Server, lasts: float) -> None:
    on.note(f"SIGSTOP {server.name} {server.address}")
    server.freeze()
    time.sleep(lasts)
    server.thaw()
    on.note(f"SIGCONT {server.name} {server.address}")


def _cut(on: world.World, proxies: Sequence[proxy.Proxy], lasts: float) -> None:
    """Connections break again and again."""
    on.note("connections are cut")
    end = time.monotonic() + lasts
    while time.monotonic() < end:
        for each in proxies:
            each.cut()
        time.sleep(0.2)


def _away(on: world.World, proxies: Sequence[proxy.Proxy], lasts: float) -> None:
    """Nobody can be reached, for longer than a session at times."""
    on.note("servers are out of reach")
    for each in proxies:
        each.refuse()
    time.sleep(lasts)
    for each in proxies:
        each.accept()


def _delay(
    on: world.World, proxies: Sequence[proxy.Proxy], luck: random.Random, lasts: float
) -> None:
    """A pause between every read and its write, each endpoint's its own."""
    on.note("connections are slow")
    for each in proxies:
        each.delay(luck.uniform(0.02, 0.4), luck.choice(("up", "up", "down")))
    time.sleep(lasts)
    for each in proxies:
        each.delay(0.0, "both")


def _silent(on: world.World, proxies: Sequence[proxy.Proxy], lasts: float) -> None:
    """What stands carries nothing more and does not break, as behind a relay that lost its memory;
    new connections work."""
    on.note("connections that stand have gone silent")
    for each in proxies:
        each.mute()
    time.sleep(lasts)


def _slow(on: world.World, proxies: Sequence[proxy.Proxy], lasts: float) -> None:
    """A thin line."""
    on.note("the lines are thin")
    for each in proxies:
        each.throttle(_SLOW)
    time.sleep(lasts)
    for each in proxies:
        each.throttle(None)


def _hold(on: world.World, proxies: Sequence[proxy.Proxy], direction: str, lasts: float) -> None:
    """Requests wait on their way, or only their answers do."""
    on.note(f"bytes on their way {direction} are held")
    for each in proxies:
        each.hold(direction)
    time.sleep(lasts)
    for each in proxies:
        each.release(direction)
    on.note("what was held is let go")


def _hold_writes(on: world.World, luck: random.Random, lasts: float) -> None:
    """Requests to one member are held beyond their deadline, and land when their sender has long
    gone elsewhere. With a single member, new connections pass meanwhile."""
    held = luck.choice(on.etcd_proxies)
    on.note("writes are held, to be let go later")
    held.hold("up", _KEEP)
    if len(on.etcds) == 1:
        time.sleep(min(lasts, 1.0))
        held.divert()
        time.sleep(max(0.0, lasts - 1.0))
    else:
        time.sleep(lasts)
    held.release("up")
    on.note("held writes are let go")


def _follower_lag(on: world.World, luck: random.Random, lasts: float) -> None:
    """What the leader tells its followers is held while zk2etcd has to connect anew, after an
    expiry at times, and at times with a worker killed in the middle of its base."""
    held = _some(on.links, luck)
    on.note("followers lag behind")
    for each in held:
        each.hold("down")
    away = luck.random() < 0.5
    for each in on.zk_proxies:
        (each.refuse if away else each.cut)()
    time.sleep(min(lasts, 2.5) if away else 0.0)
    for each in on.zk_proxies:
        each.accept()
    if luck.random() < 0.4:
        workers = [w for each in on.supervisors if each.alive for w in each.workers()]
        if workers:
            on.note("and a worker is killed")
            with contextlib.suppress(*world.GONE):
                luck.choice(workers).kill()
    time.sleep(lasts)
    for each in held:
        each.release("down")
    on.note("followers catch up")

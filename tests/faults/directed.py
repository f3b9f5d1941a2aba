"""Directed scenarios: each brings about, by events that it controls, the one situation in which a
line of defence decides. The product passes all of them; a mutation of that line fails (self_check).

None of them hopes for a moment: bytes are held until something newer has happened, a server is a
copy that cannot know of it, a process is killed when etcd shows how far it came.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any

import kazoo.security

from tests import polling, proxy
from tests.faults import oracle, servers, shares, stage, world

_BLIND = [kazoo.security.make_acl("world", "anyone", write=True, create=True, admin=True)]
_OPEN = [kazoo.security.make_acl("world", "anyone", all=True)]
_LAGS = "lags"
_ON_ITS_WAY = 2.0
"""Seconds that a request needs to the server, where something is to happen meanwhile."""
_QUIET = 4.0
_SETTLED = ("following", "guarded")
_BULK_READ = re.compile(r"lop=MLTR,.*?lcxid=(0x[0-9a-f]+)")


def late_write(on: stage.Stage) -> None:
    """A write is held in the network while its sender is cut off, and lands after a newer one."""
    on.create()
    on.follows()
    on.etcd_proxy.hold()
    on.zk.set(stage.ROOT, b"1")
    on.held(b"1")
    on.etcd_proxy.divert()
    on.arrived(b"1")
    on.zk.set(stage.ROOT, b"2")
    on.arrived(b"2")
    on.let_go(b"1")
    on.zk.set(stage.ROOT, b"3")
    on.arrived(b"3")


def late_write_into_a_pause(on: stage.Stage) -> None:
    """A write is held in the network, its shard is paused, and only then the write comes out."""
    on.create()
    supervisor = on.follows()
    on.etcd_proxy.hold()
    on.zk.set(stage.ROOT, b"1")
    on.held(b"1")
    on.ask_for_a_pause(supervisor)
    on.etcd_proxy.divert()
    on.is_paused(supervisor)
    on.let_go(b"1")
    on.resume(supervisor)
    on.zk.set(stage.ROOT, b"2")
    on.arrived(b"2")


def killed_while_paused(on: stage.Stage) -> None:
    """kill -9 to the worker of a paused shard; its successor must not write either."""
    on.create()
    supervisor = on.follows()
    on.ask_for_a_pause(supervisor)
    on.is_paused(supervisor)
    on.zk.set(stage.ROOT, b"1")
    on.kill_worker(supervisor)
    on.would_land(b"1")
    on.resume(supervisor)
    on.arrived(b"1")


def unreadable(on: stage.Stage) -> None:
    """A node changes, and may not be read any more when it is to be read."""
    node = f"{stage.ROOT}/n"
    on.create("n", "beside")
    on.follows()
    on.zk_proxy.hold("up")
    on.zk.set(node, b"1")
    on.zk.set(f"{stage.ROOT}/beside", b"1")
    on.held(b"1", node, on.zk_proxy)
    on.zk.set_acls(node, _BLIND)
    on.zk_proxy.release("up")
    on.arrived(b"1", f"{stage.ROOT}/beside")
    on.would_land(None, node)
    on.zk.set_acls(node, _OPEN)
    on.zk.set(node, b"2")
    on.arrived(b"2", node)


def killed_in_a_base(on: stage.Stage) -> None:
    """kill -9 in the middle of a base; its successor can only reach a server that lacks what the
    dead one read."""
    names = [f"n{number:03}" for number in range(300)]
    on.create(*names)
    with on.twin() as behind:
        for name in names:
            on.zk.set_async(f"{stage.ROOT}/{name}", b"1")
        on.zk.set(stage.ROOT, b"1")
        supervisor = on.supervisor(
            etcd={"txn_ops": 10, "txn_in_flight": 1, "max_writes_per_second": 40}
        )
        polling.until(lambda: on.value(f"{stage.ROOT}/n030") == b"1", 30, what="part of a base")
        on.kill_worker(supervisor)
        assert on.value(f"{stage.ROOT}/n299") is None, "the base was over: this shows nothing"
        on.zk_proxy.retarget(behind.address)
        _refused_or(on, supervisor, lambda: on.value() == b"0")
        on.zk_proxy.heal()
    on.arrived(b"1", f"{stage.ROOT}/n299", 40)


def one_change_behind(on: stage.Stage) -> None:
    """The only server lacks a single change, and a new session there is a transaction: from then
    on its replies carry a zxid as high as any that was mirrored."""
    on.create()
    supervisor = on.follows()
    with on.twin() as behind:
        on.zk.set(stage.ROOT, b"1")
        on.arrived(b"1")
        on.kill_worker(supervisor)
        on.zk_proxy.retarget(behind.address)
        _refused_or(on, supervisor, lambda: on.value() == b"0")
        on.zk_proxy.heal()
    on.zk.set(stage.ROOT, b"2")
    on.arrived(b"2")


def standby_behind(on: stage.Stage) -> None:
    """A standby waits for a shard while its owner goes on, and reaches only a server that does not
    know how far that was."""
    on.create()
    owner = on.follows()
    with on.twin() as behind:
        way = proxy.Proxy(behind.address)
        on.proxies.append(way)
        standby = on.supervisor(zookeeper={"hosts": [way.address], "session_timeout": "60s"})
        polling.until(lambda: on.shard(standby).get("holder"), 20, what="it waits")
        for number in range(1, 21):
            on.zk.set(stage.ROOT, b"%d" % number)
        on.arrived(b"20")
        owner.stop()
        _refused_or(on, standby, lambda: on.value() == b"0")
        way.retarget(on.zookeeper.address)
        on.zk.set(stage.ROOT, b"21")
        on.arrived(b"21")


def claimed_beside_another(on: stage.Stage) -> None:
    """While a shard's claim is on its way, which nobody was in the way of, another shard of
    the same range is taken."""
    _claimed_beside_another(on)


def claimed_beside_another_that_shares(on: stage.Stage) -> None:
    """The same where supervisors share."""
    state = {"prefix": stage.STATE, "lease_ttl": f"{stage.SHARED_TTL:g}s"}
    _claimed_beside_another(on, cluster={"mode": "share"}, state=state)


def _claimed_beside_another(on: stage.Stage, **sections: dict[str, Any]) -> None:
    on.create()
    other = f"{stage.STATE}/owners/other".encode()
    said = {"instance": "other", "slot": "w0", "incarnation": 1, "target": stage.ROOT}
    document = json.dumps({"v": 1, "admin": "", **said}).encode()
    taken = threading.Event()

    def sees(sent: bytes) -> None:
        # What an owner key says; a look at the owners does not.
        if b'"epoch"' in sent and not taken.is_set():
            taken.set()
            assert on.hand.write({other: document})

    way = proxy.Proxy(on.etcd.address)
    way.sees = sees
    on.proxies.append(way)
    supervisor = on.supervisor(etcd={"endpoints": [f"http://{way.address}"]}, **sections)

    def decided() -> bool:
        shard = on.shard(supervisor)
        return bool(shard.get("holder") or shard.get("owned"))

    polling.until(decided, 30, what="it is taken, or waited for")
    assert taken.is_set(), "no claim was seen: this shows nothing"
    assert on.hand.write({}, [other])
    on.arrived(b"0")


def out_of_order(on: stage.Stage) -> None:
    """A write waits in the network on one way to etcd, and a later one overtakes it on another:
    a call before both was not answered, so the client goes the other way by then."""
    patience = 4.0
    ahead, behind = f"{stage.ROOT}/ahead", f"{stage.ROOT}/behind"
    on.create("ahead", "behind")
    other = proxy.Proxy(on.etcd.address)
    on.proxies.append(other)
    ways = [f"http://{each.address}" for each in (on.etcd_proxy, other)]
    supervisor = on.follows(etcd={"endpoints": ways, "request_timeout": f"{patience:g}s"})
    on.etcd_proxy.hold()
    # The owner key is asked for every two seconds; that is the call which goes unanswered.
    before = time.monotonic()
    polling.until(lambda: time.monotonic() > before + patience - 0.3)
    on.zk.set(behind, b"1")
    polling.until(lambda: _asks(supervisor) == ways[1], what="the other way is taken")
    assert on.value(behind) == b"0", "it was not held: the scenario shows nothing"
    on.zk.set(ahead, b"1")
    on.arrived(b"1", ahead, patience)
    on.etcd_proxy.release()
    on.arrived(b"1", behind)


def _asks(supervisor: world.Supervisor) -> str:
    """The endpoint of etcd that its worker asks."""
    (worker,) = supervisor.status()["workers"]
    return str(worker["etcd"]["endpoint"])


def full_sync_beside_a_change(on: stage.Stage) -> None:
    """A full sync has read a node when it changes; its way to etcd is longer than the change's."""
    on.create()
    supervisor = on.follows()
    assert on.hand.write({stage.ROOT.encode(): b"tampered"})
    on.etcd_proxy.delay(0.4)
    on.zk_proxy.hold("down")
    # What is asked each second, the root's read too, is under way by then, and not asked again.
    polling.until(lambda: on.zk_proxy.waiting, what="freshness is asked for")
    quiet = time.monotonic() + 0.3
    polling.until(lambda: time.monotonic() > quiet)
    before = _bulk_read(on)
    supervisor.ask("/full-sync", {})
    polling.until(lambda: _bulk_read(on) not in ("", before), 20, every=0.005, what="it has read")
    on.zk.set(stage.ROOT, b"1")
    on.zk_proxy.release("down")
    on.arrived(b"1")
    on.would_land(b"0")
    on.etcd_proxy.delay(0.0)
    on.zk.set(stage.ROOT, b"2")
    on.arrived(b"2")


def only_in_etcd(on: stage.Stage) -> None:
    """A full sync meets far more keys in etcd than ZooKeeper has there: what it reads beside some
    nodes comes in several pages."""
    on.create(*(f"n{number:02}" for number in range(100)))
    supervisor = on.follows(
        sync={
            "prefixes": [stage.ROOT],
            "full_sync_interval": "0s",
            "delete_guard": {"max_ratio": 1},
        }
    )
    for part in range(3):
        names = range(part * 100, part * 100 + 100)
        assert on.hand.write({b"%s/n10-%03d" % (stage.ROOT.encode(), each): b"" for each in names})
    before = on.shard(supervisor)["last_full_sync"]
    supervisor.ask("/full-sync", {})
    polling.until(lambda: on.shard(supervisor)["last_full_sync"] != before, 30, what="it is done")
    if not on.converges():
        text = "a full sync ended, and did not see all that only etcd has"
        on.violations.append(oracle.Violation("I4", "overlooked", stage.ROOT, text))


def a_stranger_beside_ours(on: stage.Stage) -> None:
    """A stranger writes while a Txn of ours is on its way, which etcd then answers with a later
    revision; there is no full sync that would see it."""
    stranger = f"{stage.ROOT}/n"
    on.create("n")
    sync = {"prefixes": [stage.ROOT], "full_sync_interval": "0s", "drift": "watch"}
    supervisor = on.follows(sync=sync)
    polling.until(lambda: _is_watched(on, supervisor), 15, what="it is watched")
    for number in range(3):
        ours = b"%d" % (number + 1)
        on.etcd_proxy.hold()
        on.zk.set(stage.ROOT, ours)
        on.held(ours)
        assert on.hand.write({stranger.encode(): b"theirs"})
        on.etcd_proxy.release()
        on.arrived(ours)
        try:
            on.arrived(b"0", stranger, 5.0 + number)
        except AssertionError:
            text = "a stranger wrote it, and nobody put it right"
            on.violations.append(oracle.Violation("I4", "strange", stranger, text))
            on.zk.set(stranger, b"1")
            return


def _is_watched(on: stage.Stage, supervisor: world.Supervisor) -> bool:
    told = on.shard(supervisor).get("drift")
    return told is not None and told["why"] is None


def guard_over_a_crash(on: stage.Stage) -> None:
    """The guard holds deletes; the tree fills up again, so that they would be few; and the worker
    that knew of them is killed."""
    names = [f"n{number:02}" for number in range(40)]
    on.create(*names)
    supervisor = on.follows(
        sync={
            "prefixes": [stage.ROOT],
            "full_sync_interval": "0s",
            "delete_guard": {"min_deletes": 25, "max_ratio": 0.3},
        }
    )
    on.zk_proxy.refuse()
    gone = [f"{stage.ROOT}/{name}" for name in names[:30]]
    for path in gone:
        on.zk.delete(path)
    on.zk_proxy.accept()
    polling.until(lambda: on.shard(supervisor).get("guard"), 20, what="the guard tripped")
    for number in range(200):
        on.zk.create_async(f"{stage.ROOT}/more{number:03}", b"0")
    on.zk.create(f"{stage.ROOT}/end", b"0")
    on.arrived(b"0", f"{stage.ROOT}/end")
    # Not from status, which shows the dead worker's last word until its successor reports.
    before = len(supervisor.events("base done"))
    on.kill_worker(supervisor)
    polling.until(lambda: len(supervisor.events("base done")) > before, 30, what="another base")
    polling.until(lambda: on.shard(supervisor).get("phase") in _SETTLED, 20, what="its report")
    for path in gone:
        if on.value(path) is None:
            text = "deleted without a release, although the guard had held it"
            on.violations.append(oracle.Violation("I2", "guard", path, text))
    _release(on, supervisor)
    polling.until(lambda: on.value(gone[0]) is None, 20, what="what was released is deleted")


def put_back_unseen(on: stage.Stage) -> None:
    """etcd is put back to an earlier state of itself, and others write so much before zk2etcd asks
    again that its revision says nothing; in ZooKeeper nothing happens any more."""
    on.create()
    on.follows(state={"prefix": stage.STATE, "lease_ttl": "120s"})

    def lost() -> None:
        on.zk.set(stage.ROOT, b"1")
        on.arrived(b"1")

    on.put_back(lost)
    for _ in range(100):
        assert on.hand.write({})
    on.etcd_proxy.accept()
    try:
        on.arrived(b"1", timeout=10.0)
    except AssertionError:
        text = "etcd was put back to an earlier state, and stayed as it was"
        on.violations.append(oracle.Violation("I4", "restored", stage.ROOT, text))
        on.zk.set(stage.ROOT, b"2")


def stray_cluster(on: stage.Stage) -> None:
    """The member that is in use goes away, and what answers at the next endpoint is a cluster by
    itself, with nothing in it."""
    on.create()
    with on.stray() as stray:
        ways = [f"http://{on.etcd_proxy.address}", f"http://{stray.address}"]
        supervisor = on.follows(etcd={"endpoints": ways, "request_timeout": "2s"})
        stray.start()
        on.etcd_proxy.refuse()
        on.zk.set(stage.ROOT, b"1")
        told = stray.cluster_id()
        polling.until(lambda: stray.revision() > 1 or told in str(on.shard(supervisor)), 40)
        if stray.revision() > 1:
            text = f"{stray.address} is another cluster, and was written to"
            on.violations.append(oracle.Violation("I5", "astray", stage.ROOT, text))
        on.etcd_proxy.accept()
        on.arrived(b"1", timeout=30.0)


def full_etcd(on: stage.Stage) -> None:
    """Others who write to etcd are told that it is full, in the middle of a first sync."""
    count, size = 6_000, 2_000
    on.has_quota(count * size // 3)
    on.create(*(f"n{number:04}" for number in range(count)), value=b"v" * size)
    on.etcd_proxy.delay(0.05)
    supervisor = on.supervisor(etcd={"txn_in_flight": 1})
    polling.until(lambda: not on.hand.write({b"outside": b"x"}), 30, every=0.02, what="full")
    assert on.hand.out_of_space(), "it is not full: this shows nothing"
    told = on.etcd.revision()
    last = f"{stage.ROOT}/n{count - 1:04}"
    assert on.value(last) is None, "the sync was over: this shows nothing"
    polling.until(
        lambda: on.value(last) or "space exceeded" in str(on.shard(supervisor).get("error")),
        30,
        what="it is told, too",
    )
    below = f"{stage.ROOT}/".encode()
    late = [e.key for e in list(on.watcher.events) if e.revision > told and e.key.startswith(below)]
    if late:
        text = f"{len(late)} keys were put after others had been told that etcd is full"
        on.violations.append(oracle.Violation("I6", "quota", late[0].decode(), text))
    on.etcd_proxy.delay(0.0)
    on.has_quota(None)
    on.arrived(b"v" * size, last, 30.0)


def swapped_ensemble(on: stage.Stage) -> None:
    """Another ensemble answers, with the same root, other contents, and a higher zxid."""
    names = [f"n{number}" for number in range(5)]
    on.create(*names)
    supervisor = on.follows()
    with on.stranger([(stage.ROOT, b"another's"), (f"{stage.ROOT}/theirs", b"0")]) as other:
        _answers_for_a_while(on, supervisor, other, believed=b"another's", later=b"1")
    _release(on, supervisor)
    on.arrived(b"1")


def put_back(on: stage.Stage) -> None:
    """An earlier state of the ensemble answers, with a higher zxid: all births are the same."""
    on.create("n")
    supervisor = on.follows()
    with on.twin() as other:
        on.zk.set(stage.ROOT, b"1")
        on.arrived(b"1")
        on.log_more(other)
        _answers_for_a_while(on, supervisor, other, believed=b"0", later=b"2")
    _release(on, supervisor)
    on.arrived(b"2")


def armed_beside_a_change(on: stage.Stage) -> None:
    """The classic protocol: a leaf has been read, and the watch on its children is still on its way
    to the server when a child is made."""
    leaf = f"{stage.ROOT}/n"
    on.create()
    on.follows(zookeeper={"protocol": "classic"})
    on.zk_proxy.delay(_ON_ITS_WAY)
    on.zk.create(leaf, b"1")
    on.arrived(b"1", leaf, 4 * _ON_ITS_WAY + 10)
    on.zk.create(f"{leaf}/below", b"1")
    over = time.monotonic() + 5 * _ON_ITS_WAY
    below = f"{leaf}/below"
    polling.until(lambda: on.value(below) or time.monotonic() > over, 6 * _ON_ITS_WAY)
    if on.value(below) is None:
        text = "it was made while its parent's watch was armed, and nothing told of it"
        on.violations.append(oracle.Violation("I4", "missed", below, text))


def changed_while_cut(on: stage.Stage) -> None:
    """The classic protocol: nodes change while the connection is broken, and what has changed is
    asked for over the next one. A walk that comes after it is to find nothing."""
    node = f"{stage.ROOT}/n"
    on.create("n")
    supervisor = on.follows(zookeeper={"protocol": "classic"})
    for value in (b"1", b"2", b"3"):
        # A connection that breaks by itself, too, has a base look at everything.
        bases = len(supervisor.events("base done"))
        on.synced_at(supervisor, on.synced_at(supervisor, ""))
        on.zk_proxy.refuse()
        on.zk.set(node, value)
        on.zk.create(f"{node}/{value.decode()}", value)
        on.zk_proxy.heal()
        done = _walked(supervisor, bases)
        if "missed" in done[0]:
            break
    else:
        raise AssertionError("it was never asked: this shows nothing")
    on.arrived(value, node)
    if missed := done[0]["missed"]:
        text = f"{missed} changes were not told of when ZooKeeper was asked what had changed"
        on.violations.append(oracle.Violation("I4", "missed", node, text))


def _walked(supervisor: world.Supervisor, bases: int) -> Sequence[dict[str, Any]]:
    """The line of a full sync, or of a base after so many."""
    return polling.until(
        lambda: supervisor.events("full sync done") or supervisor.events("base done")[bases:],
        60,
        what="a walk",
    )


def _answers_for_a_while(
    on: stage.Stage,
    supervisor: world.Supervisor,
    other: servers.ZooKeeper,
    *,
    believed: bytes,
    later: bytes,
) -> None:
    """Another history answers until it is held, or believed: then the root has that value in etcd.
    After it ours goes on, with `later` at the root."""
    on.zk_proxy.retarget(other.address)
    polling.until(
        lambda: on.shard(supervisor).get("guard") or on.value() == believed, 20, what="seen"
    )
    # Beyond what the other one told, or the session would not come back.
    for _ in range(400):
        on.zk.set_async(stage.ROOT, later)
    on.zk.set(stage.ROOT, later)
    on.zk_proxy.heal()


def _release(on: stage.Stage, supervisor: world.Supervisor) -> None:
    """What a person does who has looked, if the guard holds."""
    guard = on.shard(supervisor).get("guard")
    if not guard:
        return
    shard = supervisor.shard_id(stage.ROOT)
    on.released[guard["id"]] = time.time()
    answer = supervisor.ask(f"/shards/{shard}/release", {"trip": guard["id"]})
    assert answer[0] == 202, answer


def _refused_or(
    on: stage.Stage, supervisor: world.Supervisor, happened: Callable[[], bool]
) -> None:
    """Return when the server that is behind was refused, and said so; or when it was believed."""
    polling.until(
        lambda: happened() or _LAGS in str(on.shard(supervisor).get("error")),
        30,
        what="the server that is behind was refused",
    )


def _bulk_read(on: stage.Stage) -> str:
    """The number of zk2etcd's last request, as the server tells it, if it was a bulk read."""
    lines = on.zookeeper.ask("cons").decode("utf-8", "replace").splitlines()
    own = f"sid=0x{on.zk.client_id[0]:x},"
    found = [_BULK_READ.search(line) for line in lines if own not in line]
    return next((match[1] for match in found if match), "")


def moved_to_who_joins(on: stage.Stage) -> None:
    """A second supervisor comes and gets its part, while all changes."""
    names = [f"n{number}" for number in range(16)]
    on.create(*names)
    on.shared(0).start()
    polling.until(lambda: on.parts() == [stage.SHARED], 30, what="the first has all")
    on.shared(1).start()
    number = 0

    def even() -> bool:
        nonlocal number
        number += 1
        for name in names:
            on.zk.set_async(f"{stage.ROOT}/{name}", b"%d" % number)
        on.zk.set(stage.ROOT, b"%d" % number)
        return on.parts() == [2, 2]

    polling.until(even, 40, every=0.02, what="each has its part")
    even()
    on.arrived(b"%d" % number)


def offered_to_who_does_not_answer(on: stage.Stage) -> None:
    """A second supervisor comes, is frozen before it is offered anything, and long after wakes."""
    on.create()
    on.shared(0).start()
    polling.until(lambda: on.parts() == [stage.SHARED], 30, what="the first has all")
    seen = on.seen
    assert seen is not None
    with seen.hurting(1):
        second = on.shared(1)
        second.start()
        polling.until(lambda: "m1" in _labels(on).values(), 30, what="the second is there")
        frozen = [*second.workers()]
        second.freeze()
        for each in frozen:
            each.suspend()
        seen.began = time.time()
        polling.until(lambda: _offers(on), 30, what="it is offered something")
        gone = time.monotonic() + 2 * (stage.SHARED_TTL + shares.SLACK) + 1.0
        polling.until(lambda: not _offers(on) or time.monotonic() > gone, 60)
        for each in frozen:
            each.resume()
        second.thaw()
    on.zk.set(stage.ROOT, b"1")
    on.arrived(b"1")


def started_together(on: stage.Stage) -> None:
    """Three start at once, one is killed, and comes again; then nothing happens for a while."""
    on.create(*(f"n{number}" for number in range(8)))
    started = [on.shared(number) for number in range(3)]
    with futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda each: each.start(), started))
    polling.until(lambda: on.parts() == [1, 1, 2], 40, what="each has its part")
    seen = on.seen
    assert seen is not None
    seen.began = time.time()
    with seen.hurting(2):
        started[2].kill()
        on.zk.set(stage.ROOT, b"1")
        polling.until(lambda: on.parts() == [2, 2], 40, what="two have all")
        started[2].start()
        polling.until(lambda: on.parts() == [1, 1, 2], 60, what="each has its part again")
    on.arrived(b"1")
    begin = time.time()
    polling.until(lambda: time.time() > begin + _QUIET, 30)
    if not seen.stood_still(begin - shares.GRACE, time.time()):
        seen.still.append(shares.Span(begin, time.time()))


def _offers(on: stage.Stage) -> set[bytes]:
    last = oracle.last_values(list(on.watcher.events))
    below = f"{stage.STATE}/offers/".encode()
    return {key for key, value in last.items() if key.startswith(below) and value is not None}


def _labels(on: stage.Stage) -> Mapping[str, str]:
    return shares.labels(list(on.watcher.events), stage.STATE)


SCENARIOS: Mapping[str, Callable[[stage.Stage], None]] = {
    each.__name__: each
    for each in (
        late_write,
        late_write_into_a_pause,
        killed_while_paused,
        unreadable,
        killed_in_a_base,
        one_change_behind,
        standby_behind,
        claimed_beside_another,
        claimed_beside_another_that_shares,
        out_of_order,
        full_sync_beside_a_change,
        only_in_etcd,
        a_stranger_beside_ours,
        guard_over_a_crash,
        put_back_unseen,
        stray_cluster,
        full_etcd,
        swapped_ensemble,
        put_back,
        armed_beside_a_change,
        changed_while_cut,
        moved_to_who_joins,
        offered_to_who_does_not_answer,
        started_together,
    )
}

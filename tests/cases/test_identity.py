"""Who is it? An ensemble that is not the one that was mirrored, or an earlier state of it, gets
nothing written; and one that merely lives as ZooKeepers do is never taken for another."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import kazoo.client
import kazoo.exceptions
import kazoo.security
import pytest

from tests import copies, ensemble, polling
from tests.acceptance import conftest, installed
from tests.integration import observing
from zk2etcd.sandbox import servers

Change = Callable[[kazoo.client.KazooClient, str], object]
QUICK = {"session_timeout": "2s", "connect_timeout": "2s"}


@contextlib.contextmanager
def client(addresses: Sequence[str]) -> Iterator[kazoo.client.KazooClient]:
    """One that knows nothing of what was before."""
    zk = observing.connected(",".join(addresses), 10.0)
    try:
        yield zk
    finally:
        zk.stop()
        zk.close()


def filled(zk: kazoo.client.KazooClient, root: str, count: int = 1000) -> None:
    zk.ensure_path(root)
    observing.seed(zk, [(f"{root}/n{number}", b"old") for number in range(count)])


def sets(zk: kazoo.client.KazooClient, root: str) -> None:
    for number in range(50):
        zk.set(f"{root}/n{number}", b"new")


def creates(zk: kazoo.client.KazooClient, root: str) -> None:
    for number in range(50):
        zk.create(f"{root}/late{number}", b"1")


def deletes(zk: kazoo.client.KazooClient, root: str) -> None:
    for number in range(990, 1000):
        zk.delete(f"{root}/n{number}")


def everything(zk: kazoo.client.KazooClient, root: str) -> None:
    for change in (sets, creates, deletes):
        change(zk, root)


def made_anew(zk: kazoo.client.KazooClient, root: str) -> None:
    for number in range(5):
        zk.delete(f"{root}/n{number}")
        zk.create(f"{root}/n{number}", b"again")


def mirror(
    supervise: conftest.Supervise,
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefixes: Sequence[str | Mapping[str, Any]],
    state: str,
    /,
    **sections: Mapping[str, Any],
) -> installed.Supervisor:
    content = installed.settings(zookeeper, etcd, prefixes, state={"prefix": f"zk2etcd{state}"})
    content = installed.laid_over(content, zookeeper=QUICK)
    return supervise(installed.laid_over(content, **sections))


def outside(etcd: servers.Etcd) -> observing.Etcd:
    return observing.Etcd(etcd.address)


def wait_equal(
    zk: kazoo.client.KazooClient,
    kept: observing.Etcd,
    root: str,
    seconds: float = 15.0,
    besides: str = "",
) -> None:
    """Both sides are equal, the node `besides` apart."""

    def equal() -> bool:
        wanted = {path.encode(): value for path, value in observing.nodes(zk, root)}
        present = kept.values(root)
        if besides:
            present.pop(besides.encode())
            wanted.pop(besides.encode())
        return present == wanted

    polling.until(equal, seconds, what=f"{root} equal on both sides")


def start_equal(
    supervisor: installed.Supervisor,
    zk: kazoo.client.KazooClient,
    kept: observing.Etcd,
    root: str,
) -> None:
    """Start it, and return when it follows and both sides are equal."""
    supervisor.start()
    supervisor.wait_following()
    wait_equal(zk, kept, root)


def log_more(zk: kazoo.client.KazooClient, transactions: int) -> None:
    """Log so many, of nothing that is mirrored."""
    for _ in range(transactions // 2):
        zk.create("/filler", b"")
        zk.delete("/filler")


def held(supervisor: installed.Supervisor, root: str, seconds: float = 40.0) -> dict[str, Any]:
    """The trip that holds this shard, once there is one."""
    found = polling.until(lambda: supervisor.shards()[root]["guard"], seconds, what="a trip")
    assert found["kind"] == "identity", found
    assert found["reason"].startswith("identity:"), found
    return dict(found)


def settled(supervisor: installed.Supervisor, root: str, *, at_least: int) -> None:
    """So many bases or full syncs have ended since the supervisor began, and nothing is held."""

    def done() -> bool:
        shard = supervisor.shards()[root]
        assert shard["guard"] is None, shard["guard"]
        last = shard["last_full_sync"]
        return bool(shard["phase"] == "following" and last and last["sequence"] >= at_least)

    polling.until(done, 40.0, what="following, and nothing held")


@pytest.mark.slow
@pytest.mark.parametrize(
    "stopped",
    [
        pytest.param(False, id="running"),
        pytest.param(True, marks=pytest.mark.long, id="stopped meanwhile"),
    ],
)
def test_an_ensemble_put_back_from_copies_is_held(
    sandbox: servers.Sandbox,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
    tmp_path: pathlib.Path,
    *,
    stopped: bool,
) -> None:
    """Z1: three servers, put back from copies taken while they ran; the election alone lifts their
    zxids above all that was mirrored."""
    three, kept = ensemble.Ensemble(sandbox), outside(etcd)
    with client(three.addresses) as zk:
        filled(zk, prefix)
        zk.ensure_path("/other")
        hosts = {**QUICK, "hosts": three.addresses}
        supervisor = mirror(supervise, three.members[0], etcd, [prefix], prefix, zookeeper=hosts)
        start_equal(supervisor, zk, kept, prefix)
        saved = copies.copied(three.members, tmp_path)
        everything(zk, prefix)
        wait_equal(zk, kept, prefix)
    before = kept.values(prefix)
    if stopped:
        supervisor.stop()
    copies.put_back(three.members, saved)
    if stopped:
        supervisor.start()
    guard = held(supervisor, prefix)
    assert "earlier state" in guard["reason"]
    assert kept.values(prefix) == before

    # A person says that it is right: older values are mirrored, deletes are shown first.
    shard = supervisor.shard_id(prefix)
    released(supervisor, shard, prefix)
    with client(three.addresses) as zk:
        wait_equal(zk, kept, prefix)
        # From now on it is known as it is.
        supervisor.restart()
        settled(supervisor, prefix, at_least=1)
        wait_equal(zk, kept, prefix)
    three.close()
    kept.close()


def released(supervisor: installed.Supervisor, shard: str, root: str) -> None:
    """The identity, and then the deletes that it would come with."""
    for _ in range(2):
        done = installed.run("release", shard, "--url", supervisor.url, "--yes")
        assert done.returncode == 0, done
        polling.until(
            lambda: (
                supervisor.shards()[root]["phase"] == "following"
                or (supervisor.shards()[root]["guard"] or {}).get("kind") == "deletes"
            ),
            20.0,
            what="what comes after the release",
        )
        if supervisor.shards()[root]["guard"] is None:
            return


@pytest.mark.parametrize(
    "lost",
    [
        sets,
        *(pytest.param(each, marks=pytest.mark.long) for each in (deletes, creates, made_anew)),
    ],
    ids=lambda each: each.__name__,
)
def test_a_server_put_back_that_has_logged_as_much_since_is_held(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
    tmp_path: pathlib.Path,
    lost: Change,
) -> None:
    """Z1: a single server: as many zxids have gone by since as were lost, whatever was lost."""
    kept, address = outside(etcd), [fresh_zookeeper.address]
    with client(address) as zk:
        filled(zk, prefix)
        supervisor = mirror(supervise, fresh_zookeeper, etcd, [prefix], prefix)
        start_equal(supervisor, zk, kept, prefix)
        saved = copies.copied([fresh_zookeeper], tmp_path)
        lost(zk, prefix)
        wait_equal(zk, kept, prefix)
    before = kept.values(prefix)
    supervisor.stop()
    copies.put_back([fresh_zookeeper], saved)
    with client(address) as zk:
        log_more(zk, 200)
    supervisor.start()
    guard = held(supervisor, prefix)
    assert "earlier state" in guard["reason"]
    assert kept.values(prefix) == before
    checked = installed.run("check", "-c", str(supervisor.config))
    assert checked.returncode != 0, checked
    assert "earlier state" in checked.stdout, checked
    kept.close()


@pytest.mark.parametrize(
    "given_back", [pytest.param("stopped", marks=pytest.mark.long), "following"]
)
def test_what_was_lost_of_a_node_that_may_not_be_read_is_held_once_it_may(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
    tmp_path: pathlib.Path,
    given_back: str,
) -> None:
    """Its right was gone when the copy was made: nothing tells of the restore, until it is back."""
    kept, address, node = outside(etcd), [fresh_zookeeper.address], f"{prefix}/secret"
    nobody = [kazoo.security.make_digest_acl("nobody", "x", all=True)]
    anybody = [*nobody, kazoo.security.make_acl("world", "anyone", all=True)]
    with client(address) as zk:
        zk.add_auth("digest", "nobody:x")
        zk.ensure_path(prefix)
        zk.create(node, b"old", acl=nobody)
        saved = copies.copied([fresh_zookeeper], tmp_path)
        zk.set_acls(node, anybody)
        supervisor = mirror(supervise, fresh_zookeeper, etcd, [prefix], prefix)
        start_equal(supervisor, zk, kept, prefix)
        zk.set(node, b"new")
        wait_equal(zk, kept, prefix)
        supervisor.stop()
    copies.put_back([fresh_zookeeper], saved)
    with client(address) as zk:
        zk.add_auth("digest", "nobody:x")
        log_more(zk, 200)
        supervisor.start()
        supervisor.wait_following()
        for number in range(20):  # more than the marks of what changed
            zk.set(prefix, b"%d" % number)
            wait_equal(zk, kept, prefix, besides=node)
        if given_back == "stopped":
            supervisor.stop()
        zk.set_acls(node, anybody)
        if given_back == "stopped":
            supervisor.start()
        else:
            assert installed.run("full-sync", "--url", supervisor.url).returncode == 0
        guard = held(supervisor, prefix)
        assert "earlier state" in guard["reason"]
        assert kept.values(prefix)[node.encode()] == b"new"
    kept.close()


@pytest.mark.long
def test_what_a_release_without_marks_mirrored_is_known_from_the_first_walk_on(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
    tmp_path: pathlib.Path,
) -> None:
    """Z1, after an upgrade: nothing has changed since, so nothing was written since."""
    kept = outside(etcd)
    with client([fresh_zookeeper.address]) as zk:
        filled(zk, prefix)
        saved = copies.copied([fresh_zookeeper], tmp_path)
        everything(zk, prefix)
        supervisor = mirror(supervise, fresh_zookeeper, etcd, [prefix], prefix)
        start_equal(supervisor, zk, kept, prefix)
    before = kept.values(prefix)
    supervisor.stop()
    # What such a release has left behind.
    state = f"zk2etcd{prefix}/marks/".encode()
    for key in kept.range(state, state[:-1] + b"0"):
        kept.delete(key)
    supervisor.start()
    settled(supervisor, prefix, at_least=1)
    supervisor.stop()
    copies.put_back([fresh_zookeeper], saved)
    with client([fresh_zookeeper.address]) as zk:
        log_more(zk, 400)
    supervisor.start()
    assert "earlier state" in held(supervisor, prefix)["reason"]
    assert kept.values(prefix) == before
    kept.close()


@pytest.mark.long
def test_one_release_is_enough_where_our_keys_came_from_an_etcd_that_was_further_on(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
    tmp_path: pathlib.Path,
) -> None:
    """Z1, after keys were copied to another etcd: what an older token vouches for is void."""
    kept = outside(etcd)
    with client([fresh_zookeeper.address]) as zk:
        filled(zk, prefix)
        saved = copies.copied([fresh_zookeeper], tmp_path)
        sets(zk, prefix)
        supervisor = mirror(supervise, fresh_zookeeper, etcd, [prefix], prefix)
        start_equal(supervisor, zk, kept, prefix)
    supervisor.stop()
    # As if the revisions had been far above those of this etcd.
    state, further = f"zk2etcd{prefix}/", {"token": "fffffff", "era": 0xFFFFFF0}
    for kind in ("marks", "identities"):
        start = f"{state}{kind}/".encode()
        for key, kv in kept.range(start, start[:-1] + b"0").items():
            found = json.loads(kv.value)
            found.update({name: further[name] for name in further.keys() & found.keys()})
            kept.put(key, json.dumps(found).encode())
    copies.put_back([fresh_zookeeper], saved)
    with client([fresh_zookeeper.address]) as zk:
        log_more(zk, 200)
        supervisor.start()
        held(supervisor, prefix)
        released(supervisor, supervisor.shard_id(prefix), prefix)
        wait_equal(zk, kept, prefix)
        supervisor.restart()
        settled(supervisor, prefix, at_least=1)
        wait_equal(zk, kept, prefix)
    kept.close()


def test_roots_that_were_made_anew_in_the_same_ensemble_are_followed(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    """Z10: ten prefix roots were removed, and made anew, while the mirror was cut off."""
    kept = outside(etcd)
    roots = [f"{prefix}-{number}" for number in range(10)]
    with client([fresh_zookeeper.address]) as zk:
        zk.ensure_path("/other")
        for root in roots:
            zk.create(root, b"")
        supervisor = mirror(supervise, fresh_zookeeper, etcd, roots, prefix)
        supervisor.start()
        supervisor.wait_following()
        for slot in supervisor.worker_pids().values():
            os.kill(slot, signal.SIGSTOP)
        for root in roots:
            zk.delete(root)
            zk.create(root, b"anew")
            zk.create(f"{root}/node", b"1")
        # Frozen for longer than a session lasts: nobody saw the roots go.
        for slot in supervisor.worker_pids().values():
            os.kill(slot, signal.SIGKILL)
        for root in roots:
            wait_equal(zk, kept, root, 30.0)
            assert supervisor.shards()[root]["guard"] is None
        # The next start knows the new roots.
        supervisor.restart()
        for root in roots:
            settled(supervisor, root, at_least=1)
    kept.close()


def test_a_wiped_ensemble_is_another_one_whatever_was_made_anew_in_it(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    """Z10, the other way round: neither the root nor anything beside it is as it was."""
    kept = outside(etcd)
    with client([fresh_zookeeper.address]) as zk:
        zk.ensure_path("/other")
        filled(zk, prefix, 20)
        supervisor = mirror(supervise, fresh_zookeeper, etcd, [prefix], prefix)
        start_equal(supervisor, zk, kept, prefix)
        known = supervisor.shards()[prefix]["ensemble"]
        assert (known["path"], known["nodes"]) == ("/other", 2)
    before = kept.values(prefix)
    supervisor.stop()
    fresh_zookeeper.stop()
    fresh_zookeeper.wipe()
    fresh_zookeeper.start()
    with client([fresh_zookeeper.address]) as zk:
        log_more(zk, 200)
        zk.ensure_path("/other")
        filled(zk, prefix, 5)
    supervisor.start()
    held(supervisor, prefix)
    assert kept.values(prefix) == before
    kept.close()


@pytest.mark.long
def test_an_ensemble_that_lives_is_no_other_one(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    """Z1, no false alarm: whatever can happen to nodes in one history, seen and unseen."""
    kept = outside(etcd)
    with client([fresh_zookeeper.address]) as zk:
        filled(zk, prefix, 60)
        supervisor = mirror(
            supervise,
            fresh_zookeeper,
            etcd,
            [prefix],
            prefix,
            sync={"delete_guard": {"max_ratio": 1, "min_deletes": 1000, "max_deletes": 10_000}},
        )
        supervisor.start()
        supervisor.wait_following()
        for turn in range(2):
            _live(zk, prefix, turn)
            wait_equal(zk, kept, prefix)
            # The worker's successor, and what happened while there was none.
            for pid in supervisor.worker_pids().values():
                os.kill(pid, signal.SIGKILL)
            _live(zk, prefix, turn + 10)
            settled(supervisor, prefix, at_least=1)
            wait_equal(zk, kept, prefix)
            supervisor.stop()
            _live(zk, prefix, turn + 20)
            fresh_zookeeper.restart()
            supervisor.start()
            settled(supervisor, prefix, at_least=1)
            wait_equal(zk, kept, prefix)
    kept.close()


def _live(zk: kazoo.client.KazooClient, root: str, turn: int) -> None:
    """Sets, also to the same value; nodes that go, and come back; several at one zxid; ephemerals
    and sequence nodes; a subtree that goes."""
    for number in range(8):
        zk.set(f"{root}/n{number}", b"%d" % turn)
        zk.set(f"{root}/n{number + 8}", zk.get(f"{root}/n{number + 8}")[0])
    for number in range(16, 24):
        zk.delete(f"{root}/n{number}")
        zk.create(f"{root}/n{number}", b"again")
    for number in range(24, 28):
        with contextlib.suppress(kazoo.exceptions.NoNodeError):  # its session has ended
            zk.delete(f"{root}/n{number}")
    for number in range(24, 28):
        zk.create(f"{root}/n{number}", b"%d" % turn, ephemeral=bool(number % 2))
    together = zk.transaction()
    for number in range(28, 34):
        together.set_data(f"{root}/n{number}", b"%d" % turn)
        together.create(f"{root}/t{number}", b"1")
    together.delete(f"{root}/n34")
    together.create(f"{root}/n34", b"2")
    assert not any(isinstance(each, Exception) for each in together.commit())
    for number in range(28, 34):
        zk.delete(f"{root}/t{number}")
    for _ in range(8):
        zk.create(f"{root}/s-", b"1", sequence=True)
    for name in sorted(zk.get_children(root)):
        if name.startswith("s-") and int(name[2:]) % 3:
            zk.delete(f"{root}/{name}")
    zk.ensure_path(f"{root}/sub/a/b")
    zk.delete(f"{root}/sub", recursive=True)


@pytest.mark.long
def test_elections_and_followers_that_lag_are_no_other_history(
    sandbox: servers.Sandbox,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    """Z1, no false alarm: the leader dies twice under changes, a follower hears nothing for a
    while, workers die."""
    three, kept = ensemble.Ensemble(sandbox), outside(etcd)
    with client(three.addresses) as zk:
        filled(zk, prefix, 60)
    hosts = {**QUICK, "hosts": three.addresses}
    supervisor = mirror(supervise, three.members[0], etcd, [prefix], prefix, zookeeper=hosts)
    supervisor.start()
    supervisor.wait_following()
    for turn in range(2):
        follower, leader = three.follower(), three.leader()
        with client([leader.address]) as zk:
            follower.lag()
            _live(zk, prefix, turn)
            follower.catch_up()
        leader.kill()
        for pid in supervisor.worker_pids().values():
            os.kill(pid, signal.SIGKILL)
        elected = three.leader()
        with client([elected.address]) as zk:
            _live(zk, prefix, turn + 10)
            leader.start()
            settled(supervisor, prefix, at_least=1)
            wait_equal(zk, kept, prefix, 30.0)
    three.close()
    kept.close()


def bucket_ids(supervisor: installed.Supervisor) -> list[str]:
    return [shard["id"] for shard in supervisor.status()["shards"]]


@pytest.mark.long
def test_a_pause_of_a_split_that_never_was_whole_outlives_it(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    """O1: `buckets` changed, one of the new shards paused before all of them were mirrored, and
    `buckets` changed back."""
    kept = outside(etcd)
    with client([fresh_zookeeper.address]) as zk:
        filled(zk, prefix, 20)
        one: Mapping[str, Any] = {"from": prefix, "to": prefix, "buckets": 1}
        two = {**one, "buckets": 2}
        supervisor = mirror(supervise, fresh_zookeeper, etcd, [one], prefix)
        supervisor.start()
        supervisor.wait_following()
        supervisor.stop()
        whole = supervisor.content
        split = installed.laid_over(whole, sync={"prefixes": [two]})
        # Somebody else holds the second bucket's place, so that the new split is never whole.
        supervisor.configure(split)
        supervisor.start()
        polling.until(lambda: len(bucket_ids(supervisor)) == 2, what="two shards")
        first, second = bucket_ids(supervisor)
        supervisor.wait_following()
        done = installed.run("pause", first, "--url", supervisor.url, "--wait")
        assert done.returncode == 0, done
        supervisor.stop()
        # As if it had never come so far.
        for kind in ("checkpoints", "identities", "guards"):
            kept.delete(f"zk2etcd{prefix}/{kind}/{second}")
        supervisor.configure(whole)
        zk.set(f"{prefix}/n1", b"while paused")
        supervisor.start()
        polling.until(lambda: supervisor.shards()[prefix]["phase"] == "paused", 20.0, what="paused")
        assert kept.value(f"{prefix}/n1") == b"old"
        done = installed.run(
            "resume", supervisor.shard_id(prefix), "--url", supervisor.url, "--yes"
        )
        assert done.returncode == 0, done
        wait_equal(zk, kept, prefix)
        # It was taken over once; that it was ended holds.
        supervisor.restart()
        settled(supervisor, prefix, at_least=1)
    kept.close()


@pytest.mark.long
def test_a_trip_of_a_split_that_never_was_whole_outlives_it(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    """O1: a trip stands in a new bucket; what it holds is held after the change back."""
    kept = outside(etcd)
    guard = {"sync": {"delete_guard": {"min_deletes": 4, "max_ratio": 0.2}}}
    with client([fresh_zookeeper.address]) as zk:
        filled(zk, prefix, 20)
        one: Mapping[str, Any] = {"from": prefix, "to": prefix, "buckets": 1}
        supervisor = mirror(supervise, fresh_zookeeper, etcd, [one], prefix, **guard)
        supervisor.start()
        supervisor.wait_following()
        supervisor.stop()
        whole = supervisor.content
        split = installed.laid_over(whole, sync={"prefixes": [{**one, "buckets": 2}]})
        supervisor.configure(split)
        supervisor.start()
        polling.until(lambda: len(bucket_ids(supervisor)) == 2, what="two shards")
        supervisor.wait_following()
        supervisor.stop()
        for number in range(9):
            zk.delete(f"{prefix}/n{number}")
        supervisor.start()
        tripped = polling.until(
            lambda: [s["id"] for s in supervisor.status()["shards"] if s["guard"]],
            30.0,
            what="a trip in a bucket",
        )
        others = [each for each in bucket_ids(supervisor) if each not in tripped]
        supervisor.stop()
        for number in range(9):
            if zk.exists(f"{prefix}/n{number}") is None and number > 1:
                zk.create(f"{prefix}/n{number}", b"old")
        victim = others[0] if others else tripped[1]
        for kind in ("checkpoints", "identities", "guards"):
            kept.delete(f"zk2etcd{prefix}/{kind}/{victim}")
        supervisor.configure(whole)
        supervisor.start()
        # Two deletes are far below every threshold, but what was in doubt stays in doubt.
        missing = polling.until(
            lambda: supervisor.shards()[prefix]["guard"], 20.0, what="the doubt taken over"
        )
        assert missing["deletes"] >= 1
        assert json.loads(
            kept.value(f"zk2etcd{prefix}/guards/{supervisor.shard_id(prefix)}") or b""
        )
    kept.close()

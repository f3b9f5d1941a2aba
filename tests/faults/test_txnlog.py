"""The parser of ZooKeeper's transaction log, against a real one."""

from __future__ import annotations

import pathlib
import shutil
import time

import kazoo.security

from tests import releases, zookeeper_admin
from tests.faults import txnlog
from tests.integration import observing
from zk2etcd.sandbox import servers


def _states(history: txnlog.History, path: str) -> list[bytes | None]:
    return [entry.value for entry in history.get(path, [])]


def test_every_kind_of_change_is_read_in_order(fresh_zookeeper: servers.ZooKeeper) -> None:
    zk = observing.connected(fresh_zookeeper.address)
    zk.create("/a", b"1")
    zk.set("/a", b"2")
    zk.set_acls("/a", kazoo.security.OPEN_ACL_UNSAFE)
    zk.create("/a/none", None)
    zk.create("/a/passing", b"e", ephemeral=True)
    done = zk.transaction()
    done.create("/m", b"1")
    done.set_data("/m", b"2")
    done.delete("/a/none")
    done.create("/m/child", b"c")
    assert not any(isinstance(each, Exception) for each in done.commit())
    failed = zk.transaction()
    failed.set_data("/m", b"never")
    failed.delete("/missing")
    failed.commit()
    zk.stop()
    zk.close()
    last = observing.connected(fresh_zookeeper.address)
    last.delete("/m/child")
    last.stop()
    last.close()
    history = txnlog.replay(txnlog.records([fresh_zookeeper.data]))
    assert _states(history, "/a") == [b"1", b"2"]
    assert _states(history, "/a/none") == [b"", None]
    assert _states(history, "/a/passing") == [b"e", None]
    assert _states(history, "/m") == [b"2"]
    assert _states(history, "/m/child") == [b"c", None]
    for entries in history.values():
        zxids = [entry.zxid for entry in entries]
        assert zxids == sorted(set(zxids))


def test_a_log_goes_on_over_a_crash(fresh_zookeeper: servers.ZooKeeper) -> None:
    zk = observing.connected(fresh_zookeeper.address)
    zk.create("/a", b"before")
    fresh_zookeeper.kill()
    fresh_zookeeper.start()
    zk.retry(zk.set, "/a", b"after")
    zk.stop()
    zk.close()
    history = txnlog.replay(txnlog.records([fresh_zookeeper.data]))
    assert _states(history, "/a") == [b"before", b"after"]


def test_a_torn_end_and_padding_are_no_records(fresh_zookeeper: servers.ZooKeeper) -> None:
    zk = observing.connected(fresh_zookeeper.address)
    for number in range(5):
        zk.create(f"/n{number}", b"")
    zk.stop()
    zk.close()
    (file,) = (fresh_zookeeper.data / "version-2").glob("log.*")
    whole = file.read_bytes()
    records = list(txnlog.read(whole))
    assert len(records) == 7  # two more for the session
    length = len(whole.rstrip(b"\0"))
    assert len(list(txnlog.read(whole[: length - 3]))) == 6
    assert list(txnlog.read(b"")) == []
    assert list(txnlog.read(b"ZKSN" + whole[4:])) == []


def test_what_only_one_of_three_logged_was_never_committed(
    fresh_zookeeper: servers.ZooKeeper, tmp_path: pathlib.Path
) -> None:
    zk = observing.connected(fresh_zookeeper.address)
    zk.create("/a", b"agreed")
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders[:2]:
        shutil.copytree(fresh_zookeeper.data, folder)
    zk.create("/b", b"logged by one that died")
    zk.stop()
    zk.close()
    shutil.copytree(fresh_zookeeper.data, folders[2])
    history = txnlog.replay(txnlog.records(folders))
    assert _states(history, "/a") == [b"agreed"]
    assert "/b" not in history
    assert "/b" in txnlog.replay(txnlog.records(folders[2:]))


def test_a_log_goes_on_from_what_a_restore_in_place_lost(sandbox: servers.Sandbox) -> None:
    admin = zookeeper_admin.Admin()
    server = sandbox.zookeeper(
        durable=False,
        class_path=releases.class_path(releases.ZOOKEEPER_3_9),
        jvm=admin.jvm(),
        settings=admin.settings(),
    )
    server.start()
    zk = observing.connected(server.address)
    zk.create("/a", b"kept")
    snapshot, kept = admin.snapshot(), txnlog.records([server.data])[-1].zxid
    zk.set("/a", b"lost")
    zk.create("/b", b"lost")
    logged = txnlog.records([server.data])
    admin.restore(snapshot)
    zk.retry(zk.set, "/a", b"new")
    zk.stop()
    zk.close()
    after = txnlog.records([server.data])
    assert logged[-1] in after, "the log keeps it"
    history = txnlog.replay(after, [txnlog.Restore(logged, kept, time.time(), in_place=True)])
    assert _states(history, "/a") == [b"kept", b"lost", b"kept", b"new"]
    assert _states(history, "/b") == [b"lost", None]

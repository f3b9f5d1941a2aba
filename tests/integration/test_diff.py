"""`zk2etcd diff` on real servers: what it finds, and what it must not call a difference."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Iterator

import kazoo.security
import pytest

from tests.integration import commands, mirroring, observing
from zk2etcd.sandbox import server_process

QUICK = commands.QUICK


@pytest.fixture
def mirrored(world: mirroring.World) -> mirroring.World:
    """Both sides equal: a small tree with names and values of all kinds."""
    observing.seed(
        world.zk,
        [
            (world.root, b"root"),
            *((world.path(f"p{n}"), b"%d" % n) for n in range(40)),
            *((world.path("p1", f"c{n}"), b"") for n in range(200)),
            (world.path("p1-x"), b"\x00\xff"),
            (world.path("a b%2F\u4e2d\u00e9"), b"v"),
        ],
    )
    world.etcd.put_many(world.wanted().items())
    return world


def test_equal_sides(mirrored: mirroring.World, diff: commands.Command) -> None:
    before = mirrored.etcd.revision()
    outcome = diff()
    assert outcome.code == 0, outcome
    assert "equal: 243 nodes, keys and values" in outcome.out
    assert mirrored.etcd.written_since(before) == []
    assert diff("--json").document()["differences"] == []


def test_each_kind_is_named_by_path(mirrored: mirroring.World, diff: commands.Command) -> None:
    mirrored.etcd.put(mirrored.path("p3"), b"tampered")
    mirrored.etcd.put(mirrored.path("only-etcd"), b"")
    mirrored.etcd.delete(mirrored.path("p1", "c7"))
    outcome = diff(*QUICK)
    assert outcome.code == 1
    lines = [line.strip() for line in outcome.out.splitlines()]
    for kind, path in (
        ("differs (with different values): 1", mirrored.path("p3")),
        ("extra (in etcd only): 1", mirrored.path("only-etcd")),
        ("missing (in ZooKeeper only): 1", mirrored.path("p1", "c7")),
    ):
        assert lines[lines.index(kind) + 1] == path
    assert lines[-1].startswith("not equal: 1 in ZooKeeper only, 1 in etcd only, 1 with different")
    document = diff(*QUICK, "--json").document()
    assert not document["equal"]
    assert document["shards"][0]["id"] == diff.shard
    assert {(each["kind"], each["path"]) for each in document["differences"]} == {
        ("differs", mirrored.path("p3")),
        ("extra", mirrored.path("only-etcd")),
        ("missing", mirrored.path("p1", "c7")),
    }


def test_an_empty_etcd_is_one_long_list(world: mirroring.World, diff: commands.Command) -> None:
    observing.seed(world.zk, [(world.root, b""), *((world.path(f"{n}"), b"") for n in range(300))])
    outcome = diff(*QUICK)
    assert outcome.code == 1
    assert "    ... and 281 more\n" in outcome.out
    assert len(diff(*QUICK, "--json").document()["differences"]) == 301


def test_hostile_names_are_shown_not_sent(
    mirrored: mirroring.World, diff: commands.Command
) -> None:
    mirrored.zk.create(mirrored.path("\u202egnp.exe"), b"")
    mirrored.etcd.put(mirrored.path("\x1b[31m"), b"foreign, as ZooKeeper refuses such names")
    outcome = diff(*QUICK)
    assert outcome.code == 1
    assert mirrored.path("\\u202egnp.exe") in outcome.out
    assert mirrored.path("\\x1b[31m") in outcome.out
    assert not {"\u202e", "\x1b"} & set(outcome.out + outcome.err)


def test_neighbours_excluded_and_foreign_keys_are_no_differences(
    mirrored: mirroring.World, diff: commands.Command
) -> None:
    mirrored.etcd.put(mirrored.root + "2", b"a neighbour")
    mirrored.etcd.put(mirrored.path("p1", "of etcd"), b"excluded")
    mirrored.etcd.put(mirrored.path("p1"), b"excluded")
    mirrored.etcd.put(mirrored.path("x", "", "y"), b"foreign")
    diff.configure(sync={"prefixes": [mirrored.root], "exclude": [mirrored.path("p1")]})
    outcome = diff(*QUICK)
    assert outcome.code == 0, outcome
    assert "foreign keys in etcd, left alone: 1" in outcome.out
    shard = diff("--json").document()["shards"][0]
    assert (shard["nodes"], shard["keys"], shard["foreign"]) == (42, 42, 1)
    assert shard["foreign_sample"] == [mirrored.path("x", "", "y")]


def test_deletes_never_keeps_what_only_etcd_has(
    mirrored: mirroring.World, diff: commands.Command
) -> None:
    mirrored.etcd.put(mirrored.path("old"), b"")
    outcome = diff(*QUICK, "--set", "sync.deletes=never")
    assert outcome.code == 0
    assert "as sync.deletes is never: 1" in outcome.out
    assert diff(*QUICK).code == 1


def test_skipped_ephemerals_are_extra_in_etcd(
    mirrored: mirroring.World, diff: commands.Command
) -> None:
    mirrored.zk.create(mirrored.path("e"), b"1", ephemeral=True)
    skip = ("--set", "sync.ephemeral=skip")
    assert diff(*skip).code == 0
    assert diff(*QUICK).code == 1
    mirrored.etcd.put(mirrored.path("e"), b"1")
    assert diff(*QUICK).code == 0
    assert mirrored.path("e") in diff(*QUICK, *skip).out


def test_what_may_not_be_read_is_not_called_equal(
    mirrored: mirroring.World, diff: commands.Command
) -> None:
    other = kazoo.security.make_digest_acl("some", "body", all=True)
    mirrored.zk.create(mirrored.path("secret"), b"", acl=[other])
    outcome = diff(*QUICK)
    assert outcome.code == 1
    assert mirrored.path("secret") in outcome.out
    assert "no difference found, but not everything could be read" in outcome.out


class _Moving:
    """Writes a key of etcd all the time, as a mirror of a busy node does."""

    def __init__(self, world: mirroring.World, key: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(world.etcd, key))

    def _run(self, etcd: observing.Etcd, key: str) -> None:
        number = 0
        while not self._stop.wait(0.002):
            number += 1
            etcd.put(key, b"%d" % number)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)


def test_a_key_that_etcd_keeps_changing_is_no_difference(
    mirrored: mirroring.World, diff: commands.Command
) -> None:
    with _Moving(mirrored, mirrored.path("p2")):
        outcome = diff("--round-interval", "200ms")
    assert outcome.code == 0, outcome
    assert "so not counted: 1" in outcome.out
    assert diff(*QUICK).code == 1  # it stands still, and is wrong


def test_live_changes_are_no_differences(mirrored: mirroring.World, diff: commands.Command) -> None:
    """A worker mirrors, a writer creates, sets and deletes: in the end nothing differs."""
    worker = mirrored.worker(targets={mirrored.root: mirrored.root})
    worker.follows()
    stop = threading.Event()
    counted = _churn(mirrored, stop)
    next(counted)
    thread = threading.Thread(target=lambda: [None for _ in counted])
    thread.start()
    try:
        outcomes = [diff("--round-interval", "200ms") for _ in range(2)]
    finally:
        stop.set()
        thread.join(10)
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    mirrored.equal()
    assert diff(*QUICK).code == 0


def _churn(world: mirroring.World, stop: threading.Event) -> Iterator[int]:
    number = 0
    while not stop.is_set():
        number += 1
        world.zk.create(world.path(f"new{number}"), b"1")
        world.zk.set(world.path("p5"), b"%d" % number)
        if number > 30:
            world.zk.delete(world.path(f"new{number - 30}"))
        yield number


@pytest.mark.parametrize("away", ["zookeeper", "etcd"])
def test_an_unreachable_server_is_named_in_bounded_time(diff: commands.Command, away: str) -> None:
    nowhere = f"127.0.0.1:{server_process.free_port()}"
    if away == "zookeeper":
        diff.configure(zookeeper={"hosts": [nowhere]})
    else:
        diff.configure(etcd={"endpoints": [nowhere]})
    started = time.monotonic()
    outcome = diff()
    assert time.monotonic() - started < 15
    assert outcome.code == 3
    assert outcome.out == ""
    said = [line for line in outcome.err.splitlines() if line.startswith("zk2etcd: ")]
    assert len(said) == 1
    assert nowhere in said[0]
    assert ("zookeeper.hosts" if away == "zookeeper" else "etcd.endpoints") in said[0]


def test_a_second_etcd_endpoint_is_used(mirrored: mirroring.World, diff: commands.Command) -> None:
    nowhere = f"127.0.0.1:{server_process.free_port()}"
    diff.configure(etcd={"endpoints": [nowhere, mirrored.etcd_address]})
    assert diff().code == 0


def test_frozen_servers_do_not_hang_it(
    fresh_world: mirroring.World,
    fresh_zookeeper: server_process.Server,
    fresh_etcd: server_process.Server,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    diff = commands.Command("diff", fresh_world, tmp_path, capsys)
    diff.configure(
        zookeeper={"hosts": [fresh_world.zookeeper], "connect_timeout": "1s"},
        etcd={"endpoints": [fresh_world.etcd_address], "request_timeout": "1s"},
    )
    for server in (fresh_zookeeper, fresh_etcd):
        server.freeze()
        started = time.monotonic()
        try:
            outcome = diff()
        finally:
            server.thaw()
        assert outcome.code == 3
        assert server.address in outcome.err
        assert time.monotonic() - started < 15


def test_wrong_use(diff: commands.Command) -> None:
    for arguments in (
        ("--rounds", "0"),
        ("--round-interval", "5"),
        ("--allow-deletes", "--yes"),
        ("--fix", "--yes"),
        ("--fix", "--allow-deletes"),  # no terminal to ask on
    ):
        assert diff(*arguments).code == 2, arguments
    diff.path.write_text("sync: {}\n", "utf-8")
    outcome = diff()
    assert outcome.code == 2
    assert "sync.prefixes" in outcome.err

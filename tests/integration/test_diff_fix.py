"""`zk2etcd diff --fix` on real servers: by whom it repairs, and which deletes it dares."""

from __future__ import annotations

import json
import re
import sys

import pytest

from tests import polling
from tests.integration import commands, mirroring, observing
from zk2etcd import messages
from zk2etcd.client import bars
from zk2etcd.sandbox import server_process, servers, supervisor

QUICK = commands.QUICK
FIX = (*QUICK, "--fix")


@pytest.fixture
def tree(world: mirroring.World) -> mirroring.World:
    """200 nodes in ZooKeeper, nothing in etcd."""
    leaves = [(world.path(f"n{number}"), b"%d" % number) for number in range(199)]
    observing.seed(world.zk, [(world.root, b""), *leaves])
    return world


def state(world: mirroring.World) -> set[bytes]:
    """The names of our own keys, without their prefix, and without marks of what was written."""
    base = world.state.encode() + b"/"
    found = {key.removeprefix(base) for key in world.etcd.range(base, base[:-1] + b"0")}
    return {key for key in found if not key.startswith(b"marks/")}


def own(world: mirroring.World, diff: commands.Command, admin: str) -> observing.KeyValue:
    """Somebody else owns the shard."""
    key = f"{world.state}/owners/{diff.shard}"
    who = {"v": 1, "instance": "theirs", "slot": "w0", "incarnation": 3, "target": world.root}
    world.etcd.put(key, json.dumps({**who, "admin": admin}).encode())
    owner = world.etcd.get(key)
    assert owner is not None
    return owner


def test_without_a_terminal_each_step_says_how_far_it_is(
    tree: mirroring.World, diff: commands.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "EVERY", 0.0)
    tree.zk.create(tree.path("n5", "leaf"))
    for number in range(300):
        tree.zk.create_async(tree.path(f"more{number}"))
    diff.configure(zookeeper={"max_reads_per_second": 400})
    outcome = diff("--rounds", "1", *FIX, "--json")
    assert outcome.code == 0, outcome
    assert outcome.document()["equal"]
    said = [line for line in outcome.err.splitlines() if " nodes" in line]
    for work in ("comparing", "repairing"):
        begins = f"{work} {tree.root} -> {tree.root}: "
        assert any(
            re.match(re.escape(begins) + r"[\d,]+ (of [\d,]+ )?nodes", each) for each in said
        )
    last = f"comparing {tree.root} -> {tree.root}: "
    assert any(each.startswith(last) and " of 501 nodes (" in each for each in said), said


# --- nobody owns it -------------------------------------------------------------------------------


def test_the_first_sync_and_a_tampered_value(tree: mirroring.World, diff: commands.Command) -> None:
    outcome = diff(*FIX)
    assert outcome.code == 0, outcome
    assert "as nobody owns it: 200 put, 0 deleted" in outcome.out
    assert tree.etcd.values(tree.root) == tree.wanted()
    # The owner key is gone again, and the checkpoint stays, so that nobody may go behind it.
    shard = diff.shard.encode()
    assert state(tree) == {b"checkpoints/" + shard, b"format"}
    checkpoint = tree.etcd.value(f"{tree.state}/checkpoints/{diff.shard}")
    assert int((checkpoint or b"")[:16], 16) > 0

    tree.etcd.put(tree.path("n5"), b"tampered")
    tree.etcd.delete(tree.path("n6"))
    tree.etcd.put(tree.path("extra"), b"")
    assert diff(*QUICK).code == 1
    document = diff(*FIX, "--json").document()
    assert document["equal"]
    fix = document["fixes"][0]
    assert (fix["holder"], fix["put"], fix["delete"], fix["held"]) == (None, 2, 1, None)
    assert tree.etcd.values(tree.root) == tree.wanted()


def test_each_bucket_of_a_prefix_is_repaired_by_itself(
    tree: mirroring.World, diff: commands.Command
) -> None:
    diff.configure(sync={"prefixes": [{"from": tree.root, "to": tree.root, "buckets": 3}]})
    foreign = f"{tree.root}//x".encode()
    tree.etcd.put(foreign, b"foreign")
    outcome = diff(*FIX)
    assert outcome.code == 0, outcome
    assert f"{tree.root} 2/3 -> {tree.root}: no difference" in outcome.out
    assert "equal: 200 nodes" in outcome.out
    assert tree.etcd.values(tree.root) == {**tree.wanted(), foreign: b"foreign"}

    tree.etcd.put_many([(tree.path(f"n{number}"), b"tampered") for number in range(9)])
    tree.etcd.put_many([(tree.path(f"extra{number}"), b"") for number in range(9)])
    tree.etcd.delete(tree.root)
    document = diff(*FIX, "--json").document()
    assert document["equal"]
    assert [(each["bucket"], each["buckets"]) for each in document["shards"]] == [
        (0, 3),
        (1, 3),
        (2, 3),
    ]
    assert sum(each["foreign"] for each in document["shards"]) == 1
    assert sum(each["put"] for each in document["fixes"]) == 10
    assert sum(each["delete"] for each in document["fixes"]) == 9
    assert tree.etcd.values(tree.root) == {**tree.wanted(), foreign: b"foreign"}


def test_what_is_equal_is_not_touched(tree: mirroring.World, diff: commands.Command) -> None:
    tree.etcd.put_many(tree.wanted().items())
    before = tree.etcd.revision()
    document = diff(*FIX, "--json").document()
    assert (document["equal"], document["fixes"]) == (True, [])
    assert tree.etcd.written_since(before) == []


def test_keys_from_before_are_held_until_allowed(
    tree: mirroring.World, diff: commands.Command
) -> None:
    foreign = tree.path("..", "foreign")
    theirs = [tree.path(f"theirs{number}") for number in range(30)]
    tree.etcd.put_many([(key, b"v") for key in (*theirs, foreign)])
    outcome = diff(*FIX)
    assert outcome.code == 1, outcome
    assert "200 put, 0 deleted" in outcome.out
    assert "the delete guard holds 30 deletes: first sync" in outcome.out
    assert "--fix --allow-deletes" in outcome.out
    assert "extra (in etcd only): 30" in outcome.out
    assert b"guards/" + diff.shard.encode() in state(tree)

    # The trip stands, also for the next one who asks.
    assert diff(*FIX).code == 1
    assert tree.etcd.value(theirs[0]) == b"v"

    outcome = diff(*FIX, "--allow-deletes", "--yes")
    assert outcome.code == 0, outcome
    assert "0 put, 30 deleted" in outcome.out
    expected = {**tree.wanted(), foreign.encode(): b"v"}
    assert tree.etcd.values(tree.root) == expected
    assert b"guards/" + diff.shard.encode() not in state(tree)


def test_more_deletes_than_max_deletes_can_be_allowed(
    tree: mirroring.World, diff: commands.Command
) -> None:
    """The base forgets paths beyond the guard's bound, but not beyond what was allowed."""
    tree.etcd.put_many([(tree.path(f"theirs{number}"), b"") for number in range(60)])
    diff.configure(sync={"prefixes": [tree.root], "delete_guard": {"max_deletes": 7}})
    assert diff(*FIX).code == 1
    assert diff(*FIX, "--allow-deletes", "--yes").code == 0
    assert tree.etcd.values(tree.root) == tree.wanted()


def test_what_was_not_counted_is_not_deleted(
    tree: mirroring.World, diff: commands.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question and the deletes the whole tree vanishes: only what was shown may go."""
    from zk2etcd_workers.commands import mend  # noqa: PLC0415

    tree.etcd.put_many([*tree.wanted().items(), (tree.path("theirs"), b"")])
    real = mend.mend

    def after_a_wipe(*arguments: object) -> mend.Mended:
        if tree.zk.exists(tree.root):
            tree.zk.delete(tree.root, recursive=True)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(mend, "mend", after_a_wipe)
    outcome = diff(*FIX, "--allow-deletes", "--yes")
    assert outcome.code == 1, outcome
    assert "0 put, 0 deleted" in outcome.out
    assert "the delete guard holds 201 deletes" in outcome.out
    assert len(tree.etcd.values(tree.root)) == 201


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_a_terminal_is_asked(
    tree: mirroring.World,
    diff: commands.Command,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    tree.etcd.put_many([*tree.wanted().items(), (tree.path("theirs"), b"")])
    asked: list[str] = []

    class Terminal:
        def isatty(self) -> bool:
            return True

    def said(prompt: str) -> str:
        asked.append(prompt)
        return answer.strip()

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("click.termui.visible_prompt_func", said)
    outcome = diff(*FIX, "--allow-deletes")
    assert outcome.code == code, outcome
    assert len(asked) == 1
    assert "1 of 201 keys are in etcd only" in outcome.err
    assert tree.path("theirs") in outcome.err
    assert (tree.etcd.value(tree.path("theirs")) is None) == (code == 0)


def test_a_newer_format_is_left_alone(tree: mirroring.World, diff: commands.Command) -> None:
    tree.etcd.put(f"{tree.state}/format", b'{"v":9,"min_reader":9,"written_by":"the future"}')
    before = tree.etcd.revision()
    outcome = diff(*FIX)
    assert outcome.code == 2
    assert "the future" in outcome.err
    assert tree.etcd.written_since(before) == []


def test_an_older_zookeeper_is_not_trusted(tree: mirroring.World, diff: commands.Command) -> None:
    """It is behind what was mirrored: restored from a backup, or another one."""
    tree.etcd.put(f"{tree.state}/checkpoints/other", b"%016x" % (1 << 60))
    tree.etcd.put(tree.path("theirs"), b"")
    outcome = diff(*FIX)
    assert outcome.code == 3
    assert "restored or replaced" in outcome.err
    assert tree.etcd.values(tree.root) == {tree.path("theirs").encode(): b""}
    assert state(tree) == {b"checkpoints/other", b"checkpoints/" + diff.shard.encode(), b"format"}


# --- somebody owns it -----------------------------------------------------------------------------


def test_an_owner_that_does_not_answer_is_named(
    tree: mirroring.World, diff: commands.Command
) -> None:
    url = f"http://127.0.0.1:{server_process.free_port()}"
    owner = own(tree, diff, url)
    outcome = diff(*FIX)
    assert outcome.code == 3
    assert "is owned by theirs/w0.3, who alone may write to it" in outcome.err
    assert url in outcome.err
    assert tree.etcd.values(tree.root) == {}
    assert tree.etcd.get(f"{tree.state}/owners/{diff.shard}") == owner


def test_an_owner_without_an_address(tree: mirroring.World, diff: commands.Command) -> None:
    own(tree, diff, "")
    outcome = diff(*FIX)
    assert outcome.code == 3
    assert "left no admin address" in outcome.err
    assert tree.etcd.values(tree.root) == {}


def _assert_its_owner_repairs(tree: mirroring.World, diff: commands.Command) -> None:
    """The token never changes: the owner writes, and nobody else."""
    key = f"{tree.state}/owners/{diff.shard}"
    owner = tree.etcd.get(key)
    assert owner is not None
    assert diff(*QUICK).code == 0
    tree.etcd.put(tree.path("n5"), b"tampered")
    tree.etcd.put(tree.path("theirs"), b"")
    outcome = diff(*QUICK)
    assert outcome.code == 1
    assert tree.path("n5") in outcome.out
    outcome = diff(*FIX, "--json")
    assert outcome.code == 0, outcome
    fix = outcome.document()["fixes"][0]
    holder = json.loads(owner.value)
    assert fix["holder"] == f"{holder['instance']}/{holder['slot']}.1"
    assert (fix["put"], fix["delete"]) == (1, 1)
    assert tree.etcd.values(tree.root) == tree.wanted()
    assert tree.etcd.get(key) == owner
    assert "s3cret" not in outcome.out + outcome.err


def _assert_held_deletes_go_once_released(tree: mirroring.World, diff: commands.Command) -> None:
    """Its guard holds them, and it is the owner that makes them in the end."""
    tree.etcd.put_many([(tree.path(f"many{number}"), b"") for number in range(150)])
    outcome = diff(*FIX)
    assert outcome.code == 1, outcome
    assert "the delete guard holds 150 deletes" in outcome.out
    assert "--fix --allow-deletes" in outcome.out
    assert len(tree.etcd.values(tree.root)) == 350
    outcome = diff(*FIX, "--allow-deletes", "--yes")
    assert outcome.code == 0, outcome
    assert "150 deleted" in outcome.out
    assert tree.etcd.values(tree.root) == tree.wanted()


@pytest.mark.long
def test_a_running_supervisor_repairs_what_it_owns(
    tree: mirroring.World,
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sandbox: servers.Sandbox,
    diff: commands.Command,
) -> None:
    content = supervisor.settings(zookeeper, etcd, [tree.root])
    content |= {"state": {"prefix": tree.state}, "http": {"token": "s3cret"}}
    running = sandbox.adopt(supervisor.Supervisor(sandbox.subfolder("zk2etcd"), content))
    running.start()
    running.wait_following()
    diff.path.write_text(running.config.read_text("utf-8"), "utf-8")
    _assert_its_owner_repairs(tree, diff)
    _assert_held_deletes_go_once_released(tree, diff)

    # Without the token nothing can be asked of it.
    tree.etcd.put(tree.path("n5"), b"tampered")
    diff.path.write_text(diff.path.read_text("utf-8").replace("s3cret", "wrong"), "utf-8")
    outcome = diff(*FIX)
    assert outcome.code == 2
    assert "ZK2ETCD_TOKEN" in outcome.err


def test_a_supervisor_takes_over_after_a_repair(
    tree: mirroring.World,
    diff: commands.Command,
) -> None:
    """Our own ownership leaves nothing behind that a mirror would have to wait for."""
    assert diff(*FIX).code == 0
    tree.zk.create(tree.path("later"), b"1")
    shard = messages.shard_id(tree.root, tree.root)
    worker = tree.worker()
    worker.follows()
    polling.until(lambda: tree.etcd.value(tree.path("later")) == b"1", 5)
    assert tree.etcd.value(f"{tree.state}/owners/{shard}") is None

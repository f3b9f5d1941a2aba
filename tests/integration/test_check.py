"""`zk2etcd check` on real servers: rights, versions, limits; and that it writes nothing."""

from __future__ import annotations

import json
import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import etcd3.etcdrpc as rpc
import grpc
import kazoo.security
import pytest

from tests import polling
from tests.integration import commands, keeping, mirroring, observing
from zk2etcd import census, messages, version
from zk2etcd.cli import main
from zk2etcd.config import loader, models, sharing
from zk2etcd.sandbox import server_process, servers


@pytest.fixture
def check(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> commands.Command:
    return commands.Command("check", world, tmp_path, capsys)


def facts(outcome: commands.Outcome, side: str, status: str) -> list[dict[str, Any]]:
    found = outcome.document()["facts"]
    return [fact for fact in found if (fact["side"], fact["status"]) == (side, status)]


def texts(outcome: commands.Outcome, side: str, status: str) -> str:
    return "\n".join(f"{f['text']} [{f['remedy']}]" for f in facts(outcome, side, status))


# --- all is well ----------------------------------------------------------------------------------


def test_all_is_well(world: mirroring.World, check: commands.Command) -> None:
    observing.seed(world.zk, [(world.root, b""), (world.path("a"), b""), (world.path("b"), b"")])
    before = world.etcd.revision()
    outcome = check()
    assert outcome.code == 0, outcome
    lines = outcome.out.splitlines()
    assert all(line[11:15].strip() in ("ok", "note", "") for line in lines)
    for said in (
        f"config     ok    {world.root} -> {world.root} (shard {check.shard})",
        f"ZooKeeper  ok    {world.root} can be read: 2 children",
        f"ZooKeeper  ok    {world.root} can be watched, recursively",
        f"etcd       ok    our own keys below {world.state}/ may be read and written",
        f"etcd       ok    {world.root} and the keys below it may be read and written",
        "etcd       ok    Txns of 64 times 32 operations are taken",
        "etcd       ok    a lease of 10 s can be taken",
    ):
        assert said in lines
    assert f"{world.zookeeper} is ZooKeeper 3." in outcome.out
    assert f"http://{world.etcd_address} is etcd 3." in outcome.out
    assert world.etcd.written_since(before) == []


def test_what_concerns_all_buckets_is_said_once(
    world: mirroring.World, check: commands.Command
) -> None:
    observing.seed(world.zk, [(world.root, b""), (world.path("a"), b"")])
    check.configure(sync={"prefixes": [{"from": world.root, "to": world.root, "buckets": 3}]})
    world.etcd.put_many([(world.path(f"theirs{number}"), b"") for number in range(9)])
    outcome = check()
    assert outcome.code == 0, outcome
    assert [f"{world.root} {n}/3 -> " in outcome.out for n in (1, 2, 3)] == [True] * 3
    assert outcome.out.count("can be read: 1 child") == 1
    assert outcome.out.count("and the keys below it may be read and written") == 1
    present = re.findall(r"are keys already \((\d+)\)", outcome.out)
    assert sum(map(int, present)) == 9


def test_a_missing_root_is_a_note(world: mirroring.World, check: commands.Command) -> None:
    outcome = check("--json")
    assert outcome.code == 0
    assert f"{world.root} does not exist" in texts(outcome, "ZooKeeper", "note")


def test_offline_reaches_for_nothing(check: commands.Command) -> None:
    nowhere = f"127.0.0.1:{server_process.free_port()}"
    check.configure(zookeeper={"hosts": [nowhere]}, etcd={"endpoints": [nowhere]})
    outcome = check("--offline", "--json")
    assert outcome.code == 0
    assert {fact["side"] for fact in outcome.document()["facts"]} == {"config"}
    check.configure(sync={"prefixes": ["/a", "/a/b"]})
    outcome = check("--offline")
    assert outcome.code == 2
    assert outcome.out == ""


def test_the_owner_and_keys_from_before(world: mirroring.World, check: commands.Command) -> None:
    world.etcd.put(world.path("theirs"), b"")
    outcome = check("--json")
    assert outcome.code == 0
    assert f"below {world.root} are keys already (1)" in texts(outcome, "etcd", "note")
    who = {"v": 1, "instance": "theirs", "slot": "w0", "incarnation": 3, "target": world.root}
    owner = json.dumps({**who, "admin": "http://10.0.0.9:9180"})
    world.etcd.put(f"{world.state}/owners/{check.shard}", owner.encode())
    outcome = check("--json")
    assert "is being written by theirs/w0.3 (http://10.0.0.9:9180)" in texts(outcome, "etcd", "ok")


# --- unreachable ----------------------------------------------------------------------------------


def test_both_sides_are_looked_at_when_one_is_away(
    world: mirroring.World, check: commands.Command
) -> None:
    nowhere = f"127.0.0.1:{server_process.free_port()}"
    check.configure(zookeeper={"hosts": [nowhere]})
    started = time.monotonic()
    outcome = check("--json")
    assert time.monotonic() - started < 15
    assert outcome.code == 3
    assert nowhere in texts(outcome, "ZooKeeper", "FAIL")
    assert facts(outcome, "etcd", "FAIL") == []
    assert f"{world.root} and the keys below it" in texts(outcome, "etcd", "ok")

    check.configure(etcd={"endpoints": [nowhere]})
    outcome = check("--json")
    assert outcome.code == 3
    assert nowhere in texts(outcome, "etcd", "FAIL")
    assert facts(outcome, "ZooKeeper", "FAIL") == []


def test_one_of_two_servers_away_is_a_fault_but_not_the_end(
    world: mirroring.World, check: commands.Command
) -> None:
    nowhere = f"127.0.0.1:{server_process.free_port()}"
    check.configure(
        zookeeper={"hosts": [nowhere, world.zookeeper]},
        etcd={"endpoints": [nowhere, world.etcd_address]},
    )
    outcome = check("--json")
    assert outcome.code == 1
    assert nowhere in texts(outcome, "ZooKeeper", "FAIL")
    assert nowhere in texts(outcome, "etcd", "FAIL")
    assert f"{world.root} and the keys below it may be" in texts(outcome, "etcd", "ok")


# --- ZooKeeper's rights ---------------------------------------------------------------------------


def test_acls_of_zookeeper(world: mirroring.World, check: commands.Command) -> None:
    acl = [kazoo.security.make_digest_acl("mirror", "pw", all=True)]
    world.zk.create(world.root, b"", acl=acl)
    outcome = check("--json")
    assert outcome.code == 1
    failed = texts(outcome, "ZooKeeper", "FAIL")
    assert f"{world.root} may not be read by world:anyone: READ is missing" in failed
    assert f"setAcl -R {world.root} ACL,world:anyone:r" in failed
    assert "set zookeeper.auth to an identity of its ACL" in failed

    auth = [{"scheme": "digest", "credentials": "mirror:pw"}]
    check.configure(zookeeper={"hosts": [world.zookeeper], "auth": auth})
    outcome = check("--json")
    assert outcome.code == 0, outcome
    assert "as digest:mirror" in texts(outcome, "ZooKeeper", "ok")
    assert "mirror:pw" not in outcome.out

    world.zk.add_auth("digest", "mirror:pw")
    other = [kazoo.security.make_digest_acl("other", "pw", all=True)]
    world.zk.create(world.path("hidden"), b"", acl=other)
    world.zk.create(world.path("open"), b"", acl=acl)
    outcome = check("--json")
    assert outcome.code == 1
    failed = texts(outcome, "ZooKeeper", "FAIL")
    assert "1 of 2 children" in failed
    assert f"setAcl -R {world.path('hidden')} ACL,digest:mirror:HASH:r" in failed
    assert world.path("hidden") in failed


def test_a_zookeeper_behind_what_was_mirrored(
    world: mirroring.World, check: commands.Command
) -> None:
    world.etcd.put(f"{world.state}/checkpoints/{check.shard}", b"%016x" % 1)
    assert check().code == 0
    world.etcd.put(f"{world.state}/checkpoints/{check.shard}", b"%016x" % (1 << 60))
    outcome = check("--json")
    assert outcome.code == 1
    assert "wiped, restored or replaced" in texts(outcome, "ZooKeeper", "FAIL")


# --- etcd's rights and limits ---------------------------------------------------------------------


class Guarded:
    """An etcd with authentication and a user m, and its administrator."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
        self._auth = rpc.AuthStub(self._channel)
        self._metadata: list[tuple[str, str]] = []
        for user, password, role in (("root", "rootpw", "root"), ("m", "pw", "mirror")):
            self._ask("RoleAdd", rpc.AuthRoleAddRequest(name=role))
            self._ask("UserAdd", rpc.AuthUserAddRequest(name=user, password=password))
            self._ask("UserGrantRole", rpc.AuthUserGrantRoleRequest(user=user, role=role))
        self._ask("AuthEnable", rpc.AuthEnableRequest())
        login = rpc.AuthenticateRequest(name="root", password="rootpw")
        self._metadata = [("token", self._ask("Authenticate", login).token)]

    def close(self) -> None:
        self._channel.close()

    def _ask(self, method: str, request: Any) -> Any:
        return getattr(self._auth, method)(request, timeout=20, metadata=self._metadata)

    def grant(self, remedy: str) -> None:
        """Do what `check` says."""
        for command in remedy.split(" and "):
            words = command.split()
            assert words[:4] == ["etcdctl", "role", "grant-permission", "ROLE"]
            kind, key, end = (*words[4:], "")[:3]
            request = rpc.AuthRoleGrantPermissionRequest(name="mirror")
            request.perm.permType = {"read": 0, "readwrite": 2}[kind]
            request.perm.key, request.perm.range_end = key.encode(), end.encode()
            self._ask("RoleGrantPermission", request)


@pytest.fixture
def guarded(fresh_etcd: servers.Etcd) -> Iterator[Guarded]:
    made = Guarded(fresh_etcd.address)
    yield made
    made.close()


def _assert_it_wants_a_login(check: commands.Command, endpoint: dict[str, Any]) -> None:
    check.configure(etcd=endpoint)
    outcome = check("--json")
    assert outcome.code == 1
    assert "without a login [set etcd.username" in texts(outcome, "etcd", "FAIL")

    check.configure(etcd={**endpoint, "username": "m", "password": "wrong"})
    outcome = check("--json")
    assert outcome.code == 1
    assert "authentication failed" in texts(outcome, "etcd", "FAIL")
    assert "wrong" not in outcome.out


def _remedy_of_no_rights(check: commands.Command, world: mirroring.World, guarded: Guarded) -> str:
    """The user m may nothing, and then what `check` says of our own keys: the other remedy."""
    outcome = check("--json")
    failed = facts(outcome, "etcd", "FAIL")
    assert outcome.code == 1
    assert [fact["text"] for fact in failed] == [
        f"our own keys below {world.state}/ may not be read or written by the user m",
        f"{world.root} and the keys below it may not be read or written by the user m",
    ]
    guarded.grant(failed[0]["remedy"])
    return str(failed[1]["remedy"])


def test_rights_in_etcd(
    world: mirroring.World,
    check: commands.Command,
    fresh_etcd: servers.Etcd,
    guarded: Guarded,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Step by step, doing what each remedy says, until nothing is wrong, and a repair works."""
    world.zk.create(world.root, b"")
    world.zk.create(world.path("a"), b"1")
    endpoint = {"endpoints": [fresh_etcd.address]}
    _assert_it_wants_a_login(check, endpoint)
    check.configure(etcd={**endpoint, "username": "m", "password": "pw"})
    whole = _remedy_of_no_rights(check, world, guarded)
    own, below = whole.split(" and ")
    guarded.grant(own)
    failed = facts(check("--json"), "etcd", "FAIL")
    assert [(fact["text"], fact["remedy"]) for fact in failed] == [
        (f"the keys below {world.root}/ may not be read or written by the user m", below)
    ]
    guarded.grant(below.replace("readwrite", "read"))
    failed = facts(check("--json"), "etcd", "FAIL")
    assert [(fact["text"], fact["remedy"]) for fact in failed] == [
        (f"the keys below {world.root}/ may not be written by the user m", below)
    ]
    guarded.grant(f"{own.removesuffix(world.root)}{world.root}/ {world.root}/m")
    failed = facts(check("--json"), "etcd", "FAIL")
    assert "may not be written in part" in failed[0]["text"]
    guarded.grant(own.replace("readwrite", "read"))

    failed = facts(check("--json"), "etcd", "FAIL")
    (fact,) = failed
    assert fact["text"].startswith(f"the key {world.root} may not be written and the keys below ")
    assert fact["remedy"] == whole
    guarded.grant(whole)

    outcome = check("--json")
    assert outcome.code == 0, outcome
    assert main.run(["diff", "-c", str(check.path), "--round-interval", "50ms", "--fix"]) == 0
    assert "2 put" in capsys.readouterr().out
    assert main.run(["diff", "-c", str(check.path)]) == 0


def test_limits_of_etcd(
    world: mirroring.World, check: commands.Command, sandbox: servers.Sandbox
) -> None:
    small = ("--max-request-bytes", "262144", "--max-txn-ops", "64")
    server = sandbox.etcd(durable=False, arguments=small)
    server.start()
    check.configure(etcd={"endpoints": [server.address]})
    outcome = check("--json")
    assert outcome.code == 1
    assert "writing will be slower" in texts(outcome, "etcd", "note")
    assert "lower etcd.txn_bytes" in texts(outcome, "etcd", "FAIL")
    outcome = check("--json", "--set", "etcd.txn_bytes=128KiB")
    assert outcome.code == 0, outcome
    assert "values of 1 MiB" in texts(outcome, "etcd", "note")
    assert world.root in outcome.out


def test_a_newer_format(world: mirroring.World, check: commands.Command) -> None:
    world.etcd.put(f"{world.state}/format", b'{"v":9,"min_reader":9,"written_by":"the future"}')
    outcome = check("--json")
    assert outcome.code == 2
    assert "the future" in texts(outcome, "etcd", "FAIL")


def test_what_an_exclude_leaves_out_is_counted(
    world: mirroring.World, check: commands.Command
) -> None:
    paths = [world.path(f"s{n}", part) for n in range(3) for part in ("consumers", "providers")]
    for path in (*paths, world.path("s0", "consumers", "x"), world.path("odd*")):
        world.zk.create(path, b"", makepath=True)
    patterns = {each: world.path(*each.split("/")) for each in ("*/consumers", "**/none", "odd*")}
    exclude = [*patterns.values(), world.path("gone")]
    prefix = {"from": world.root, "to": world.root, "exclude": exclude}
    only = [world.path("*", "p*"), world.path("none")]
    check.configure(sync={"prefixes": [{**prefix, "only": only}]})
    outcome = check()
    assert outcome.code == 0, outcome
    for said in (
        f"ok    exclude {patterns['*/consumers']} leaves out 3 nodes at or below {world.root}",
        f"note  exclude {patterns['**/none']} matches nothing below {world.root}",
        f"note  exclude {world.path('gone')} matches nothing below {world.root}",
        f"ok    exclude {patterns['odd*']} leaves out 1 node at or below {world.root}",
        f"note  {patterns['odd*']} is a node too",
        f"ok    only {only[0]} mirrors 3 nodes at or below {world.root}",
        f"note  only {only[1]} matches nothing below {world.root}",
    ):
        assert said in outcome.out
    assert "write " + patterns["odd*"].replace("*", r"\*") in outcome.out


# --- supervisors that share -----------------------------------------------------------------------


@pytest.fixture
def others(world: mirroring.World) -> Iterator[list[keeping.Kept]]:
    """Two supervisors of the check's state prefix, as etcd knows them."""
    prefix = world.state.removeprefix("zk2etcd")
    url = f"http://{world.etcd_address}"
    # What a supervisor said last stands for one lease: longer than this takes.
    found = [keeping.Kept(url, prefix, name, 60.0) for name in ("one", "two")]
    yield found
    for each in found:
        each.close()


def test_supervisors_that_share_are_shown_with_what_is_odd_about_them(
    world: mirroring.World, check: commands.Command, others: list[keeping.Kept]
) -> None:
    observing.seed(world.zk, [(world.root, b"")])
    check.configure(cluster={"mode": "share"})
    like = sharing.alike(models.redacted(loader.load([str(check.path)]).config))
    one, two = others
    good = census.Member("one", frozenset({check.shard}), label="first")
    one.keeper.hears(messages.Standing(good, like, version.info().version))
    ill = census.Member("two", frozenset({check.shard}), failing=frozenset({"x-1"}))
    two.connected = False
    two.keeper.hears(messages.Standing(ill, "0" * 12, "0.9"))

    def both_said_so() -> bool:
        there = one.last.members if one.last is not None else {}
        return len(there) == 2 and not there["two"].healthy

    polling.until(both_said_so)
    outcome = check()
    assert outcome.code == 0, outcome
    shown = " ".join(outcome.out.split())
    for said in (
        "supervisor one (http://127.0.0.1:9180), called first shares, and has 0 of the shards",
        "supervisor two (http://127.0.0.1:9180) runs on another configuration than this one",
        f"is of release 0.9, this is {version.info().version}",
        "supervisor two (http://127.0.0.1:9180) has no session with ZooKeeper",
        "supervisor two (http://127.0.0.1:9180) could not mirror x-1",
        "2 supervisors share the shards: 0, 0",
        f"no supervisor has {check.shard}",
    ):
        assert said in shown
    assert "supervisor one (http://127.0.0.1:9180) runs on another" not in shown


def test_one_that_stands_by_is_odd_only_beside_those_who_share(
    world: mirroring.World, check: commands.Command, others: list[keeping.Kept]
) -> None:
    observing.seed(world.zk, [(world.root, b"")])
    one, _ = others
    one.keeper.hears(messages.Standing(census.Member("one", shares=False)))
    polling.until(lambda: one.last is not None and "one" in one.last.members)
    check.configure(cluster={"mode": "standby"})
    assert "gives nothing away" not in check().out
    check.configure(cluster={"mode": "share"})
    outcome = check()
    assert outcome.code == 0
    assert "supervisor one (http://127.0.0.1:9180) stands by" in outcome.out
    assert "takes what is free and gives nothing away" in outcome.out

"""Keepers of the census on a real etcd: what each knows of the others, whatever breaks."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import polling, proxy as proxies
from tests.integration import keeping
from zk2etcd import acts, census, messages, metrics
from zk2etcd.config import models
from zk2etcd.sandbox import servers
from zk2etcd_workers import main
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.gathering import configs, documents
from zk2etcd_workers.ownership import records

TTL = 4.0
SHARDS = frozenset({"a", "b", "c"})


class Kept(keeping.Kept):
    """A keeper whose supervisor gives signs of life, unless it is told not to."""

    def __init__(self, url: str, prefix: str, name: str) -> None:
        super().__init__(url, prefix, name, TTL)
        self.standing = keeping.standing(name, SHARDS)
        self.speaks = True
        self._over = threading.Event()
        threading.Thread(target=self._supervise, daemon=True).start()

    def _supervise(self) -> None:
        while not self._over.wait(0.1):
            if self.speaks:
                self.keeper.hears(self.standing)

    def knows(self, what: Callable[[census.Census], object], seconds: float = 5.0) -> census.Census:
        """The first of its censuses of which that is so."""
        polling.until(lambda: self.last is not None and what(self.last), seconds, what="a census")
        assert self.last is not None
        return self.last

    def is_told(
        self, does: Callable[[], object], what: Callable[[census.Census], object]
    ) -> census.Census:
        """The census of which that is so after `does`, by what was watched and not read. Where a
        read came between, another change shows it."""
        for _ in range(8):
            before = self.reads
            does()
            self.catches_up(self.put(wire.Put(self.keys.owner("z"), b"{}")))
            found = self.knows(what)
            if self.reads == before:
                return found
        raise AssertionError("each time it was read")

    def catches_up(self, revision: int) -> census.Census:
        return self.knows(lambda seen: seen.revision >= revision)

    def put(self, *ops: wire.Op) -> int:
        return self.client.txn(wire.Txn([], ops)).revision

    def owns(self, shard: str, lease: int | None = None) -> int:
        """Put its owner key; the token."""
        said = records.encode({"instance": self.name})
        lease = self.lease.obtain() if lease is None else lease
        return self.put(wire.Put(self.keys.owner(shard), said, lease))

    def close(self) -> None:
        self._over.set()
        super().close()


Keeps = Callable[..., Kept]


@pytest.fixture
def keeps(etcd: servers.Etcd, prefix: str) -> Iterator[Keeps]:
    with contextlib.ExitStack() as closing:

        def made(name: str, url: str = etcd.url) -> Kept:
            return closing.enter_context(contextlib.closing(Kept(url, prefix, name)))

        yield made


def members(*names: str) -> Callable[[census.Census], bool]:
    return lambda found: set(found.members) == set(names)


# --- what is known -------------------------------------------------------------------------------


def test_members_know_each_other_and_who_has_what(keeps: Keeps) -> None:
    one, two = keeps("one"), keeps("two")
    found = one.knows(members("one", "two"))
    said = dataclasses.replace(two.standing.member, healthy=True, url="http://127.0.0.1:9180")
    said = dataclasses.replace(said, config=two.standing.config, version=two.standing.version)
    assert found.members["two"] == said
    found = one.is_told(lambda: two.owns("a"), lambda seen: "a" in seen.owners)
    assert found.owners["a"].member == "two"
    token = two.owns("a")
    one.knows(lambda seen: seen.owners["a"].token == token)
    two.put(wire.Delete(two.keys.owner("a")))
    assert one.knows(lambda seen: "a" not in seen.owners).revision > token


def test_a_census_is_of_one_revision(keeps: Keeps) -> None:
    """What one Txn did is in it whole, or not at all."""
    one, two = keeps("one"), keeps("two")
    one.knows(members("one", "two"))
    lease = two.lease.obtain()
    owner, offer = two.keys.owner("a"), two.keys.offer("a")
    said, offered = records.encode({"instance": "two"}), documents.offer("two", "one", taken=False)
    until, pairs = time.monotonic() + 30, 0
    # What comes and goes between two tellings is never told of: until it was, once.
    while pairs < 40 or not any(seen.owners for seen in one.told):
        two.put(wire.Put(owner, said, lease), wire.Put(offer, offered, lease))
        last = two.put(wire.Delete(owner), wire.Delete(offer))
        pairs += 1
        assert time.monotonic() < until, "never told of what was there"
    one.knows(lambda seen: seen.revision >= last)
    assert [seen for seen in one.told if set(seen.owners) != set(seen.offers)] == []


def test_what_a_supervisor_says_is_known_to_others(keeps: Keeps) -> None:
    one, two = keeps("one"), keeps("two")
    one.knows(members("one", "two"))
    ours = two.standing.member
    two.standing = dataclasses.replace(
        two.standing, member=dataclasses.replace(ours, draining=True)
    )
    one.knows(lambda seen: seen.members["two"].draining)
    began = time.monotonic()
    two.connected = False
    one.knows(lambda seen: not seen.members["two"].healthy)
    assert time.monotonic() - began > 1.5


def test_offers_are_put_taken_and_withdrawn_by_what_was_known(keeps: Keeps) -> None:
    one, two = keeps("one"), keeps("two")
    one.knows(members("one", "two"))
    token = one.owns("a")
    seen = one.knows(lambda seen: "a" in seen.owners)
    one.keeper.act([acts.MakeOffer("a", "two", token, seen.revision)])
    seen = two.knows(lambda seen: "a" in seen.offers)
    put = seen.offers["a"]
    assert (put.giver, put.taker, put.taken) == ("one", "two", False)
    # Of what was overtaken nothing comes: another offer, by the census before; a wrong revision.
    one.owns("b")
    one.knows(lambda seen: "b" in seen.owners and "a" in seen.offers)
    late = acts.MakeOffer("b", "two", one.last_owner("b"), put.revision - 1)
    one.keeper.act([late, acts.Withdraw("a", put.revision - 1)])
    two.keeper.act([acts.TakeOffer("a", put.revision)])
    seen = one.knows(lambda seen: seen.offers["a"].taken)
    assert set(seen.offers) == {"a"}
    # It hangs on its owner's lease.
    assert one.hangs_on(one.keys.offer("a")) == one.lease.obtain()
    one.keeper.act([acts.Withdraw("a", seen.offers["a"].revision)])
    two.knows(lambda seen: not seen.offers)


# --- what breaks ---------------------------------------------------------------------------------


def test_a_frozen_supervisor_is_no_member(keeps: Keeps) -> None:
    """Although its worker lives, and keeps the lease."""
    one, two = keeps("one"), keeps("two")
    one.knows(members("one", "two"))
    two.owns("a")
    two.speaks = False
    began = time.monotonic()
    found = one.knows(members("one"), 3 * TTL)
    assert time.monotonic() - began > TTL / 2
    assert found.owners["a"].member == "two", "what it has is its own still"
    two.speaks = True
    one.knows(members("one", "two"))


def test_a_successor_puts_the_key_at_once(keeps: Keeps) -> None:
    """The one before died, and its lease lives for a while."""
    one, before = keeps("one"), keeps("two")
    one.knows(members("one", "two"))
    before.dies()
    after = keeps("two")
    after.knows(members("one", "two"))
    lease, key = after.lease.obtain(), after.keys.member("two")
    polling.until(lambda: after.hangs_on(key) == lease, TTL / 2)
    before.lease.close()
    gone = after.owns("a")
    assert "two" in one.knows(lambda seen: seen.revision >= gone).members


@pytest.mark.parametrize("breaks", ["cut", "mute"])
def test_what_a_dead_watch_does_not_tell_is_read(
    breaks: str, keeps: Keeps, etcd: servers.Etcd
) -> None:
    with proxies.Proxy(etcd.address) as proxy:
        one, two = keeps("one", f"http://{proxy.address}"), keeps("two")
        one.knows(members("one", "two"))
        getattr(proxy, breaks)()
        token = two.owns("a")
        one.knows(lambda seen: "a" in seen.owners, 20)
        # And there is a new one after a while.
        polling.until(lambda: one.keeper._watch is not None, 20, what="another watch")
        found = one.is_told(lambda: two.owns("b"), lambda seen: "b" in seen.owners)
        assert found.owners["a"].token == token


def test_a_deaf_watch_is_found_out_by_what_was_read(
    keeps: Keeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives signs of life, and tells nothing."""
    one, two = keeps("one"), keeps("two")
    one.knows(members("one", "two"))
    deaf = one.keeper._watch
    assert deaf is not None
    monkeypatch.setattr(deaf, "take", list)
    two.owns("a")
    one.knows(lambda seen: "a" in seen.owners, 2 * TTL)
    polling.until(lambda: one.keeper._watch not in (deaf, None), 3 * TTL, what="another watch")
    assert deaf._closed


def test_an_etcd_that_was_put_back_is_looked_at_anew(
    sandbox: servers.Sandbox, fresh_etcd: servers.Etcd
) -> None:
    with contextlib.closing(Kept(fresh_etcd.url, "/own", "one")) as one:
        one.knows(members("one"))
        snapshot = sandbox.folder / "snapshot"
        fresh_etcd.save(snapshot)
        ours = dataclasses.replace(one.standing.member, capacity=7)
        one.standing = dataclasses.replace(one.standing, member=ours)
        one.knows(lambda seen: seen.members["one"].capacity == 7)
        for _ in range(50):
            before = one.owns("b")
        one.knows(lambda seen: seen.revision >= before)
        fresh_etcd.stop()
        fresh_etcd.restore(snapshot)
        fresh_etcd.start()
        seen = one.knows(lambda seen: seen.revision < before, 15)
        assert not seen.owners
        # What was put since is put again.
        one.knows(lambda seen: seen.members["one"].capacity == 7 and seen.revision < before, 10)


@pytest.mark.slow
def test_a_frozen_process_is_no_member_and_comes_back(
    keeps: Keeps, etcd: servers.Etcd, prefix: str
) -> None:
    """12 s: as long as a lease, twice."""
    one = keeps("one")
    command = [sys.executable, "-m", "tests.integration.keeping", etcd.url, prefix, "two", str(TTL)]
    child = subprocess.Popen(command)
    try:
        one.knows(members("one", "two"), 20)
        child.send_signal(signal.SIGSTOP)
        one.knows(members("one"), 15)
        child.send_signal(signal.SIGCONT)
        one.knows(members("one", "two"), 10)
    finally:
        child.kill()
        child.wait(10)


# --- in a worker ---------------------------------------------------------------------------------


class Worked:
    """A worker that is told to keep the census, and what it tells."""

    def __init__(self, zookeeper: str, etcd: str, prefix: str, name: str) -> None:
        self.name = name
        self.settings = models.Config.model_validate(
            {
                "zookeeper": {"hosts": [zookeeper]},
                "etcd": {"endpoints": [f"http://{etcd}"]},
                "state": {"prefix": f"zk2etcd{prefix}", "lease_ttl": TTL},
                "sync": {"prefixes": [{"from": prefix, "to": prefix}]},
            }
        )
        self.told: list[messages.Gathered] = []
        self.reports: list[messages.Report] = []
        self._near, far = multiprocessing.Pipe()
        self._telling = threading.Lock()
        identity = messages.Identity(name, "w0", 1, "http://127.0.0.1:9180")
        spec = messages.WorkerSpec(identity, self.settings, "", "error", shares=True)
        worker = main.Worker(spec, far, metrics.null())
        self._far, self._generation = far, 0
        self._thread = threading.Thread(target=worker.run, daemon=True)
        self._thread.start()
        threading.Thread(target=self._read, daemon=True).start()
        self._over = threading.Event()
        threading.Thread(target=self._speak, daemon=True).start()

    def _speak(self) -> None:
        """A supervisor's signs of life."""
        while not self._over.wait(0.2):
            self.tell(keeping.standing(self.name, SHARDS))

    def assign(self, *, keeps: bool) -> None:
        self._generation += 1
        order = messages.Assign(self._generation, (), {}, self.settings, keeps=keeps)
        self.tell(order)

    def tell(self, command: messages.Command) -> None:
        with self._telling:
            self._near.send(command)

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                told = self._near.recv()
                (self.told if isinstance(told, messages.Gathered) else self.reports).append(told)

    def sees(self, what: Callable[[messages.Gathered], object]) -> messages.Gathered:
        return polling.until(
            lambda: next((each for each in self.told if what(each)), None), 15, what="a census"
        )  # type: ignore[return-value]

    def close(self) -> None:
        self._over.set()
        self.tell(messages.Drain(2.0))
        self._thread.join(10)
        self._near.close()


def test_a_worker_keeps_the_census_while_it_is_told_to(
    zookeeper: servers.ZooKeeper, etcd: servers.Etcd, prefix: str, keeps: Keeps
) -> None:
    two = keeps("two")
    with contextlib.closing(Worked(zookeeper.address, etcd.address, prefix, "one")) as one:
        one.assign(keeps=True)
        found = one.sees(lambda told: len(told.found.members) == 2)
        assert found.found.members["one"].shards == SHARDS
        assert 0 <= found.age_seconds < TTL
        two.knows(lambda seen: "one" in seen.members and seen.members["one"].healthy)
        # Over other connections, after a reload, too.
        etcd_settings = one.settings.etcd.model_copy(update={"request_timeout": 3.0})
        one.settings = one.settings.model_copy(update={"etcd": etcd_settings})
        one.assign(keeps=True)
        one.sees(lambda told: told.generation == 2 and "one" in told.found.members)
        token = two.owns("a")
        offer = acts.MakeOffer("a", "one", token, token)
        two.knows(lambda seen: "a" in seen.owners)
        two.keeper.act([offer])
        made = one.sees(lambda told: "a" in told.found.offers).found.offers["a"]
        one.tell(messages.Offers((acts.TakeOffer("a", made.revision),)))
        two.knows(lambda seen: "a" in seen.offers and seen.offers["a"].taken)
        one.assign(keeps=False)
        polling.until(lambda: one.reports[-1].generation == 3, 5)
        last = len(one.told)
        two.owns("b")
        two.knows(lambda seen: "b" in seen.owners)
        assert not any("b" in each.found.owners for each in one.told[last:])


# --- lists of shards -----------------------------------------------------------------------------


def test_lists_that_no_member_names_are_deleted_in_the_end(keeps: Keeps) -> None:
    one = keeps("one")
    one.knows(members("one"))
    lists = configs.Configs(one.client, one.keys)
    old = lists.ensure(frozenset({"x"}))
    mine = one.keys.config(documents.digest(SHARDS))
    kept = {documents.digest(SHARDS)}
    for now in (0.0, 29.0):
        lists.sweep(kept, now, 30.0)
        assert one.client.lookup([old, mine]).count(None) == 0
    lists.sweep(kept, 30.0, 30.0)
    assert [kv is None for kv in one.client.lookup([old, mine])] == [True, False]


def test_a_list_in_parts_is_read_whole_or_not_at_all(keeps: Keeps) -> None:
    one = keeps("one")
    shards = frozenset(f"services-number-{number}-1a2b3c4d" for number in range(12_000))
    first = configs.Configs(one.client, one.keys).ensure(shards)
    digest = documents.digest(shards)
    reader = configs.Configs(one.client, one.keys)
    reader.learn([digest], 0.0)
    assert reader.shards(digest) == shards
    one.put(wire.Delete(first + b"/1"))
    other = configs.Configs(one.client, one.keys)
    other.learn([digest], 0.0)
    assert other.shards(digest) == frozenset()


def test_why_nothing_is_told_stands_until_something_is(prefix: str) -> None:
    """Also in the turns between two reads, which ask for nothing."""
    kept = keeping.Kept("http://127.0.0.1:1", prefix, "one", 3.0)
    try:
        kept.keeper.hears(keeping.standing("one", ["a"]))
        polling.until(lambda: kept.keeper.untold, 10, what="a reason")
        said, until = list[str | None](), time.monotonic() + 2.5

        def over() -> bool:
            said.append(kept.keeper.untold)
            return time.monotonic() > until

        polling.until(over, 10)
        assert None not in said
    finally:
        kept.close()


def test_what_is_told_while_it_is_read_is_not_forgotten(
    keeps: Keeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch may be ahead of the answer to a read."""
    one, two = keeps("one"), keeps("two")
    one.knows(members("one", "two"))
    real, start = one.client.txn, one.keys.shared()[0][0]
    late: list[int] = []

    def slow(txn: wire.Txn, **named: Any) -> wire.Answer:
        answer = real(txn, **named)
        is_read = any(isinstance(op, wire.Range) and op.key == start for op in txn.success)
        if is_read and not late:
            late.append(two.owns("a"))
            time.sleep(0.5)  # it is told of within that time
        return answer

    monkeypatch.setattr(one.client, "txn", slow)
    polling.until(lambda: late, 10, what="a read")
    reads = one.reads
    one.knows(lambda seen: "a" in seen.owners, 1.0)
    assert one.reads <= reads + 1
    assert all(new.revision >= old.revision for old, new in itertools.pairwise(one.told))


def test_lists_that_members_name_stay_known(keeps: Keeps, monkeypatch: pytest.MonkeyPatch) -> None:
    one = keeps("one")
    monkeypatch.setattr(configs, "_MOST", 3)
    known = configs.Configs(one.client, one.keys)
    lists = [frozenset({f"shard-{number}"}) for number in range(5)]
    for each in lists:
        configs.Configs(one.client, one.keys).ensure(each)
    digests = [documents.digest(each) for each in lists]
    known.learn(digests[:3], 0.0)
    known.learn(digests[1:], 0.0)
    assert [known.shards(each) for each in digests[1:]] == lists[1:]


def test_what_somebody_else_wrote_ends_no_keeper(keeps: Keeps) -> None:
    one = keeps("one")
    one.knows(members("one"))
    said = b'{"v":1,"shares":true,"capacity":1,"draining":false,"healthy":true,"failing":[]'
    for number, more in enumerate(
        [b'"name":"\\ud800"', b'"name":"","shards":"\\ud800"', b"[" * 10**5]
    ):
        one.put(wire.Put(one.keys.member(f"odd{number}"), said + b"," + more + b"}"))
    one.put(wire.Put(one.keys.owner("x"), b'{"v":1,"instance":"\\ud800"}'))
    stray = one.keys.all_of("configs")[0] + b"\xff"
    one.put(wire.Put(stray, b"?"))
    configs.Configs(one.client, one.keys).sweep([], 0.0, 0.0)
    assert not one.client.range(stray).kvs
    found = one.knows(lambda seen: len(seen.members) == 4 and "x" in seen.owners)
    assert [each.shares for each in found.members.values()].count(True) == 2
    time.sleep(TTL)
    assert one.keeper.failed_at is None

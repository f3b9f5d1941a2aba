"""Before ZooKeeper 3.6: after a lost connection it is asked what has changed, and not read again.

No walk follows here but where a test says so, and a base is counted: what is equal then is so by
what ZooKeeper told. A full sync at the end proves that nothing was missed, and that all is watched.
"""

from __future__ import annotations

import dataclasses
import pathlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import kazoo.exceptions
import kazoo.security
import pytest

from tests import copies, ensemble, polling, proxy, releases
from tests.integration import mirroring, observing
from zk2etcd import errors
from zk2etcd.sandbox import servers
from zk2etcd_workers.mirror import base, mirror as mirrors
from zk2etcd_workers.mirror.stock import naming, resume, taking
from zk2etcd_workers.shard import confirm, context, dirty_paths
from zk2etcd_workers.zookeeper import protocol
from zk2etcd_workers.zookeeper.classic import resumption

QUICK = {"session_timeout": 4.0, "connect_timeout": 2.0, "request_timeout": 4.0}
LONG = {"session_timeout": 30.0, "connect_timeout": 2.0, "request_timeout": 4.0}
READ_FOR_NOBODY = [kazoo.security.make_digest_acl("nobody", "secret", all=True)]


class Line(mirroring.World):
    """Both sides, and a way between zk2etcd and ZooKeeper that can be cut."""

    def __init__(self, zookeeper: str, etcd: str, root: str, patches: pytest.MonkeyPatch) -> None:
        super().__init__(zookeeper, etcd, root)
        self.way = proxy.Proxy(zookeeper)
        self.bases = self.resumed = 0
        run, resuming = base.Base.run, taking.Stock._resume

        def counted(one: base.Base, *, first: bool) -> base.Done:
            self.bases += 1
            return run(one, first=first)

        def resumes(one: taking.Stock, ctx: object) -> object:
            found = resuming(one, ctx)  # type: ignore[arg-type]
            self.resumed += found is not None
            return found

        patches.setattr(base.Base, "run", counted)
        patches.setattr(taking.Stock, "_resume", resumes)
        full_sync = mirrors.Mirror.full_sync

        def walks(one: mirrors.Mirror, trace_id: str = "") -> None:
            if self.walks:
                full_sync(one, trace_id)

        patches.setattr(mirrors.Mirror, "full_sync", walks)
        self.walks = False

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__(*_)
        self.way.close()

    def classic(self, zookeeper: dict[str, float] = LONG, **sections: object) -> mirroring.Worker:
        """It follows, and knows up to where etcd is equal."""
        hosts = {"hosts": [self.way.address], "protocol": "classic", **zookeeper}
        worker = self.worker(zookeeper=hosts, **sections)  # type: ignore[arg-type]
        worker.follows()
        self.equal()
        self.clean(worker)
        return worker

    def mirror(self, worker: mirroring.Worker) -> mirrors.Mirror:
        (one,) = worker._worker._mirrors.values()
        return one

    def clean(self, worker: mirroring.Worker) -> None:
        """All that happened by now is known to be in etcd."""
        self.zk.create(f"{self.root}-mark", ephemeral=True)
        _, stat = self.zk.get(f"{self.root}-mark")
        self.zk.delete(f"{self.root}-mark")

        def known() -> bool:
            following = self.mirror(worker)._follow
            return following is not None and following.freshness.clean >= stat.czxid

        polling.until(known, 20, what="clean")

    def away(self, change: Callable[[], object]) -> None:
        """Let something happen while nobody looks."""
        self.way.refuse()
        change()
        self.way.heal()

    def back(self, worker: mirroring.Worker, resumed: int, bases: int) -> None:
        """It follows again, after as many of each, since it began."""
        polling.until(lambda: (self.resumed, self.bases) == (resumed, bases), 20, what="a start")
        worker.follows(20)

    def starts_over(self) -> None:
        """Cut it, and wait until what changed has been asked for, or a base has begun."""
        before = self.resumed + self.bases
        self.way.cut()
        polling.until(lambda: self.resumed + self.bases > before, 20, what="the next start")

    def missed_nothing(self, worker: mirroring.Worker) -> None:
        self.equal()
        fixes = dict(worker.counts.fixes)
        self.walks = True
        last = worker.full_sync().last_full_sync
        self.walks = False
        assert worker.counts.fixes == fixes
        assert last is not None
        assert (last.put, last.delete, last.missed) == (0, 0, 0)


@pytest.fixture(params=["3.4", pytest.param("installed", marks=pytest.mark.long)])
def line(
    request: pytest.FixtureRequest, etcd: servers.Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Line]:
    server: servers.ZooKeeper = request.getfixturevalue(
        "old" if request.param == "3.4" else "zookeeper"
    )
    made = Line(server.address, etcd.address, prefix, monkeypatch)
    with made:
        yield made


def _seed(on: Line) -> None:
    names = ["set", "gone", "again", "leaf", "emptied", "beside"]
    observing.seed(on.zk, [(on.root, b""), *((on.path(name), b"") for name in names)])
    deep = [on.path("gone", "a"), on.path("gone", "a", "b"), on.path("again", "a")]
    observing.seed(on.zk, [(path, b"deep") for path in (*deep, on.path("again", "b"))])
    observing.seed(on.zk, [(on.path("emptied", f"{n}"), b"") for n in range(3)])
    on.zk.create(on.path("many"), b"")
    observing.seed(on.zk, ((on.path("many", f"{n:04d}"), b"v") for n in range(1_500)))


def _everything(on: Line) -> None:
    """Each kind of change."""
    zk, path = on.zk, on.path
    zk.set(path("set"), b"1")
    zk.set(path("many", "0007"), b"")
    zk.delete(path("gone"), recursive=True)
    zk.delete(path("again"), recursive=True)
    zk.create(path("again"), b"")
    zk.create(path("again", "a"), b"deep")
    zk.create(path("again", "c"), b"")
    zk.create(path("leaf", "below", "it", "deep"), b"d", makepath=True)
    zk.delete(path("emptied"), recursive=True)
    zk.create(path("emptied"), b"")
    zk.create(path("many", "new"), b"n")
    zk.delete(path("many", "0008"))
    zk.delete(path("many", "0009"))
    zk.create(path("many", "0009"), b"other")
    zk.create(path("short-lived"), b"")
    zk.delete(path("short-lived"))
    zk.create(path("beside", "e"), b"e", ephemeral=True)
    zk.create(path("new", "tree", "of", "nodes"), b"", makepath=True)


def _live(on: Line) -> None:
    """On what was there, what changed, and what is new: all of it is watched."""
    zk, path = on.zk, on.path
    zk.set(path("beside"), b"live")
    zk.set(path("many", "0100"), b"live")
    zk.create(path("many", "0101", "below"), b"live")
    zk.create(path("many", "new", "below"), b"live")
    zk.set(path("new", "tree", "of", "nodes"), b"live")
    zk.create(path("new", "tree", "of", "nodes", "below"), b"live")
    zk.create(path("again", "d"), b"live")
    zk.delete(path("again", "c"))
    zk.create(path("emptied", "0"), b"live")
    zk.delete(path("many", "0102"))
    zk.create(path("live"), b"live")


@pytest.mark.long
@pytest.mark.parametrize("session", ["the same", "another"])
def test_each_kind_of_change_is_told_of(line: Line, session: str) -> None:
    _seed(line)
    worker = line.classic(LONG if session == "the same" else QUICK)
    client = worker.session._client
    line.way.refuse()
    _everything(line)
    if session == "another":
        polling.until(lambda: worker.session._client is not client, 20, what="another client")
    line.way.heal()
    line.back(worker, 1, 1)
    line.equal()
    _live(line)
    line.equal()
    line.missed_nothing(worker)


@pytest.mark.long
def test_what_was_on_its_way_when_the_connection_broke(line: Line) -> None:
    """It was told of, and is not in etcd: the zxid up to which all is, is from before it."""
    observing.seed(line.zk, [(line.root, b""), (line.path("a"), b"0"), (line.path("p"), b"")])
    worker = line.classic()
    line.way.hold("up")  # what is dirty cannot be read again
    line.zk.set(line.path("a"), b"1")
    line.zk.create(line.path("p", "new"), b"n")
    line.zk.create(line.path("p", "other", "deeper"), b"n", makepath=True)
    mirror = line.mirror(worker)
    polling.until(lambda: line.path("a").encode() in mirror._follow._pipeline.busy, 10)  # type: ignore[union-attr]
    line.away(lambda: line.zk.set(line.path("p", "other"), b"2"))
    line.back(worker, 1, 1)
    line.equal()
    line.missed_nothing(worker)


def test_a_child_that_is_known_and_not_in_etcd(line: Line) -> None:
    """Its parent's list was read again, by which it is known; its own value has not been."""
    observing.seed(line.zk, [(line.root, b""), (line.path("p"), b"")])
    worker = line.classic()
    mirror = line.mirror(worker)
    taken = mirror._dirty.take
    mirror._dirty.take = lambda count: {}  # type: ignore[method-assign]  # noqa: ARG005
    line.zk.create(line.path("p", "new"), b"n")
    polling.until(lambda: line.path("p", "new").encode() in mirror._dirty, 10, what="it is known")
    clean = mirror._follow.freshness.clean  # type: ignore[union-attr]
    _, stat = line.zk.get(line.path("p", "new"))
    assert clean < stat.czxid
    line.way.refuse()
    mirror._dirty.take = taken  # type: ignore[method-assign]
    line.way.heal()
    line.back(worker, 1, 1)
    line.equal()
    line.missed_nothing(worker)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[naming.Names]:
    """Each reading of etcd for what is to be named."""
    found: list[naming.Names] = []
    begin = naming.Names.__init__

    def begins(one: naming.Names, ctx: context.Context) -> None:
        begin(one, ctx)
        found.append(one)

    monkeypatch.setattr(naming.Names, "__init__", begins)
    return found


def _many(on: Line) -> int:
    """More keys than the first page has; how many."""
    observing.seed(on.zk, [(on.root, b""), *((on.path(f"{n:04d}"), b"0") for n in range(300))])
    return 301


def test_what_is_to_be_named_is_read_before_there_is_a_connection(
    line: Line, read: list[naming.Names]
) -> None:
    keys = _many(line)
    worker = line.classic()

    def change() -> None:
        polling.until(lambda: read and read[0].keys == keys, 10, what="all is read")
        line.zk.set(line.path("0007"), b"1")
        line.zk.delete(line.path("0008"))
        line.zk.create(line.path("0009", "new"), b"1")

    line.away(change)
    line.back(worker, 1, 1)
    line.equal()
    line.missed_nothing(worker)


def test_while_no_connection_comes_about_etcd_is_left_alone(
    line: Line, read: list[naming.Names]
) -> None:
    keys = _many(line)
    worker = line.classic()
    mirror = line.mirror(worker)
    before = mirror.failures

    def change() -> None:
        polling.until(lambda: mirror.failures >= before + 3, 30, what="attempts that fail")
        line.zk.set(line.path("0007"), b"1")

    line.away(change)
    line.back(worker, 1, 1)
    assert len(read) == 2
    assert read[1].keys == keys
    line.equal()
    line.missed_nothing(worker)


def test_what_was_read_for_larger_requests_is_read_again(
    line: Line, read: list[naming.Names]
) -> None:
    keys = _many(line)
    worker = line.classic()
    assert keys * len(line.path("0000")) > 500, "it takes several requests"

    def change() -> None:
        polling.until(lambda: read and read[0].keys == keys, 10, what="all is read")
        worker.session.request_size.most = 500
        line.zk.set(line.path("0007"), b"1")

    line.away(change)
    line.back(worker, 1, 1)
    assert read[-1].most == 500
    assert read[-1].keys == keys
    line.equal()
    line.missed_nothing(worker)


@pytest.mark.long
def test_keys_elsewhere(line: Line) -> None:
    target = f"/elsewhere{line.root}"
    observing.seed(line.zk, [(line.root, b""), (line.path("a"), b"0"), (line.path("b"), b"0")])
    hosts = {"hosts": [line.way.address], "protocol": "classic", **LONG}
    worker = line.worker(targets={line.root: target}, zookeeper=hosts)
    worker.follows()
    line.clean(worker)

    def change() -> None:
        line.zk.set(line.path("a"), b"1")
        line.zk.delete(line.path("b"))
        line.zk.create(line.path("a", "new"), b"1")

    line.away(change)
    line.back(worker, 1, 1)
    assert len(line.equal(target=target)) == 3


@pytest.mark.long
def test_a_question_that_breaks_off_is_not_asked_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    observing.seed(line.zk, [(line.root, b""), (line.path("a"), b"0")])
    worker = line.classic()
    settled = dirty_paths.Dirty.answered

    def breaks_off(dirty: dirty_paths.Dirty) -> set[bytes]:
        worker.session.drop("a test")
        settled(dirty)
        raise errors.SessionDoubt("a test")

    monkeypatch.setattr(dirty_paths.Dirty, "answered", breaks_off)
    line.away(lambda: line.zk.set(line.path("a"), b"1"))
    line.back(worker, 0, 2)
    line.equal()


@pytest.mark.long
def test_a_walk_follows(line: Line) -> None:
    """It finds what nobody told of: what a stranger did in etcd, here."""
    observing.seed(line.zk, [(line.root, b""), (line.path("a"), b"0"), (line.path("b"), b"0")])
    worker = line.classic()
    line.walks = True

    def tamper() -> None:
        line.etcd.put(line.path("a"), b"tampered")
        line.etcd.delete(line.path("b"))

    line.away(tamper)
    line.back(worker, 1, 1)
    line.equal()
    last = worker.wait(lambda each: not each.full_sync_running).last_full_sync
    assert last is not None
    assert (last.put, last.delete, last.missed) == (2, 0, 0)
    line.zk.create(line.path("b", "below"), b"watched")
    line.zk.set(line.path("b"), b"watched")
    line.equal()
    # Once it is over, the next one need not be a base either.
    line.clean(worker)
    line.away(lambda: line.zk.set(line.path("a"), b"1"))
    line.back(worker, 2, 1)
    line.equal()


@pytest.mark.long
def test_without_a_walk_in_between_a_base_looks_at_everything(line: Line) -> None:
    observing.seed(line.zk, [(line.root, b""), (line.path("a"), b"0")])
    worker = line.classic()
    line.away(lambda: line.zk.set(line.path("a"), b"1"))
    line.back(worker, 1, 1)
    line.equal()
    line.away(lambda: line.zk.set(line.path("a"), b"2"))
    line.back(worker, 1, 2)
    line.equal()


@pytest.mark.long
def test_a_root_that_is_gone_is_the_guards_case(line: Line) -> None:
    observing.seed(line.zk, [(line.root, b""), (line.path("a"), b"0"), (line.path("b"), b"0")])
    worker = line.classic()
    before = line.etcd.values(line.root)
    line.away(lambda: line.zk.delete(line.root, recursive=True))
    assert worker.trip().deletes == 3
    assert line.etcd.values(line.root) == before
    assert (line.resumed, line.bases) == (0, 2)
    # While it holds, etcd has what ZooKeeper has not.
    line.away(lambda: None)
    line.back(worker, 0, 3)
    assert line.etcd.values(line.root) == before


@pytest.mark.long
def test_many_deletes_that_nobody_saw_are_the_guards_case(line: Line) -> None:
    observing.seed(line.zk, [(line.root, b""), (line.path("p"), b""), (line.path("q"), b"")])
    observing.seed(line.zk, ((line.path("p", f"{n}"), b"v") for n in range(40)))
    limits = {"delete_guard": {"min_deletes": 10, "max_ratio": 0.3}}
    worker = line.classic(sync=limits)
    line.away(lambda: [line.zk.delete(line.path("p", f"{n}")) for n in range(10)])
    line.back(worker, 1, 1)
    assert len(line.equal()) == 33
    line.walks = True
    worker.full_sync()
    line.clean(worker)
    before = line.etcd.values(line.root)
    line.away(lambda: [line.zk.delete(line.path("p", f"{n}")) for n in range(10, 30)])
    assert worker.trip().deletes == 20
    assert line.etcd.values(line.root) == before
    assert (line.resumed, line.bases) == (1, 2)


@pytest.mark.long
def test_a_delete_that_was_seen_is_no_case_for_the_guard(line: Line) -> None:
    """And was not written yet when the connection broke."""
    observing.seed(line.zk, [(line.root, b""), (line.path("p"), b"")])
    observing.seed(line.zk, ((line.path("p", f"{n}"), b"v") for n in range(40)))
    worker = line.classic(sync={"delete_guard": {"min_deletes": 10, "max_ratio": 0.3}})
    mirror = line.mirror(worker)
    taken = mirror._dirty.take
    mirror._dirty.take = lambda count: {}  # type: ignore[method-assign]  # noqa: ARG005
    for number in range(30):
        line.zk.delete(line.path("p", f"{number}"))
    polling.until(lambda: len(mirror._dirty) == 30, 10, what="all were seen")
    line.way.refuse()
    mirror._dirty.take = taken  # type: ignore[method-assign]
    line.way.heal()
    line.back(worker, 1, 1)
    assert len(line.equal()) == 12
    line.missed_nothing(worker)


@pytest.mark.long
@pytest.mark.parametrize("what", ["denied", "held back", "foreign", "excluded"])
def test_what_etcd_has_not_as_it_is(line: Line, what: str) -> None:
    """Where something cannot be mirrored, a base looks; where it is not to be, nobody minds."""
    observing.seed(line.zk, [(line.root, b""), (line.path("a"), b"0"), (line.path("b"), b"0")])
    sync = {}
    if what == "held back":
        sync["deletes"] = "never"
    if what == "denied":
        line.zk.set_acls(line.path("b"), READ_FOR_NOBODY)
    if what == "excluded":
        observing.seed(line.zk, [(line.path("x"), b""), (line.path("x", "below"), b"")])
        line.etcd.put(line.path("x", "theirs"), b"")
    line.etcd.put(line.path("foreign//key"), b"theirs")
    exclude = [line.path("x")] if what == "excluded" else []
    hosts = {"hosts": [line.way.address], "protocol": "classic", **LONG}
    worker = line.worker(zookeeper=hosts, exclude=exclude, sync=sync)
    worker.follows()
    line.clean(worker)

    def change() -> None:
        line.zk.set(line.path("a"), b"1")
        line.zk.create(line.path("c"), b"1")
        if what == "excluded":
            line.zk.delete(line.path("x"), recursive=True)

    line.away(change)
    line.back(worker, *((0, 2) if what in ("denied", "held back") else (1, 1)))
    polling.until(lambda: line.etcd.value(line.path("c")) == b"1", 10)
    polling.until(lambda: line.etcd.value(line.path("a")) == b"1", 10)
    assert line.etcd.value(line.path("foreign//key")) == b"theirs"
    if what == "excluded":
        assert line.etcd.value(line.path("x", "theirs")) == b""


def _while(on: Line) -> None:
    """On what is named, and was not."""
    zk, path = on.zk, on.path
    zk.set(path("set"), b"1")
    zk.delete(path("gone"))
    zk.delete(path("again"))
    zk.create(path("again"), b"2")
    zk.create(path("leaf", "new"), b"n")
    zk.create(path("new", "below"), b"n", makepath=True)
    for _ in range(2):
        zk.create(path("twice"), b"t", ephemeral=True)
        zk.delete(path("twice"))
    zk.create(path("twice"), b"t")


@pytest.mark.long
@pytest.mark.parametrize("before", ["name", "named_all", "list_changed", "__exit__"])
def test_what_changes_while_it_is_asked(
    line: Line, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its watch is set or after, before its parent's list is read or after."""
    names = ("set", "gone", "again", "leaf")
    observing.seed(line.zk, [(line.root, b""), *((line.path(each), b"0") for each in names)])
    worker = line.classic()
    done = getattr(resumption.Resumption, before)
    changed: list[bool] = []

    def changes(one: resumption.Resumption, *rest: Any) -> Any:
        if not changed:
            changed.append(True)
            _while(line)
        return done(one, *rest)

    monkeypatch.setattr(resumption.Resumption, before, changes)
    line.away(lambda: line.zk.create(line.path("away"), b""))
    line.back(worker, 1, 1)
    line.equal()
    line.missed_nothing(worker)


def test_a_read_that_strayed_onto_the_new_connection(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was meant for the connection before: what it read is known, and not in etcd."""
    observing.seed(line.zk, [(line.root, b""), (line.path("p"), b"0")])
    worker = line.classic()
    new = line.path("p", "new")
    name = resume._name

    def strays(ctx: context.Context, *rest: Any) -> Any:
        read = [(protocol.GET_DATA, new.encode())]
        confirm.ask(ctx, lambda sink: ctx.session.read(read, sink))
        return name(ctx, *rest)

    monkeypatch.setattr(resume, "_name", strays)
    line.away(lambda: line.zk.create(new, b"n"))
    line.back(worker, 1, 1)
    line.equal()
    line.missed_nothing(worker)


def test_over_the_same_connection_a_base_looks_at_everything(line: Line) -> None:
    """What was told of over it, and is not in etcd, is known there."""
    observing.seed(line.zk, [(line.root, b""), (line.path("p"), b"0")])
    worker = line.classic()
    mirror = line.mirror(worker)
    taken, failures = mirror._dirty.take, mirror.failures
    mirror._dirty.take = lambda count: {}  # type: ignore[method-assign]  # noqa: ARG005
    new = line.path("p", "new")
    line.zk.create(new, b"n")
    polling.until(lambda: new.encode() in mirror._dirty, 10, what="it is known")
    mirror._inbox.put(errors.SessionDoubt("ZooKeeper's client lost an answer"))
    polling.until(lambda: mirror.failures > failures, 10, what="it starts over")
    mirror._dirty.take = taken  # type: ignore[method-assign]
    line.back(worker, 0, 2)
    line.equal()


@pytest.mark.long
def test_a_root_that_etcd_has_not_is_not_named(line: Line) -> None:
    observing.seed(line.zk, [(line.root, b""), (line.path("p"), b"0")])
    worker = line.classic()

    def change() -> None:
        line.etcd.delete(line.root)
        line.zk.create(line.path("new"), b"n")

    line.away(change)
    line.back(worker, 0, 2)
    line.equal()


@pytest.mark.long
def test_more_than_the_queue_holds_is_a_base(line: Line) -> None:
    observing.seed(line.zk, [(line.root, b""), *((line.path(f"{n}"), b"0") for n in range(60))])
    worker = line.classic()
    line.mirror(worker)._dirty._limit = 20
    line.away(lambda: [line.zk.set(line.path(f"{n}"), b"1") for n in range(60)])
    line.back(worker, 0, 2)
    line.equal()


@pytest.mark.long
@pytest.mark.parametrize("further", [0, 200], ids=["behind", "ahead"])
def test_a_server_that_was_put_back_is_not_asked(
    sandbox: servers.Sandbox,
    etcd: servers.Etcd,
    prefix: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    further: int,
) -> None:
    """What it lost has no zxid above the clean one: nothing would be told of it."""
    server = sandbox.zookeeper(
        durable=False, class_path=releases.class_path(releases.ZOOKEEPER_3_4)
    )
    server.start()
    with Line(server.address, etcd.address, prefix, monkeypatch) as line:
        observing.seed(line.zk, [(line.root, b""), (line.path("a"), b"0"), (line.path("b"), b"0")])
        worker = line.classic()
        saved = copies.copied([server], tmp_path)
        line.zk.set(line.path("a"), b"1")
        line.zk.create(line.path("new"), b"n")
        line.equal()
        line.clean(worker)
        before = line.etcd.values(line.root)
        line.way.refuse()
        copies.put_back([server], saved)
        other = observing.connected(server.address)
        other.create("/other", b"")
        for number in range(further):
            other.set("/other", b"%d" % number)
        line.way.heal()
        assert worker.trip(40, kind="identity")
        assert (line.resumed, line.bases) == (0, 1)
        assert line.etcd.values(line.root) == before
        other.stop()
        other.close()


@pytest.mark.long
def test_a_follower_that_lags_is_asked_once_it_has_caught_up(
    sandbox: servers.Sandbox, etcd: servers.Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be used, being above the checkpoint, and is below the clean zxid."""
    three = ensemble.Ensemble(sandbox)
    lags = three.follower()
    other = next(each for each in three.members if each is not lags)
    with Line(other.address, etcd.address, prefix, monkeypatch) as line:
        names = ("set", "gone", "again", "leaf")
        observing.seed(line.zk, [(line.root, b""), *((line.path(each), b"0") for each in names)])
        worker = line.classic()
        lags.lag()
        line.clean(worker)
        line.way.refuse()
        _while(line)
        line.way.retarget(lags.address)
        line.way.heal()
        polling.until(lambda: worker.session.connected, 20, what="a session with it")
        assert (line.resumed, line.bases) == (0, 1)
        lags.catch_up()
        line.back(worker, 1, 1)
        line.equal()
        line.missed_nothing(worker)
    three.close()


@pytest.mark.long
def test_random_changes_over_a_line_that_breaks(line: Line) -> None:
    """A seeded crowd of changes over few names goes on while the connection is cut, again and
    again; every walk that follows finds that nothing was missed."""
    dice = random.Random(7)
    line.zk.create(line.root, b"")
    worker = line.classic()
    line.walks = True
    done = threading.Event()
    writer = threading.Thread(target=_changes, args=(line, dice, done))
    writer.start()
    try:
        for _ in range(4):
            line.starts_over()
            report = worker.wait(
                lambda each: not each.full_sync_running and each.phase == "following", 20
            )
            assert report.last_full_sync is not None
            assert report.last_full_sync.missed == 0
            line.clean(worker)
    finally:
        done.set()
        writer.join()
    assert line.resumed >= 2
    line.missed_nothing(worker)


def _changes(on: Line, dice: random.Random, done: threading.Event) -> None:
    client = observing.connected(on.zookeeper)
    number = 0
    while not done.is_set():
        number += 1
        path = on.path(*(dice.choice("xyz") for _ in range(dice.randint(1, 4))))
        kind = dice.random()
        try:
            if kind < 0.5:
                client.create(path, b"%d" % number)
            elif kind < 0.7:
                client.set(path, b"%d" % number)
            else:
                client.delete(path, recursive=kind > 0.95)
        except (
            kazoo.exceptions.NodeExistsError,
            kazoo.exceptions.NoNodeError,
            kazoo.exceptions.NotEmptyError,
        ):
            continue
        done.wait(0.002)
    client.stop()
    client.close()


def test_where_keys_are_marked_only_those_are_asked_about(line: Line) -> None:
    """A stranger's key is nobody's concern; ours are asked for by the names of their marks."""
    _seed(line)
    theirs = line.path("beside")
    line.etcd.put(theirs, b"theirs")
    plain = mirroring.shard(line.root, line.root)
    hosts = {"hosts": [line.way.address], "protocol": "classic", **LONG}
    worker = line.worker(
        shards=[dataclasses.replace(plain, ownership="marks")],
        zookeeper=hosts,
    )
    worker.follows()
    line.clean(worker)

    def change() -> None:
        line.zk.set(line.path("set"), b"new")
        line.zk.delete(line.path("gone"), recursive=True)
        line.zk.create(line.path("leaf", "child"), b"c")
        line.zk.set(theirs, b"ours")

    line.away(change)
    line.back(worker, resumed=1, bases=1)
    polling.until(lambda: line.etcd.value(line.path("leaf", "child")) == b"c")
    polling.until(lambda: line.etcd.value(line.path("set")) == b"new")
    polling.until(lambda: line.etcd.value(line.path("gone")) is None)
    assert line.etcd.value(theirs) == b"theirs"
    assert line.etcd.below(line.path("gone")) == {}
    worker.wait(lambda report: report.conflicts == 1)


def test_what_is_kept_is_no_loss(line: Line) -> None:
    """However many last keys of folders there are, nothing of it is new; what happened meanwhile
    has them looked at."""
    folders = [line.path(f"f{number:03d}") for number in range(150)]
    observing.seed(line.zk, [(line.root, b""), *((folder, b"") for folder in folders)])
    observing.seed(line.zk, [(f"{folder}/i", b"") for folder in folders])
    live = {"keep_last": True, "max_ratio": 1.0}
    worker = line.classic(sync={"delete_guard": {"live": live}})
    for folder in folders:
        line.zk.delete(f"{folder}/i")
    worker.wait(lambda each: each.kept and each.kept.deletes == 150, what="that all are kept")
    line.clean(worker)

    def meanwhile() -> None:
        line.zk.create(f"{folders[0]}/new", b"")
        line.zk.create(f"{folders[1]}/i", b"back")
        line.zk.delete(folders[2])

    line.away(meanwhile)
    line.back(worker, resumed=1, bases=1)
    worker.wait(lambda each: each.kept and each.kept.deletes == 147, what="that three are not")
    wanted = {**line.wanted(), **{f"{folder}/i".encode(): b"" for folder in folders[3:]}}
    polling.until(lambda: line.etcd.values(line.root) == wanted, 10, what="both sides")
    line.walks = True
    report = worker.full_sync()
    assert report.kept is not None
    assert (report.kept.deletes, report.guard) == (147, None)

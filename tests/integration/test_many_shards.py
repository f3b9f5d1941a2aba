"""Many shards that start, are taken and write at the same moment: in few requests, and each by its
own right. No count here is a time."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests import polling
from tests.integration import etcd_clients, mirroring
from zk2etcd import errors, messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.etcd import client as engine, wire
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import fence, formats, kept, reads, records

MANY = 150
_TXNS = re.compile(r'grpc_server_handled_total\{grpc_code="OK",grpc_method="(?:Txn|Range)".* (\S+)')


@pytest.fixture
def client(etcd: servers.Etcd) -> Iterator[engine.Client]:
    made = etcd_clients.at([etcd.url])
    yield made
    made.close()


def requests(etcd: servers.Etcd) -> float:
    """Ranges and Txns that this etcd has answered."""
    with urllib.request.urlopen(f"{etcd.url}/metrics", timeout=10) as answer:
        return sum(map(float, _TXNS.findall(answer.read().decode())))


class Workers:
    """Workers by their instance's name, each with a lease and what its shards share."""

    def __init__(self, world: mirroring.World) -> None:
        self._world = world
        self._made: dict[str, tuple[fence.Shared, leases.Lease]] = {}

    def fences(self, who: str, client: engine.Client, names: Sequence[str]) -> list[fence.Fence]:
        keys = records.Keys(self._world.state)
        if who not in self._made:
            lease = leases.Lease(client, 10.0)
            self._made[who] = fence.Shared(client, keys, lease), lease
        shared, lease = self._made[who]
        identity = messages.Identity(who, "w0", 1)
        paths = [f"{self._world.root}/{name}" for name in names]
        return [
            fence.Fence(client, keys, lease, identity, mirroring.shard(path, path), shared)
            for path in paths
        ]

    @property
    def state(self) -> str:
        return self._world.state

    def shared(self, who: str) -> fence.Shared:
        return self._made[who][0]

    def close(self) -> None:
        for _, lease in self._made.values():
            lease.close()


@pytest.fixture
def workers(world: mirroring.World) -> Iterator[Workers]:
    made = Workers(world)
    yield made
    made.close()


def at_once(do: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each returned, or the error of ours that it raised; all begin at the same moment."""
    outcomes: list[Any] = [None] * len(do)
    barrier = threading.Barrier(len(do))

    def one(at: int) -> None:
        barrier.wait(30)
        try:
            outcomes[at] = do[at]()
        except errors.Zk2EtcdError as error:
            outcomes[at] = error

    threads = [threading.Thread(target=one, args=(at,), daemon=True) for at in range(len(do))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def names(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def claims_of(fences: Sequence[fence.Fence]) -> list[Callable[[], Any]]:
    return [lambda each=each: each.claim({}) for each in fences]  # type: ignore[misc]


def test_many_are_taken_in_few_requests_and_each_token_is_its_own_shard_s(
    client: engine.Client, etcd: servers.Etcd, workers: Workers, world: mirroring.World
) -> None:
    fences = workers.fences("me", client, names(MANY))
    before = requests(etcd)
    outcomes = at_once(claims_of(fences))
    asked = requests(etcd) - before
    assert not [each for each in outcomes if isinstance(each, Exception)]
    assert asked < MANY / 5
    first, second = fences[0], fences[1]
    first.renew_token()
    wrote = [wire.Put(f"{world.root}/p1".encode(), b"1")]
    assert client.txn(wire.Txn(second.compares(), wrote)).succeeded
    held = {
        kv.key: kv.revision for kv in client.range(*records.Keys(world.state).all_of("owners")).kvs
    }
    assert sorted(held.values()) == sorted(each.token for each in fences)


def test_what_is_kept_comes_with_each_token(
    client: engine.Client, etcd: servers.Etcd, workers: Workers, world: mirroring.World
) -> None:
    """Of a claim as of a renewal; and what all others know of the ensemble, once for those of a
    claim that have mirrored nothing yet."""
    fences, keys = workers.fences("me", client, names(90)), records.Keys(world.state)
    shards = [
        mirroring.shard(f"{world.root}/{name}", f"{world.root}/{name}").id for name in names(90)
    ]
    world.etcd.put(keys.checkpoint(shards[0]).decode(), records.encode_zxid(7))
    world.etcd.put(f"{world.state}/identities/other", b"known")
    for at, shard in enumerate(shards):
        world.etcd.put(keys.pause(shard).decode(), b"paused %d" % at)
        world.etcd.put((keys.marks(shard) + b"walked").decode(), b"marks %d" % at)
    before = requests(etcd)
    at_once(claims_of(fences))
    assert requests(etcd) - before < 30
    for at, each in enumerate(map(_kept, fences)):
        assert [kv.value for kv in each.pause] == [b"paused %d" % at]
        assert [kv.value for kv in each.marks] == [b"marks %d" % at]
        assert (each.guard, each.identity) == ([], [])
        assert (each.identities is None) == (at == 0)
    others = _kept(fences[1]).identities
    assert others is not None
    assert [kv.value for kv in others.kvs] == [b"known"]
    world.etcd.put(keys.guard(shards[3]).decode(), b"walks")
    fences[3].renew_token()
    assert [kv.value for kv in _kept(fences[3]).guard] == [b"walks"]


def _kept(taken: fence.Fence) -> kept.Kept:
    assert taken.kept is not None
    return taken.kept


@pytest.mark.parametrize(("most", "is_read"), [(16, True), (5, False)])
def test_what_is_kept_is_left_out_where_etcd_takes_few_operations(
    sandbox: servers.Sandbox, workers: Workers, most: int, is_read: bool
) -> None:
    small = sandbox.etcd(arguments=["--max-txn-ops", str(most)])
    small.start()
    other = etcd_clients.at([small.url])
    try:
        fences = workers.fences("few", other, names(12))
        assert not [each for each in at_once(claims_of(fences)) if isinstance(each, Exception)]
        for each in fences:
            each.renew_token()
            assert (each.kept is not None) == is_read
    finally:
        other.close()


def test_two_supervisors_that_want_the_same_share_it_out_and_void_nobody(
    client: engine.Client, etcd: servers.Etcd, workers: Workers
) -> None:
    other = etcd_clients.at([etcd.url])
    try:
        ours, theirs = (
            workers.fences(who, each, names(60)) for who, each in (("me", client), ("you", other))
        )
        outcomes = at_once([*claims_of(ours), *claims_of(theirs)])
        for mine, yours in zip(outcomes[:60], outcomes[60:], strict=True):
            kinds = {type(mine), type(yours)}
            assert errors.Held in kinds
            assert len(kinds) == 2
    finally:
        other.close()


def test_a_claim_that_looked_before_another_took_the_range_looks_again(
    client: engine.Client,
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [mine] = workers.fences("me", client, ["p0"])
    [theirs] = workers.fences("you", client, ["p0/below"])
    send, taken = client.txn, threading.Event()

    def late(txn: wire.Txn, **options: bool) -> wire.Answer:
        if any(compare.end for compare in txn.compare) and not taken.is_set():
            taken.set()
            theirs.claim({})
        return send(txn, **options)

    monkeypatch.setattr(client, "txn", late)
    with pytest.raises(errors.Held, match="you/w0"):
        mine.claim({})
    assert taken.is_set()


def calls(client: engine.Client, monkeypatch: pytest.MonkeyPatch, *methods: str) -> list[str]:
    """The methods that this client is called by, as it is: what the server counts may be of others,
    who are late."""
    called = list[str]()

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def one(*given: Any, **options: Any) -> Any:
            called.append(name)
            return call(*given, **options)

        return one

    for name in methods:
        monkeypatch.setattr(client, name, counted(name, getattr(client, name)))
    return called


def test_sixteen_that_claim_at_once_lose_no_more_races_than_there_are(
    etcd: servers.Etcd,
    workers: Workers,
    world: mirroring.World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each Txn that was overtaken tells how it is by now: in each round one of them succeeds."""
    clients = [etcd_clients.at([etcd.url]) for _ in range(16)]
    try:
        formats.ensure_format(clients[0], records.Keys(world.state))
        fences = [
            workers.fences(f"s{at}", client, [f"p{at}"])[0] for at, client in enumerate(clients)
        ]
        every = [calls(client, monkeypatch, "txn", "range") for client in clients]
        outcomes = at_once(claims_of(fences))
        assert not [each for each in outcomes if isinstance(each, Exception)]
        # And one Txn for what others know of the ensemble.
        assert 16 <= sum(called.count("txn") - 1 for called in every) <= 16 * 17 / 2
        # Each looks at `format` and at the owners once, however often it was overtaken.
        assert {called.count("range") for called in every} == {2}
    finally:
        for client in clients:
            client.close()


def test_of_sixteen_members_that_claim_at_once_those_overtaken_come_one_behind_the_other(
    etcd: servers.Etcd,
    workers: Workers,
    world: mirroring.World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = records.Keys(world.state)
    names = [f"s{at:02d}" for at in range(16)]
    clients = [etcd_clients.at([etcd.url]) for _ in names]
    try:
        formats.ensure_format(clients[0], keys)
        for name in names:
            clients[0].txn(wire.Txn([], [wire.Put(keys.member(name), b"{}")]))
        fences = [
            workers.fences(name, client, [f"p-{name}"])[0]
            for name, client in zip(names, clients, strict=True)
        ]
        every = [calls(client, monkeypatch, "txn") for client in clients]
        outcomes = at_once(claims_of(fences))
        assert not [each for each in outcomes if isinstance(each, Exception)]
        claims = [len(called) - 1 for called in every]
        # Not in the order in which they came, each voiding all others: 8.5 of each on average.
        assert sum(claims) <= 3 * 16
    finally:
        for client in clients:
            client.close()


def test_a_claim_is_overtaken_once_and_tried_again_without_another_look(
    client: engine.Client, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    [mine] = workers.fences("me", client, ["p0"])
    [theirs] = workers.fences("you", client, ["p1"])
    send, sent = client.txn, list[wire.Txn]()

    def late(txn: wire.Txn, **options: bool) -> wire.Answer:
        sent.append(txn)
        if len(sent) == 1:
            monkeypatch.setattr(client, "txn", send)
            theirs.claim({})
            monkeypatch.setattr(client, "txn", late)
            ranges.clear()
        return send(txn, **options)

    ranges = calls(client, monkeypatch, "range")
    formats.ensure_format(client, records.Keys(workers.state))
    monkeypatch.setattr(client, "txn", late)
    mine.claim({})
    assert mine.token > theirs.token
    assert [bool(txn.compare) for txn in sent] == [True, True, False]
    assert [op.key for op in sent[2].success] == [
        records.Keys(workers.state).all_of("identities")[0]
    ]
    assert not ranges, "no owner is looked at again"


def test_a_format_that_came_meanwhile_is_looked_at_before_anything_is_taken(
    client: engine.Client,
    workers: Workers,
    world: mirroring.World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [mine] = workers.fences("me", client, ["p0"])
    formats.ensure_format(client, keys := records.Keys(world.state))
    send = client.txn

    def late(txn: wire.Txn, **options: bool) -> wire.Answer:
        monkeypatch.setattr(client, "txn", send)
        world.etcd.put(keys.format().decode(), b'{"v":1,"min_reader":99,"written_by":"newer"}')
        return send(txn, **options)

    monkeypatch.setattr(client, "txn", late)
    with pytest.raises(errors.NewerReader):
        mine.claim({})
    assert not client.range(*keys.all_of("owners")).kvs


def test_what_is_promised_puts_the_checkpoint_beside_it_and_never_lowers_it(
    client: engine.Client, workers: Workers, world: mirroring.World
) -> None:
    """So that an etcd that was put back to before it is known by the checkpoint."""
    [mine] = workers.fences("me", client, ["p0"])
    keys, shard = records.Keys(world.state), mirroring.shard(*[f"{world.root}/p0"] * 2).id
    mine.claim({})
    key = keys.checkpoint(shard)
    mine.write([wire.Put(keys.pause(shard), b"{}"), mine.touch()])
    [promised], [checkpoint] = (client.range(each).kvs for each in (keys.pause(shard), key))
    assert promised.revision == checkpoint.revision == mine.mark.revision
    higher = records.encode_zxid(9, mine.token)
    mine.write([mine.touch(), wire.Put(keys.guard(shard), b"{}")])
    touch = mine.touch()
    mine.write([wire.Put(key, higher)])
    mine.write([touch, wire.Put(keys.guard(shard), b"{}")])
    [checkpoint] = client.range(key).kvs
    assert (checkpoint.value, checkpoint.revision) == mine.mark
    assert checkpoint.value == higher


def test_a_release_takes_the_offer_along_and_tells_since_when_the_shard_is_not_ours(
    client: engine.Client, workers: Workers, world: mirroring.World
) -> None:
    mine, other, never = workers.fences("me", client, ["p0", "p1", "p2"])
    keys, shard = records.Keys(world.state), mirroring.shard(*[f"{world.root}/p0"] * 2).id
    mine.claim({})
    other.claim({})
    for name in (shard, "another"):
        world.etcd.put(keys.offer(name).decode(), b"{}")
    mine.release()
    assert [kv.key for kv in client.range(*keys.all_of("offers")).kvs] == [keys.offer("another")]
    revision = client.range(keys.owner(shard)).revision
    other.token -= 1  # it is another's by now: etcd says so, and deletes nothing
    other.release()
    never.release()
    told = workers.shared("me").left.let_go()
    assert {name: at - revision for name, at in told.items()} == {
        shard: 0,
        mirroring.shard(*[f"{world.root}/p1"] * 2).id: 0,
        mirroring.shard(*[f"{world.root}/p2"] * 2).id: -revision,
    }
    assert workers.shared("me").left.let_go() == {}


def test_a_shard_that_was_lost_costs_no_other_one_its_token(
    client: engine.Client, workers: Workers, world: mirroring.World
) -> None:
    fences = workers.fences("me", client, names(70))
    at_once(claims_of(fences))
    lost = fences[33]
    world.etcd.put(f"{world.state}/owners/{mirroring.shard(*[f'{world.root}/p33'] * 2).id}", b"{}")
    outcomes = at_once([each.renew_token for each in fences])
    assert [at for at, each in enumerate(outcomes) if isinstance(each, Exception)] == [33]
    assert isinstance(outcomes[33], errors.Fenced)
    assert lost.token == 0
    assert all(each.token for each in fences if each is not lost)


def test_writes_go_together_and_one_that_may_not_keeps_none_from_it(
    client: engine.Client, etcd: servers.Etcd, workers: Workers, world: mirroring.World
) -> None:
    fences = workers.fences("me", client, names(70))
    at_once(claims_of(fences))
    fences[33].token -= 1
    paths = [f"{world.state}/guards/{at}".encode() for at in range(70)]
    puts = [
        lambda each=each, path=path: each.write([wire.Put(path, b"x")])
        for each, path in zip(fences, paths, strict=True)
    ]
    before = requests(etcd)
    outcomes = at_once(puts)
    assert requests(etcd) - before < 30
    assert [at for at, each in enumerate(outcomes) if isinstance(each, errors.Fenced)] == [33]
    written = {kv.key for kv in client.range(*records.Keys(world.state).all_of("guards")).kvs}
    assert written == {path for at, path in enumerate(paths) if at != 33}


def test_each_is_told_what_its_own_operations_were_answered(
    client: engine.Client, workers: Workers, world: mirroring.World
) -> None:
    fences = workers.fences("me", client, names(30))
    at_once(claims_of(fences))
    for at in range(30):
        world.etcd.put(f"{world.root}/answers/{at}", b"%d" % at)
    asks = [wire.Range(f"{world.root}/answers/{at}".encode()) for at in range(30)]
    marks = [wire.Put(f"{world.state}/marks/{at}".encode(), b"") for at in range(30)]
    outcomes = at_once(
        [
            lambda each=each, ops=(ask, mark): each.together(ops)  # type: ignore[misc]
            for each, ask, mark in zip(fences, asks, marks, strict=True)
        ]
    )
    assert [each.kvs(0)[0].value for each in outcomes] == [b"%d" % at for at in range(30)]


def test_what_is_owed_goes_with_the_next_write_or_is_paid(
    client: engine.Client, workers: Workers, world: mirroring.World
) -> None:
    [mine] = workers.fences("me", client, ["p0"])
    mine.claim({})
    first, second, third = (f"{world.state}/marks/{name}".encode() for name in "abc")
    mine.owe([wire.Put(first, b"old"), wire.Put(second, b"owed")])
    mine.owe([wire.Put(first, b"owed")])
    assert not client.range(first).kvs
    mine.write([wire.Put(second, b"written")])
    assert [client.range(key).kvs[0].value for key in (first, second)] == [b"owed", b"written"]
    mine.owe([wire.Put(third, b"owed"), wire.Delete(first)])
    assert mine.forget(first)
    assert not mine.forget(first)
    mine.pay()
    assert [bool(client.range(key).kvs) for key in (first, third)] == [True, True]
    mine.owe([wire.Delete(third)])
    with pytest.raises(errors.TooLarge):
        mine.write([wire.Put(first, b"x" * 3_000_000)])
    assert mine.forget(third), "what was refused took what is owed with it"
    mine.owe([wire.Delete(third)])
    mine.renew_token()
    mine.pay()
    assert client.range(third).kvs


def test_what_is_kept_of_many_is_read_in_few_requests(
    client: engine.Client, etcd: servers.Etcd, world: mirroring.World
) -> None:
    keys, shared = records.Keys(world.state), reads.Reads(client)
    for at in range(40):
        world.etcd.put(f"{world.state}/pauses/p{at}", b"paused %d" % at)
        world.etcd.put(f"{world.state}/marks/p{at}/walked", b"marks %d" % at)
    world.etcd.put(f"{world.state}/identities/other", b"known")
    before = requests(etcd)
    found = at_once(
        [
            lambda at=at: kept.read(shared, keys, f"p{at}", new=at == 7)  # type: ignore[misc]
            for at in range(40)
        ]
    )
    assert requests(etcd) - before < 20
    for at, each in enumerate(found):
        assert [kv.value for kv in each.pause] == [b"paused %d" % at]
        assert [kv.value for kv in each.marks] == [b"marks %d" % at]
        assert (each.guard, each.identity) == ([], [])
        assert (each.identities is not None) == (at == 7)
    assert [kv.value for kv in found[7].identities.kvs] == [b"known"]


@pytest.mark.parametrize("nodes", [4, 40])
def test_a_base_of_few_nodes_is_one_txn_and_of_more_is_as_right(
    world: mirroring.World, nodes: int
) -> None:
    """The second base finds all that the first one wrote, in one read; what only etcd has is held
    to be deleted, and the guard's record of a walk is gone whichever way it went."""
    world.zk.create(world.root, b"root")
    for at in range(nodes):
        world.zk.create(world.path(f"n{at}"), b"v")
    first = world.worker()
    first.follows()
    world.equal()
    written = world.etcd.below(world.root)
    assert len(written) == nodes + 1
    assert (len({kv.mod_revision for kv in written.values()}) == 1) or nodes > 4
    assert world.etcd.below(f"{world.state}/guards") == {}
    first.drain()
    world.zk.set(world.path("n1"), b"changed")
    world.zk.delete(world.path("n2"))
    world.etcd.put(world.path("n3"), b"drifted")
    second = world.worker()
    second.follows()
    world.equal()
    assert world.etcd.below(f"{world.state}/guards") == {}


def test_after_new_orders_all_shards_are_told_of(world: mirroring.World) -> None:
    """One that was given away and back within a turn of the worker still runs: whoever gave it
    back thinks that it waits, until it hears of it."""
    shards = [mirroring.shard(f"{world.root}/{n}", f"{world.root}/{n}") for n in range(8)]
    worker = world.worker(shards=shards)
    worker.follows()
    names = {shard.id for shard in shards}
    polling.until(lambda: not any(worker.told[-2:]), what="that nothing is told of any")
    before = len(worker.told)
    worker.assign({})
    polling.until(lambda: names in worker.told[before:], 3.0, what="that all are told of")

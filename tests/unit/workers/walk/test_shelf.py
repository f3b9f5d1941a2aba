"""etcd's pages, shared by the buckets of a worker: each sees what it would see alone, whoever asks
first, and what they want at the same time is read once."""

from __future__ import annotations

import bisect
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from tests.unit.workers import etcd_of_keys, splits
from zk2etcd import errors
from zk2etcd_workers.etcd import client as clients, wire
from zk2etcd_workers.model import mapping
from zk2etcd_workers.walk import etcd_keys, shelf

REST = st.binary(max_size=4).map(lambda rest: b"/t/" + rest)
KEYS = [b"/t", *(b"/t/service%03d/%02d" % (one, two) for one in range(200) for two in range(20))]


class Etcd(etcd_of_keys.Etcd):
    """`revision` rises with each look at a single key; the next `refusals` are met by pages."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(keys)
        self.revision = 6
        self.rollbacks = 0
        self.asked_at: list[int] = []
        self.refusals: list[Exception] = []

    def range(self, key: bytes, end: bytes = b"", **options: Any) -> wire.Page:
        self.revision += 1
        return super().range(key, end, **options)._replace(revision=self.revision)

    def range_soon(
        self, key: bytes, end: bytes = b"", *, revision: int = 0, **options: Any
    ) -> Callable[[], wire.Page]:
        answer = super().range_soon(key, end, **options)
        if end:
            self.asked_at.append(revision)
        if end and self.refusals:
            refusal = self.refusals.pop()

            def refused() -> wire.Page:
                raise refusal

            return refused
        return answer


def no_pause(_seconds: float) -> None:
    """Nothing rests here."""


def shelves_of(client: etcd_of_keys.Etcd) -> shelf.Shelves:
    return shelf.Shelves(cast(clients.Client, client))


def read(reader: shelf.Reader | etcd_keys.Reader, ends: Sequence[bytes]) -> Iterator[bytes]:
    """What a walk that ends a part at each of these keys is shown, a step for each page."""
    parts = [reader.part(ends[0], 4_000)] if ends else []
    for end in ends[1:]:
        parts.append(reader.part(end, 4_000))  # asked for before the one before is used
        for page in parts.pop(0):
            yield from page.keys
    for part in (*parts, reader.rest()):
        for page in part:
            yield from page.keys
    reader.close()


def own_ends(keys: Sequence[bytes], shard: mapping.Mapping, every: int) -> list[bytes]:
    own = [key for key in sorted(keys) if shard.owns_key(key)]
    return sorted({*own[every - 1 :: every], *own[-1:]})


@given(
    st.sets(REST | splits.DEEP | st.sampled_from([b"/t", b"/t0", b"/t-"]), max_size=40),
    splits.COUNTS,
    st.integers(1, 5),
    st.integers(0, 1 << 32),
    st.sampled_from([0, 300, 1 << 20]),
)
def test_each_is_shown_what_it_is_shown_alone(
    keys: set[bytes], count: int, every: int, seed: int, kept: int
) -> None:
    patched, chance = pytest.MonkeyPatch(), random.Random(seed)
    patched.setattr(shelf, "_FIRST_PAGE", 3)
    patched.setattr(etcd_keys, "_LARGEST_PAGE", 4)
    patched.setattr(shelf, "_KEPT_BYTES", kept)
    try:
        client, shards = Etcd(list(keys)), splits.parts(count)
        ends = [own_ends(client.keys, each, every) for each in shards]
        shelves = shelves_of(client)
        walks = [read(shelves.reader(each, "", 0, no_pause), ends[each.bucket]) for each in shards]
        found: list[list[bytes]] = [[] for _ in shards]
        running = list(range(count))
        while running:
            number = chance.choice(running)
            if (key := next(walks[number], None)) is None:
                running.remove(number)
            else:
                found[number].append(key)
        for each in shards:
            alone = etcd_keys.stream(cast(clients.Client, Etcd(list(keys))), each)
            assert found[each.bucket] == [key for page in alone for key in page.keys]
    finally:
        patched.undo()


def together(client: Etcd, count: int, every: int) -> list[list[bytes]]:
    """All buckets, each by its own thread, as in a worker."""
    shelves, shards = shelves_of(client), splits.parts(count)
    found: list[list[bytes]] = [[] for _ in shards]
    readers = [shelves.reader(each, "", 0, no_pause) for each in shards]

    def walk(shard: mapping.Mapping) -> None:
        ends = own_ends(client.keys, shard, every)
        found[shard.bucket] += read(readers[shard.bucket], ends)

    threads = [threading.Thread(target=walk, args=(each,)) for each in shards]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    return found


def test_what_all_want_is_read_once_and_by_one_alone_four_times() -> None:
    client = Etcd(KEYS)
    found = together(client, 4, 250)
    assert sorted(key for each in found for key in each) == KEYS
    assert client.sent < 1.1 * len(KEYS)
    alone = Etcd(KEYS)
    for shard in splits.parts(4):
        reader = etcd_keys.Reader(cast(clients.Client, alone), shard, no_pause)
        assert list(read(reader, own_ends(KEYS, shard, 250))) == found[shard.bucket]
    assert alone.sent > 3 * len(KEYS)


def test_nothing_is_kept_that_all_have_passed_nor_for_nobody() -> None:
    client, shards = Etcd(KEYS), splits.parts(2)
    shelves = shelves_of(client)
    first, second = (shelves.reader(each, "", 0, no_pause) for each in shards)
    shared = first._shelf
    assert second._shelf is shared
    list(read(first, own_ends(KEYS, shards[0], 250)))
    assert shared._pages, "the second has not read them"
    walk = read(second, own_ends(KEYS, shards[1], 250))
    next(walk)
    second.close()
    assert not shared._pages


def test_too_much_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "_KEPT_BYTES", 50_000)
    client, shards = Etcd(KEYS), splits.parts(2)
    shelves = shelves_of(client)
    first, second = (shelves.reader(each, "", 0, no_pause) for each in shards)
    for part in (first.part(end, 4_000) for end in own_ends(KEYS, shards[0], 100)):
        list(part)
        assert sum(page.size for page in first._shelf._pages) <= 50_000
    assert list(read(second, own_ends(KEYS, shards[1], 100))) == [
        key for key in KEYS if shards[1].owns_key(key)
    ]


def test_an_error_is_that_of_all_who_wait_for_the_answer_and_of_nobody_later() -> None:
    client, shards = Etcd(KEYS), splits.parts(2)
    client.refusals = [errors.EtcdUnavailable("away")]
    shelves = shelves_of(client)
    first, second = (shelves.reader(each, "", 0, no_pause) for each in shards)
    end, raised = KEYS[-1], []
    for part in [each.part(end, 4_000) for each in (first, second)]:
        with pytest.raises(errors.EtcdUnavailable) as met:
            list(part)
        raised.append(met.value)
    assert raised[0] is not raised[1]
    first.close()
    again = shelves.reader(shards[0], "", 0, no_pause)
    assert again._shelf is second._shelf
    keys = [key for page in again.part(end, 4_000) for key in page.keys]
    assert keys == [key for key in KEYS if shards[0].owns_key(key)]


def test_who_waits_for_the_revision_has_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    client, shards = Etcd(KEYS), splits.parts(2)
    shelves = shelves_of(client)
    first = shelves.reader(shards[0], "", 0, no_pause)

    def away(*_: object) -> wire.Page:
        raise errors.EtcdUnavailable("away")

    shared = shelf.Shelf(cast(clients.Client, client), shards[0], "", yields=False)
    with monkeypatch.context() as patched:
        patched.setattr(client, "range", away)
        for _ in range(2):
            with pytest.raises(errors.EtcdUnavailable):
                shared.own()
    with pytest.raises(errors.EtcdUnavailable):
        shared.own()
    first._shelf.error = errors.EtcdUnavailable("away")
    assert shelves.reader(shards[1], "", 0, no_pause)._shelf is not first._shelf


def test_a_revision_that_was_compacted_is_followed_by_a_newer_one() -> None:
    client, (first, _) = Etcd(KEYS), splits.parts(2)
    client.refusals = [errors.Compacted("compacted")]
    reader = shelves_of(client).reader(first, "", 0, no_pause)
    keys = [key for page in reader.part(KEYS[-1], 4_000) for key in page.keys]
    assert keys == [key for key in KEYS if first.owns_key(key)]
    assert client.asked_at[:2] == [7, 8]


def test_nobody_is_shown_what_was_before_it_began() -> None:
    """Neither before its shard was taken, nor before the order that it is read for."""
    client, (first, second) = Etcd(KEYS), splits.parts(2)
    shelves = shelves_of(client)
    base = shelves.reader(first, "", 7, no_pause)
    assert base._shelf.own().revision == 7
    later = shelves.reader(second, "", 8, no_pause)
    assert later._shelf.own().revision == 8
    full_sync = shelves.reader(first, "order", 8, no_pause)
    assert full_sync._shelf.own().revision == 9
    assert shelves.reader(second, "order", 8, no_pause)._shelf is full_sync._shelf
    client.rollbacks += 1
    after = shelves.reader(second, "order", 8, no_pause)
    assert after._shelf is not full_sync._shelf, "etcd was put back"
    for each in (base, later, full_sync, after):
        each.close()


def test_a_count_of_one_is_a_count_of_all_but_not_an_older_one() -> None:
    client, shards = Etcd(KEYS), splits.parts(4)
    numbers = etcd_keys.Numbers(cast(clients.Client, client))
    counts = [numbers.of(each, 7, no_pause) for each in shards]
    assert counts == [sum(map(each.owns_key, KEYS)) for each in shards]
    assert client.revision == 7
    bisect.insort(client.keys, b"/t/zz")
    assert sum(numbers.of(each, 7, no_pause) for each in shards) == len(KEYS)
    assert sum(numbers.of(each, 8, no_pause) for each in shards) == len(KEYS) + 1
    client.keys.pop()
    client.rollbacks += 1
    assert sum(numbers.of(each, 8, no_pause) for each in shards) == len(KEYS)


def test_what_is_left_out_is_counted_in_no_bucket() -> None:
    keys = [b"/t/%d/%s" % (n, part) for n in range(20) for part in (b"a", b"b", b"b/x", b"c")]
    sets: list[dict[str, Any]] = [
        {"exclude": ("/s/*/b",)},
        {"exclude": ("/s/7",)},
        {"only": ("/s/*/a", "/s/*/c")},
    ]
    for left_out, ours in zip(sets, (40, 76, 40), strict=True):
        numbers = etcd_keys.Numbers(cast(clients.Client, Etcd(sorted(keys))))
        shards = [mapping.Mapping("/s", "/t", bucket=n, buckets=2, **left_out) for n in range(2)]
        counts = [numbers.of(each, 7, no_pause) for each in shards]
        assert sum(counts) == ours
        assert counts == [sum(map(each.is_image, keys)) for each in shards]


def test_buckets_share_small_pages_of_a_thin_line() -> None:
    keys = [b"/t/%05d" % number for number in range(3_000)]
    client = Etcd(keys)
    client.learned.down.room = 40_000
    shelves, (first, second) = shelves_of(client), splits.parts(2)
    readers = [shelves.reader(shard, "base", 0, no_pause) for shard in (first, second)]
    for shard, reader in zip((first, second), readers, strict=True):
        assert reader.room() == 20_000
        found = list(read(reader, own_ends(keys, shard, 100)))
        assert found == [key for key in keys if shard.owns_key(key)]
    assert max(client.sizes) <= 20_000


def test_where_there_is_nothing_no_page_is_asked_for() -> None:
    client, shards = Etcd([]), splits.parts(2)
    shelves = shelves_of(client)
    readers = [shelves.reader(each, "", 0, no_pause) for each in shards]
    for reader in readers:
        reader.look()
    asked = len(client.asked_at)
    for reader, each in zip(readers, shards, strict=True):
        ends = own_ends(KEYS, each, 100)
        assert list(read(reader, ends)) == []
    assert len(client.asked_at) == asked <= 1


@pytest.mark.parametrize("there", [KEYS[:1], KEYS[1:2], KEYS[-1:], KEYS])
def test_a_bucket_that_has_keys_reads_them_beside_one_that_has_none(there: list[bytes]) -> None:
    client, shards = Etcd(there), splits.parts(2)
    shelves = shelves_of(client)
    readers = [shelves.reader(each, "", 0, no_pause) for each in shards]
    for reader, each in zip(readers, shards, strict=True):
        if not any(map(each.owns_key, there)):
            reader.look()
    for reader, each in zip(readers, shards, strict=True):
        ends = own_ends(KEYS, each, 100)
        assert list(read(reader, ends)) == [key for key in sorted(there) if each.owns_key(key)]
    assert readers[0]._shelf._pages == [], "one that reads nothing keeps no page for itself"


def test_what_other_workers_put_meanwhile_is_not_read() -> None:
    shards = splits.parts(4)
    client = Etcd([key for key in KEYS if shards[0].owns_key(key)])
    reader = shelves_of(client).reader(shards[1], "", 0, no_pause)
    reader.look()
    asked = len(client.asked_at)
    assert list(read(reader, own_ends(KEYS, shards[1], 100))) == []
    assert len(client.asked_at) == asked

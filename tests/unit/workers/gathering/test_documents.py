"""What members say of themselves, and of what they can serve."""

from __future__ import annotations

import dataclasses

import pytest

from zk2etcd import census, errors, messages
from zk2etcd_workers.gathering import documents
from zk2etcd_workers.ownership import records

ME = messages.Identity("host-1a2b3c4d", "w0", 2, "http://127.0.0.1:9180")
SHARDS = frozenset({"a-1", "b-2"})
OURS = census.Member("host-1a2b3c4d", SHARDS, 3, failing=frozenset({"b-2"}), label="one")


def read(value: bytes) -> census.Member:
    known = {documents.digest(SHARDS): SHARDS}
    said = documents.said(value, b"members/host-1a2b3c4d")
    return documents.read_member("host-1a2b3c4d", said, lambda each: known.get(each, frozenset()))


def test_a_member_is_read_as_it_was_said() -> None:
    said = documents.member(
        ME, messages.Standing(OURS, "0" * 12, "1.2"), documents.digest(SHARDS), healthy=True
    )
    there = dataclasses.replace(OURS, url="http://127.0.0.1:9180")
    assert read(said) == dataclasses.replace(there, config="0" * 12, version="1.2")
    # Older releases read who it is and where it can be asked.
    found = records.decode(said, b"members/host-1a2b3c4d")
    assert (found["instance"], found["admin"]) == ("host-1a2b3c4d", "http://127.0.0.1:9180")


def test_whoever_does_not_say_so_shares_nothing() -> None:
    """A member of the last release; one of a release to come; one that something else wrote."""
    alone = census.Member("host-1a2b3c4d", shares=False)
    older = dataclasses.replace(alone, url="http://127.0.0.1:9180")
    assert read(records.encode(records.of_worker(ME))) == older
    for value in (b'{"v":2,"shares":true}', b"?", b'{"v":1,"shares":true,"capacity":"many"}'):
        assert read(value) == alone


def test_a_list_that_is_not_there_serves_nothing() -> None:
    said = documents.member(
        ME, messages.Standing(OURS), documents.digest(frozenset("z")), healthy=True
    )
    assert read(said).shards == frozenset()


def test_long_lists_are_cut() -> None:
    shards = frozenset(f"services-number-{number}-1a2b3c4d" for number in range(20_000))
    values = documents.parts(shards)
    assert len(values) == 3
    assert max(map(len, values)) < documents.PART + 100
    assert documents.listed(values, b"configs/x") == shards
    assert documents.listed(documents.parts(frozenset()), b"configs/x") == frozenset()


def test_offers() -> None:
    said = documents.said(documents.offer("a", "b", taken=True), b"offers/x")
    assert documents.read_offer(said, 7) == census.Offer("a", "b", 7, taken=True)
    assert documents.read_offer({}, 7) is None


def test_what_is_shared_is_members_offers_and_owners() -> None:
    """And nothing else: of marks there are as many as there are keys."""
    keys = records.Keys("zk2etcd/default")
    others = ["checkpoints", "configs", "guards", "identities", "marks", "owned", "pauses"]
    inside = [keys.member("m"), keys.offer("o"), keys.owner("o")]
    outside = [*(keys.all_of(kind)[0] + b"x" for kind in others), keys.format(), keys.cluster_id()]

    def is_shared(key: bytes) -> bool:
        return any(start <= key < end for start, end in keys.shared())

    assert all(map(is_shared, inside))
    assert not any(map(is_shared, outside))


@pytest.mark.parametrize(
    "fields",
    [
        b'"capacity":1e999',
        b'"capacity":Infinity',
        b'"name":"\\ud800"',
        b'"name":"' + b"x" * 1000 + b'"',
        b'"failing":7',
        b'"failing":' + b"[" * 100_000,
    ],
    ids=["too large", "endless", "no text", "long", "number", "deep"],
)
def test_what_somebody_else_wrote_is_a_stranger_s(fields: bytes) -> None:
    """Whatever it is, it must not end the keepers of all supervisors."""
    said = b'{"v":1,"shares":true,"shards":"","capacity":1,"draining":false,"healthy":true'
    value = said + b',"failing":[],"name":"",' + fields + b"}"
    assert not read(value).shares


def test_numbers_and_texts_are_bounded() -> None:
    said = b'{"v":1,"shares":true,"shards":"","capacity":%d,"draining":false,"healthy":true'
    value = said % 10**100 + b',"failing":[],"name":"","config":"\\ud800x","version":"1.2"}'
    found = read(value)
    assert (found.shares, found.capacity, found.config) == (True, documents.MOST_CAPACITY, "?x")
    owner = documents.said(b'{"v":1,"instance":"\\udc00m"}', b"owners/x")
    assert documents.text(owner, "instance") == "?m"


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("http://10.0.0.1:9180", "http://10.0.0.1:9180"),
        ("https://[::1]:9180", "https://[::1]:9180"),
        ("http://h:9180/a$(reboot)", ""),
        ("http://h:9180; reboot", ""),
        ("http://[fe80::1%eth0]:9180", "http://[fe80::1%eth0]:9180"),
        ("http://[fe80::1%a;reboot]:9180", ""),
        ("fe80::1%$(reboot)", ""),
        ("http://me:secret@h:9180", ""),
        ("\x1b[2J", ""),
        ("", ""),
    ],
)
def test_an_address_leads_to_a_host_and_a_port_and_is_nothing_else(said: str, url: str) -> None:
    assert documents.read_member("m", {"admin": said}, lambda _: frozenset()).url == url


def test_a_list_that_is_no_text_is_none() -> None:
    with pytest.raises(errors.NewerFormat):
        documents.listed([b'{"v":1,"shards":["\\ud800"]}'], b"configs/x")

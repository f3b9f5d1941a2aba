from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, strategies as st

from zk2etcd import conditions, errors
from zk2etcd_workers.ownership import formats, records

TRIP = conditions.Guard("abc", "too many", 5, 9, ("/a", "/é"), 1_800_000_000.5)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_checkpoints_compare_as_strings_like_numbers(one: int, other: int) -> None:
    a, b = records.encode_zxid(one), records.encode_zxid(other)
    assert len(a) == len(b) == 16
    assert (a < b) == (one < other)
    assert records.decode_zxid(a) == one


@given(st.integers(0, 2**63 - 1), st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_at_the_same_zxid_the_younger_token_is_the_higher_checkpoint(
    zxid: int, one: int, other: int
) -> None:
    a, b = records.encode_zxid(zxid, one), records.encode_zxid(zxid, other)
    assert (a < b) == (one < other)
    assert records.encode_zxid(zxid) < a < records.encode_zxid(zxid + 1)
    assert records.decode_zxid(a) == zxid


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"0" * 15,
        b"0" * 17,
        b"00000000000000zz",
        b"0x00000000000001",
        b"-000000000000001",
        b"0000_0000_000001",
        b"  00000000000001",
        b"\xff" * 16,
        b"0" * 16 + b" ",
        b"0" * 16 + b" " + b"0" * 15,
        b"0" * 33,
    ],
)
def test_what_is_no_checkpoint_is_refused(value: bytes) -> None:
    with pytest.raises(errors.NewerFormat, match="16 hex digits"):
        records.decode_zxid(value)


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"null", b'"v"', b"{}", b'{"v":2}', b'{"v":"1"}', b"\xff\xfe"]
)
def test_documents_of_another_format_are_refused(value: bytes) -> None:
    with pytest.raises(errors.NewerFormat, match="owners/a"):
        records.decode(value, b"zk2etcd/default/owners/a")


def test_documents_round_trip() -> None:
    value = records.encode({"slot": "w0", "range": ["/a/", "/a0"]})
    assert json.loads(value)["v"] == 1
    assert records.decode(value, b"k") == {"v": 1, "slot": "w0", "range": ["/a/", "/a0"]}


@pytest.mark.parametrize("trip", [None, TRIP])
@pytest.mark.parametrize("first", [False, True])
def test_guard_records_round_trip(trip: conditions.Guard | None, first: bool) -> None:
    record = records.GuardRecord(123, first, trip)
    assert records.GuardRecord.from_bytes(record.to_bytes(), b"k") == record


def test_a_release_before_them_reads_a_trip_with_what_it_does_not_know() -> None:
    """It takes no field of a trip beyond its own."""
    trip = dataclasses.replace(TRIP, creates=3, live=True)
    record = records.GuardRecord(123, False, trip)
    document = json.loads(record.to_bytes())
    assert (document["creates"], document["live"]) == (3, True)
    assert not {"creates", "live"} & document["trip"].keys()
    assert records.GuardRecord.from_bytes(record.to_bytes(), b"k") == record


def test_a_walk_under_way_says_so() -> None:
    document = json.loads(records.GuardRecord(5, False).to_bytes())
    assert document["walking"] is True
    assert "walking" not in json.loads(records.GuardRecord(5, False, TRIP).to_bytes())


def test_key_names() -> None:
    keys = records.Keys("zk2etcd/default/")
    assert keys.owner("a") == b"zk2etcd/default/owners/a"
    assert keys.checkpoint("a") == b"zk2etcd/default/checkpoints/a"
    assert keys.guard("a") == b"zk2etcd/default/guards/a"
    assert keys.member("i") == b"zk2etcd/default/members/i"
    assert keys.format() == b"zk2etcd/default/format"
    start, end = keys.all_of("owners")
    assert start <= keys.owner("\uffff") < end
    assert not start <= keys.checkpoint("a") < end


@pytest.mark.parametrize("value", [b"not json", b"[]", b'{"min_reader": null}', b"{}"])
def test_a_format_that_we_did_not_write_is_refused(value: bytes) -> None:
    with pytest.raises(errors.NewerFormat, match="not ours"):
        formats.check_format(value, b"zk2etcd/default/format")


def test_a_format_for_newer_readers_is_refused() -> None:
    formats.check_format(records.encode({"min_reader": 1}), b"k")
    with pytest.raises(errors.NewerFormat, match="upgrade zk2etcd"):
        formats.check_format(b'{"v":2,"min_reader":3,"written_by":"zk2etcd 9"}', b"k")


def test_trips_have_ids_of_their_own() -> None:
    one, other = (records.new_trip("why", 1, 2, ("/a",), 3.0) for _ in range(2))
    assert one.id != other.id
    assert (one.reason, one.deletes, one.present, one.sample, one.since) == (
        ("why", 1, 2, ("/a",), 3.0)
    )

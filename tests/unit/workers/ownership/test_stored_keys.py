"""Our own keys as the first version wrote them, kept as files: what was once written in somebody's
etcd must be read for ever, and what is written today must look the same."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from tests.unit.workers.ownership import fences
from zk2etcd import conditions, errors, messages
from zk2etcd_workers.ownership import formats, member, records

STORED = pathlib.Path(__file__).parent / "stored"
KEY = b"zk2etcd/default/guards/a"
SHARD = messages.Shard("dubbo-0", "/dubbo", "/dubbo")
TRIP = conditions.Guard(
    "8e7b044559d6",
    "57% of the keys would go (max_ratio 30%)",
    12,
    21,
    ("/dubbo/a", "/dubbo/\u00e9"),
    1795516932.25,
)
BEHIND = conditions.Guard(
    "8e7b044559d6", "identity: every host is behind", 0, 21, (), 1795516932.25, "identity"
)
GUARDS = {
    "guard-walking": records.GuardRecord(120, first=True),
    "guard-trip": records.GuardRecord(21, first=False, trip=TRIP),
    "guard-identity": records.GuardRecord(21, first=True, trip=BEHIND, lowers=True),
}


def stored(name: str) -> bytes:
    return (STORED / name).read_bytes()


@pytest.mark.parametrize("name", GUARDS)
def test_guards(name: str) -> None:
    assert records.GuardRecord.from_bytes(stored(name), KEY) == GUARDS[name]
    assert GUARDS[name].to_bytes() == stored(name)


def test_a_trip_from_before_there_were_two_kinds_holds_deletes() -> None:
    found = records.GuardRecord.from_bytes(stored("guard-trip-before-kinds"), KEY)
    assert found.trip is not None
    assert (found.trip.kind, found.trip.deletes, found.lowers) == ("deletes", 12, False)


def test_identities() -> None:
    births = {
        b"/a": records.Birth(2, 1_795_516_932_250),
        "/\u00e9".encode(): records.Birth(31, 1_795_516_932_251),
    }
    record = records.IdentityRecord(births, since=77)
    assert records.IdentityRecord.from_bytes(stored("identity"), KEY) == record
    assert record.to_bytes() == stored("identity")


def test_identities_with_marks() -> None:
    """As written since; what was written before knows no ensemble, and no mark counts."""
    root, other = records.Birth(31, 1_795_516_932_251), records.Birth(2, 1_795_516_932_250)
    record = records.IdentityRecord({b"/a": root}, 77, {b"/other": other}, era=161)
    assert records.IdentityRecord.from_bytes(stored("identity-ensemble"), KEY) == record
    assert record.to_bytes() == stored("identity-ensemble")
    before = records.IdentityRecord.from_bytes(stored("identity"), KEY)
    assert (before.ensemble, before.era) == ({}, 0)


def test_pauses() -> None:
    pause = conditions.Paused("alice@desk (127.0.0.1)", 1795516932.25)
    assert records.decode_pause(stored("pause"), KEY) == pause
    assert records.encode_pause(pause) == stored("pause")


def test_checkpoints() -> None:
    assert records.decode_zxid(stored("checkpoint")) == 123
    assert records.encode_zxid(123, 161) == stored("checkpoint")
    assert records.decode_zxid(stored("checkpoint-taken")) == 0
    assert records.encode_zxid(0) == stored("checkpoint-taken")


def test_the_format() -> None:
    formats.check_format(stored("format"), b"zk2etcd/default/format")
    written = records.encode({"min_reader": records.FORMAT, "written_by": "zk2etcd"})
    assert written == stored("format")


def test_members() -> None:
    identity = messages.Identity("host-1a2b3c4d", "w0", 2, "http://127.0.0.1:9180")
    assert member.document(identity) == stored("member")
    found = records.decode(stored("member"), b"zk2etcd/default/members/host-1a2b3c4d")
    assert (found["instance"], found["admin"]) == ("host-1a2b3c4d", "http://127.0.0.1:9180")


def test_owners() -> None:
    found = records.decode(stored("owner"), b"zk2etcd/default/owners/a")
    mine = fences.of(SHARD)
    mine._epoch = 3
    assert mine._document() == stored("owner")
    assert (found["instance"], found["slot"], found["incarnation"]) == ("host-1a2b3c4d", "w0", 2)


@pytest.mark.parametrize(
    "value",
    [
        b'{"v":1}',
        b'{"v":1,"first":true,"present":"many"}',
        b'{"v":1,"first":true,"present":1,"trip":{}}',
        b'{"v":1,"first":true,"present":1,"trip":[1]}',
        b'{"v":1,"births":[],"since":0}',
        b'{"v":1,"births":{"/a":"0x1"},"since":0}',
        b'{"v":1,"births":{"/a":{"zxid":"x","at":1}},"since":0}',
        b'{"v":1,"births":{"/a":{"zxid":"0x1"}},"since":0}',
        b'{"v":1,"births":{"/a":{"zxid":"0x1","at":1}}}',
        b'{"v":1,"by":"alice"}',
        b'{"v":1,"by":"alice","since":"today"}',
    ],
)
@pytest.mark.parametrize(
    "read",
    [records.GuardRecord.from_bytes, records.IdentityRecord.from_bytes, records.decode_pause],
)
def test_what_is_no_record_of_ours_is_named_with_a_remedy(
    value: bytes, read: Callable[[bytes, bytes], object]
) -> None:
    with pytest.raises(errors.NewerFormat, match=r"guards/a in etcd is not as zk2etcd"):
        read(value, KEY)


def test_the_owner_key_of_a_bucket_is_as_it_was_first_written() -> None:
    shard = messages.Shard("dubbo-0", "/dubbo", "/mirror/dubbo", (), 1, 3)
    mine = fences.of(shard)
    mine._epoch = 3
    assert mine._document() == stored("owner-bucket")

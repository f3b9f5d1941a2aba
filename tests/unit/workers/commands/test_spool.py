"""What differs so far, in memory and beyond it."""

from __future__ import annotations

import pytest

from zk2etcd_workers.commands import spool


@pytest.fixture(params=[1, 4 * 1024 * 1024], ids=["on disk", "in memory"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> spool.Spool:
    monkeypatch.setattr(spool, "_IN_MEMORY", request.param)
    return spool.Spool()


def test_records_come_back_in_order_and_again(kept: spool.Spool) -> None:
    records = [
        spool.Record(spool.EXTRA, b"/a"),
        spool.Record(spool.MISSING, b"/b\xff\x00", 0),
        spool.Record(spool.DIFFERS, b"/" + b"long" * 5000, 2**60, moved=True),
        spool.Record(spool.EXTRA, b"", 7),
    ]
    for count, record in enumerate(records, 1):
        kept.add(record)
        assert len(kept) == count
    assert list(kept) == records
    assert list(kept) == records


def test_one_may_be_added_after_reading(kept: spool.Spool) -> None:
    kept.add(spool.Record(spool.EXTRA, b"/a"))
    assert [record.path for record in kept] == [b"/a"]
    kept.add(spool.Record(spool.EXTRA, b"/b"))
    assert [record.path for record in kept] == [b"/a", b"/b"]


def test_an_empty_one(kept: spool.Spool) -> None:
    assert not list(kept)
    assert len(kept) == 0

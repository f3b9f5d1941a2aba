"""`release` of several shards, of which some are refused."""

from __future__ import annotations

from typing import Any

import pytest

from zk2etcd import errors
from zk2etcd.cli import asking, main

_GUARD = {"kind": "guard", "deletes": 3, "present": 4, "creates": 0, "reason": "r", "sample": []}


class _Owners:
    """Supervisors that have a trip each; those of `refusals` do not release theirs."""

    def __init__(self, refusals: dict[str, errors.Zk2EtcdError]) -> None:
        self.refusals = refusals
        self.released: list[str] = []

    def status(self) -> dict[str, Any]:
        shards = [
            {
                "id": each,
                "guard": {**_GUARD, "id": f"trip-{each}"},
                "kept_last": None,
                "holder": None,
            }
            for each in "abcd"
        ]
        return {"shards": shards, "cluster": None}

    def release(self, shard: str, trip: str) -> None:
        if shard in self.refusals:
            raise self.refusals[shard]
        assert trip == f"trip-{shard}"
        self.released.append(shard)


def test_one_that_is_refused_keeps_none_from_its_release(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = errors.Unreachable("its owner does not answer")
    owners = _Owners({"a": silent, "b": silent, "c": errors.Zk2EtcdError("another trip by now")})
    monkeypatch.setattr(asking.Where, "client", lambda _: owners)
    assert main.run(["release", "--yes", "a", "b", "c", "d"]) == 3
    assert owners.released == ["d"]
    told = capsys.readouterr()
    assert "d: released, 3 deletes at most" in told.out
    assert told.err.splitlines() == [
        "a: not released",
        "b: not released",
        "c: not released",
        "another trip by now",
        "zk2etcd: its owner does not answer",
    ]

"""What `diff` prints: for a person, safe and short; as JSON, all of it."""

from __future__ import annotations

import json

import pytest

from zk2etcd import messages
from zk2etcd.client import diff_text
from zk2etcd_workers.commands import compare, spool

SHARD = messages.Shard("s-1", "/from", "/to")


def found(*records: tuple[str, bytes], **counts: int) -> compare.Found:
    made = compare.Found(SHARD, nodes=5, keys=4, key_of=lambda path: b"/to" + path[5:])
    for kind, path in records:
        made.records.add(spool.Record(kind, path, 1))
        made.counts[kind] += 1
    for name, value in counts.items():
        setattr(made, name, value)
    return made


def shown(
    capsys: pytest.CaptureFixture[str],
    *results: compare.Found,
    fixes: tuple[diff_text.Fix, ...] = (),
) -> list[str]:
    diff_text.show(results, fixes)
    return capsys.readouterr().out.splitlines()


def test_equal(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, found(), found()) == [
        "/from -> /to: no difference; 5 nodes, 4 keys",
        "/from -> /to: no difference; 5 nodes, 4 keys",
        "equal: 10 nodes, keys and values",
    ]


def test_differences_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    result = found(
        ("extra", b"/from/e"),
        ("differs", b"/from/d"),
        ("extra", b"/from/\x1b[2J"),
        ("missing", b"/from"),
    )
    assert shown(capsys, result) == [
        "/from -> /to: 4 differences; 5 nodes, 4 keys",
        "  missing (in ZooKeeper only): 1",
        "    /from",
        "  extra (in etcd only): 2",
        "    /from/e",
        "    /from/\\x1b[2J",
        "  differs (with different values): 1",
        "    /from/d",
        "not equal: 1 in ZooKeeper only, 2 in etcd only, 1 with different values",
    ]


def test_a_long_list_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, found(*(("missing", b"/from/%d" % n) for n in range(1021))))
    assert lines[1] == "  missing (in ZooKeeper only): 1,021"
    assert lines[2:22] == [f"    /from/{n}" for n in range(20)]
    assert lines[22] == "    ... and 1,001 more"


def test_what_could_not_be_read_is_never_equal(capsys: pytest.CaptureFixture[str]) -> None:
    result = found()
    result.cannot_read(b"/from/secret")
    assert not result.equal
    lines = shown(capsys, result, found())
    assert "    /from/secret" in lines
    assert lines[-1] == "no difference found, but not everything could be read"


def test_notes_do_not_make_it_unequal(capsys: pytest.CaptureFixture[str]) -> None:
    result = found(changing=2, kept=3, foreign=4)
    assert result.equal
    lines = shown(capsys, result)
    assert [line.rpartition(" ")[2] for line in lines[1:-1]] == ["2", "3", "4"]


def test_repairs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        found(),
        fixes=(
            diff_text.Fix("s-1", None, 1200, 1, ("too many", 30), (("/from/\u202e", "too large"),)),
            diff_text.Fix("s-2", "host/w0.1", 0, 0, ("root is missing", 5)),
        ),
    )
    assert lines[:6] == [
        "repaired s-1, by this command, as nobody owns it: 1,200 put, 1 deleted",
        "  cannot be mirrored: /from/\\u202e: too large",
        "  the delete guard holds 30 deletes: too many",
        "  (make sure that ZooKeeper is right, then use --fix --allow-deletes)",
        "repaired s-2, by its owner, host/w0.1: 0 put, 0 deleted",
        "  the delete guard holds 5 deletes: root is missing",
    ]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json(capsys: pytest.CaptureFixture[str], count: int) -> None:
    result = found(*(("differs", b"/from/\xff%d" % n) for n in range(count)), foreign=1)
    fix = diff_text.Fix("s-1", None, 1, 2, ("too many", 30), (("/p", "too large"),))
    diff_text.show_json([result, found()], [fix])
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["equal"] == (count == 0)
    assert [each["differs"] for each in document["shards"]] == [count, 0]
    assert document["shards"][0]["foreign"] == 1
    assert document["fixes"] == [
        {
            "shard": "s-1",
            "holder": None,
            "put": 1,
            "delete": 2,
            "held": {"reason": "too many", "deletes": 30},
            "refused": [{"path": "/p", "reason": "too large"}],
        }
    ]
    assert document["differences"] == [
        {"shard": "s-1", "kind": "differs", "path": f"/from/\\xff{n}", "key": f"/to/\\xff{n}"}
        for n in range(count)
    ]
    diff_text.show_json([found()], None)
    assert json.loads(capsys.readouterr().out)["fixes"] is None

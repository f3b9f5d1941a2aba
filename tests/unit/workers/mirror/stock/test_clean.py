"""When what changed since is asked for, and when its answer is believed."""

from __future__ import annotations

import types
from collections.abc import Set
from typing import Any, cast

import pytest

from zk2etcd import errors
from zk2etcd.config import mirroring
from zk2etcd_workers.mirror.stock import clean
from zk2etcd_workers.model import mapping
from zk2etcd_workers.model.live import last
from zk2etcd_workers.ownership import records
from zk2etcd_workers.shard import context, facts as shard_facts

KNOWN = clean.Known(100, 3, epoch=5)
_Space = types.SimpleNamespace


def ctx(**other: Any) -> context.Context:
    """A shard of which what has changed since may be asked, but for `other`."""
    parts = {
        "mapping": mapping.Mapping("/s", "/s"),
        "session": _Space(protocol="classic"),
        "dry_run": False,
        "config": _Space(sync=_Space(deletes="apply")),
        "fence": _Space(put_back=False),
        "etcd": _Space(rollbacks=3),
        "since": 100,
        "epoch": 6,
        "root": b"/s",
        "delete_guard": mirroring.DeleteGuard(),
        "kept": last.Kept(),
    }
    return cast(context.Context, _Space(**{**parts, **other}))


def why(
    on: context.Context, known: clean.Known = KNOWN, *, certain: bool = True, **facts: Any
) -> str | None:
    told = shard_facts.Facts()
    for name, value in facts.items():
        setattr(told, name, value)
    return clean.refused(known, on, told, certain=certain)


def test_it_is_asked_where_all_is_certain() -> None:
    assert why(ctx()) is None
    assert why(ctx(mapping=mapping.Mapping("/s", "/t", ["/s/x"]))) is None


@pytest.mark.parametrize(
    "other",
    [
        {"session": _Space(protocol="bulk")},
        {"dry_run": True},
        {"config": _Space(sync=_Space(deletes="never"))},
        {"mapping": mapping.Mapping("/s", "/s", (), 0, 2)},
        {"mapping": mapping.Mapping("/", "/")},
        {"fence": _Space(put_back=True)},
        {"etcd": _Space(rollbacks=4)},
        {"since": 99},
        {"epoch": 5},
    ],
    ids=lambda other: next(iter(other)),
)
def test_any_doubt_is_a_base(other: dict[str, Any]) -> None:
    assert why(ctx(**other)) is not None


def test_what_is_not_known_held_or_not_mirrored_is_a_base() -> None:
    assert why(ctx(), clean.NOTHING) is not None
    assert why(ctx(), certain=False) is not None
    assert why(ctx(), guard=records.new_trip("too many", 9, 10, ("/a",), 1.0)) is not None
    assert why(ctx(), blind="it may not be read") is not None
    told = shard_facts.Facts()
    told.unsyncable.add(b"/s/large", "too large", _Space(warning=lambda *_, **__: None))
    assert clean.refused(KNOWN, ctx(), told, certain=True) is not None


def test_a_lost_connection_changes_nothing_in_etcd() -> None:
    assert clean.is_outlived(errors.SessionDoubt("lost"))
    assert clean.is_outlived(errors.ZooKeeperError("no session"))


@pytest.mark.parametrize(
    "error",
    [
        errors.PutBack,
        errors.StaleRead,
        errors.Overflow,
        errors.ZooKeeperDenied,
        errors.AmbiguousWrite,
        errors.EtcdUnavailable,
        errors.Fenced,
        errors.LeaseDoubt,
        errors.RolledBack,
        errors.Released,
        errors.Zk2EtcdError,
    ],
)
def test_anything_else_may_have(error: type[errors.Zk2EtcdError]) -> None:
    assert not clean.is_outlived(error("doubt"))


def answer(keys: int, gone: Set[bytes] = frozenset(), **other: bool) -> clean.Answer:
    return clean.Answer(keys, gone=set(gone), **{"has_root": True, "whole": True, **other})


def test_what_a_guard_would_let_go_is_believed() -> None:
    gone = {b"/s/%d" % number for number in range(100)}
    assert clean.distrusted(ctx(), answer(1000)) is None
    assert clean.distrusted(ctx(), answer(1000, gone)) is None
    assert clean.distrusted(ctx(), answer(100, gone)) is not None
    assert clean.distrusted(ctx(), answer(200, gone | {b"/s/one-more"})) is not None
    kept = last.Kept()
    kept.add(b"/s/one-more")
    assert clean.distrusted(ctx(kept=kept), answer(200, gone | {b"/s/one-more"})) is None


def test_what_was_not_asked_or_not_told_is_a_base() -> None:
    assert clean.distrusted(ctx(), answer(10**6, {b"/s"})) is not None
    assert clean.distrusted(ctx(), answer(0, has_root=False)) is not None
    assert clean.distrusted(ctx(), answer(10**6, has_root=False)) is not None
    assert clean.distrusted(ctx(), answer(10**6, whole=False)) is not None

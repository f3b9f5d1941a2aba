"""Which shards the page lists."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit import views
from zk2etcd.admin.web import choice
from zk2etcd.view import published, status

Wanted = choice.Wanted


def made(name: str, source: str, worker: str, **changes: Any) -> published.ShardView:
    return dataclasses.replace(views.shard(name, **changes), source=source, worker=worker)


def many(*odd: published.ShardView, count: int = 500) -> status.Document:
    quiet = [made(f"q{number}", f"/q{number}", "w0") for number in range(count)]
    return views.document(*quiet, *odd, state="degraded")


ODD = made("odd", "/odd/One", "w1", phase="error", error="etcd is away")


def ids(shown: choice.Shown) -> list[str]:
    return [shard["id"] for shard in shown.shards]


def test_of_few_all_and_no_search() -> None:
    shown = choice.shown(many(ODD, count=99), Wanted())
    assert (len(shown.shards), shown.left, shown.searched) == (100, 0, False)


def test_of_many_those_that_stand_out() -> None:
    shown = choice.shown(many(ODD), Wanted())
    assert (ids(shown), shown.left, shown.total, shown.searched) == (["odd"], 500, 501, True)


@pytest.mark.parametrize("find", ["odd", "ONE", "/odd/one", "w1", "error", "ETCD is", "away w1"])
def test_what_has_all_the_words(find: str) -> None:
    assert ids(choice.shown(many(ODD), Wanted(find))) == ["odd"]


def test_nothing_has_them() -> None:
    assert ids(choice.shown(many(ODD), Wanted("odd w0"))) == []


def test_no_more_than_one_can_read_but_all_if_they_are_wanted() -> None:
    shown = choice.shown(many(ODD), Wanted("/q"))
    assert (len(shown.shards), shown.left) == (choice.MANY, 500 - choice.MANY)
    assert len(choice.shown(many(ODD), Wanted("/q", everything=True)).shards) == 500
    assert len(choice.shown(many(ODD), Wanted(everything=True)).shards) == 501


def test_the_address_says_what_is_wanted() -> None:
    assert Wanted.of({"find": f" {'x' * 999} ", "all": "1"}) == Wanted("x" * 200, everything=True)
    assert Wanted.of({}) == Wanted()

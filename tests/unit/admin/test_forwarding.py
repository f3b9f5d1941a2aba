"""Who has what of that for which a person asked."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit import views
from zk2etcd.admin import forwarding
from zk2etcd.view import control, published

OTHER = published.Member("host-2-def", url="http://10.0.0.2:9180")
VIEW = views.view(
    cluster=views.cluster(OTHER),
    shards=(
        views.shard("a"),
        views.elsewhere("b"),
        views.elsewhere("c"),
        views.elsewhere("d", "host-3"),
        views.elsewhere("e", None),
    ),
)


def test_all_are_parted_by_who_has_them() -> None:
    found = forwarding.parts(VIEW, None)
    assert found.ours == ("a",)
    assert found.theirs == {"host-2-def": ("b", "c"), "host-3": ("d",)}
    assert found.nobodys == ("e",)


def test_named_ones_are_parted_once_each() -> None:
    found = forwarding.parts(VIEW, ["c", "a", "c"])
    assert (found.ours, found.theirs, found.nobodys) == (("a",), {"host-2-def": ("c",)}, ())


def test_one_that_a_worker_of_ours_is_to_have_is_ours_whoever_has_it_still() -> None:
    ours = dataclasses.replace(views.elsewhere("b"), worker="w0")
    view = views.view(cluster=views.cluster(OTHER), shards=(ours,))
    assert forwarding.parts(view, None).ours == ("b",)


def test_one_that_is_not_known_ends_it_before_anybody_is_asked() -> None:
    with pytest.raises(control.UnknownShard) as caught:
        forwarding.parts(VIEW, ["a", "z", "b"])
    assert caught.value.ids == ("z",)


def test_whoever_does_not_share_answers_for_all() -> None:
    """One that stands by refuses what another owns by itself."""
    view = dataclasses.replace(VIEW, cluster=None)
    assert forwarding.parts(view, ["b", "e"]) == forwarding.Parts(("b", "e"))

"""Trying again with new connections, and when not to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit import settings
from zk2etcd import errors
from zk2etcd_workers.commands import both_sides

WHO = both_sides.identity("test")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[both_sides.Sides]:
    """Every Sides that was made; none of them reaches for a server."""
    known: list[both_sides.Sides] = []

    def reach(self: both_sides.Sides) -> None:
        known.append(self)

    monkeypatch.setattr(both_sides.Sides, "reach", reach)
    return known


def failing(*failures: errors.Zk2EtcdError) -> Callable[[both_sides.Sides], str]:
    left = list(failures)

    def work(_: both_sides.Sides) -> str:
        if left:
            raise left.pop(0)
        return "done"

    return work


@pytest.mark.parametrize(
    "failure",
    [errors.SessionDoubt("x"), errors.EtcdUnavailable("x"), errors.AmbiguousWrite("x")],
)
def test_what_may_pass_is_tried_again_with_new_connections(
    made: list[both_sides.Sides], failure: errors.Zk2EtcdError
) -> None:
    work = failing(failure, failure)
    assert both_sides.attempt(settings.configured(), WHO, work) == "done"
    assert len({id(each) for each in made}) == 3


def test_not_for_ever(made: list[both_sides.Sides]) -> None:
    work = failing(*[errors.SessionDoubt("it broke off")] * 9)
    with pytest.raises(errors.Unreachable, match="3 attempts: it broke off"):
        both_sides.attempt(settings.configured(), WHO, work)
    assert len(made) == 3


def test_a_server_from_the_past_is_said_so(made: list[both_sides.Sides]) -> None:
    work = failing(*[errors.StaleRead("it is behind")] * 9)
    with pytest.raises(errors.Unreachable, match="behind: it was wiped, restored or replaced"):
        both_sides.attempt(settings.configured(), WHO, work)
    assert len(made) == 3


@pytest.mark.parametrize(
    "failure",
    [errors.Held("them", "http://x"), errors.EtcdDenied("no"), errors.NewerFormat("newer")],
)
def test_what_does_not_pass_is_not_tried_again(
    made: list[both_sides.Sides], failure: errors.Zk2EtcdError
) -> None:
    with pytest.raises(type(failure)):
        both_sides.attempt(settings.configured(), WHO, failing(failure))
    assert len(made) == 1


def test_each_command_is_somebody_of_its_own() -> None:
    one, other = both_sides.identity("diff"), both_sides.identity("diff")
    assert one.instance != other.instance
    assert (one.slot, one.incarnation, one.admin_url) == ("diff", 1, "")

"""Each class of kazoo's errors, and what it means: an answer about a node, or the connection."""

from __future__ import annotations

import inspect

import kazoo.exceptions
import pytest

from zk2etcd import errors
from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import failures

ABOUT_A_NODE = [
    (kazoo.exceptions.NoNodeError, tree.Miss.NO_NODE),
    (kazoo.exceptions.NoAuthError, tree.Miss.NO_AUTH),
    (kazoo.exceptions.APIError, tree.Miss.OTHER),
    (kazoo.exceptions.BadArgumentsError, tree.Miss.OTHER),
    (kazoo.exceptions.MarshallingError, tree.Miss.OTHER),
    (kazoo.exceptions.SystemZookeeperError, tree.Miss.OTHER),
    (kazoo.exceptions.UnimplementedError, tree.Miss.OTHER),
]
RETRIED = [
    (kazoo.exceptions.NoAuthError, "ZooKeeper denies the right to read"),
    (kazoo.exceptions.AuthFailedError, "ZooKeeper refused the credentials"),
]
CLASSES = filter(inspect.isclass, vars(kazoo.exceptions).values())
ALL = {kind for kind in CLASSES if issubclass(kind, kazoo.exceptions.KazooException)}
DOUBTS = ALL - {kind for kind, _ in RETRIED}


@pytest.mark.parametrize(("kind", "miss"), ABOUT_A_NODE)
def test_an_answer_about_a_node_is_no_doubt_in_the_connection(
    kind: type[Exception], miss: tree.Miss
) -> None:
    assert failures.miss(kind("x")) is miss


def test_whatever_else_is_about_the_connection() -> None:
    known = {kind for kind, _ in ABOUT_A_NODE}
    rest = ALL - known
    assert kazoo.exceptions.ConnectionLoss in rest
    for kind in [*rest, KeyError, OSError]:
        assert failures.miss(kind("x")) is None


@pytest.mark.parametrize("kind", sorted(ALL, key=str))
def test_only_a_server_that_knows_the_question_says_no(kind: type[Exception]) -> None:
    refusals = (kazoo.exceptions.NoNodeError, kazoo.exceptions.NoAuthError)
    assert failures.says_no(kind("x")) == (kind in refusals)


@pytest.mark.parametrize(("kind", "said"), RETRIED)
def test_what_only_a_person_can_mend_is_tried_again_later(kind: type[Exception], said: str) -> None:
    error = failures.translate(kind("secret"))
    assert type(error) is errors.ZooKeeperError
    assert error.reaction is errors.Reaction.RETRY
    assert str(error) == said


@pytest.mark.parametrize("kind", [*sorted(DOUBTS, key=str), KeyError, OSError])
def test_any_other_failure_is_a_doubt(kind: type[Exception]) -> None:
    error = failures.translate(kind("secret"))
    assert type(error) is errors.SessionDoubt
    assert str(error) == f"the ZooKeeper session broke off ({kind.__name__})"


def test_a_request_that_is_not_sent_fails_as_one_that_was_lost() -> None:
    assert type(failures.translate(failures.lost())) is errors.SessionDoubt
    assert failures.miss(failures.lost()) is None


def test_a_refusal_is_told_in_the_words_that_commands_look_for() -> None:
    refused = kazoo.exceptions.AuthFailedError()
    assert failures.is_refusal(refused)
    assert failures.REFUSED in str(failures.translate(refused))
    assert not failures.is_refusal(kazoo.exceptions.NoAuthError())

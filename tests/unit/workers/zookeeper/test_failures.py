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
    (kazoo.exceptions.NoAuthError, errors.ZooKeeperError, "denies the right to read"),
    (kazoo.exceptions.AuthFailedError, errors.ZooKeeperDenied, "refused the credentials"),
    (kazoo.exceptions.SessionClosedRequireSaslError, errors.ZooKeeperDenied, "set zookeeper.sasl"),
    (failures.Throttled, errors.ZooKeeperError, "is overloaded"),
]
CLASSES = filter(inspect.isclass, vars(kazoo.exceptions).values())
ALL = {kind for kind in CLASSES if issubclass(kind, kazoo.exceptions.KazooException)}
DOUBTS = ALL - {kind for kind, _, _ in RETRIED}


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


@pytest.mark.parametrize(("kind", "meant", "said"), RETRIED)
def test_what_is_certain_is_tried_again_later(
    kind: type[Exception], meant: type[errors.ZooKeeperError], said: str
) -> None:
    error = failures.translate(kind("secret"))
    assert type(error) is meant
    assert error.reaction is errors.Reaction.RETRY
    assert said in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize("kind", [*sorted(DOUBTS, key=str), KeyError, OSError])
def test_any_other_failure_is_a_doubt(kind: type[Exception]) -> None:
    error = failures.translate(kind("secret"))
    assert type(error) is errors.SessionDoubt
    assert str(error) == f"the ZooKeeper session broke off ({kind.__name__})"


def test_a_request_that_is_not_sent_fails_as_one_that_was_lost() -> None:
    assert type(failures.translate(failures.lost())) is errors.SessionDoubt
    assert failures.miss(failures.lost()) is None


def test_only_what_is_about_a_login_is_a_refusal_of_one() -> None:
    assert failures.is_refusal(kazoo.exceptions.AuthFailedError())
    assert failures.is_refusal(kazoo.exceptions.SessionClosedRequireSaslError())
    assert not failures.is_refusal(kazoo.exceptions.NoAuthError())


def test_a_code_that_nobody_knows_is_named_and_in_doubt() -> None:
    """kazoo's own table raises for it, in the thread that all answers come through."""
    classes = kazoo.exceptions.EXCEPTIONS
    with pytest.raises(RuntimeError):
        classes[-9876]()
    failures.name(-9876)
    failures.name(-101)
    failures.name(0)
    assert classes[-101] is kazoo.exceptions.NoNodeError
    assert str(failures.translate(classes[-9876]())).endswith("broke off (Code-9876)")
    assert issubclass(classes[-127], failures.Throttled)
    del classes[-9876]

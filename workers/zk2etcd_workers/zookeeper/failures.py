"""What ZooKeeper's answers mean: one table, and from it one class of our tree, or a node that
cannot be read. docs/zookeeper.md tells it to people.

The line that matters: did a server answer, about one node, or is it the connection that failed, so
that nothing is known? Not translated are what only `connection` catches, and the generator's.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import kazoo.exceptions

from zk2etcd import errors
from zk2etcd_workers.model import pacing, tree

lost = kazoo.exceptions.ConnectionLoss
"""Makes the error of a request that is not sent, since there is no connection."""


class Meaning(enum.Enum):
    """What an answer says. The first three are about one node, and certain."""

    ABSENT = "absent"
    DENIED = "denied"
    UNREADABLE = "unreadable"
    UNKNOWN = "request not known"
    OVERLOAD = "overload"
    LOGIN = "login refused or wanted"
    DOUBT = "in doubt"


class Throttled(kazoo.exceptions.ZookeeperError):  # type: ignore[misc]
    """The server did nothing, since the request had waited for too long (3.7 and later,
    `zookeeper.throttled_op_wait_time`)."""


class Unnamed(kazoo.exceptions.ZookeeperError):  # type: ignore[misc]
    """A code that no release up to 3.9 knows."""


_CLASSES = kazoo.exceptions.EXCEPTIONS
_THROTTLED_OP = -127
_CLASSES[_THROTTLED_OP] = Throttled

_MEANINGS: dict[type[BaseException], Meaning] = {
    kazoo.exceptions.NoNodeError: Meaning.ABSENT,
    kazoo.exceptions.NoAuthError: Meaning.DENIED,
    kazoo.exceptions.APIError: Meaning.UNREADABLE,
    kazoo.exceptions.BadArgumentsError: Meaning.UNREADABLE,
    kazoo.exceptions.MarshallingError: Meaning.UNREADABLE,
    kazoo.exceptions.SystemZookeeperError: Meaning.UNREADABLE,
    kazoo.exceptions.UnimplementedError: Meaning.UNKNOWN,
    Throttled: Meaning.OVERLOAD,
    kazoo.exceptions.AuthFailedError: Meaning.LOGIN,
    kazoo.exceptions.SessionClosedRequireSaslError: Meaning.LOGIN,
}
_MISSES = {
    Meaning.ABSENT: tree.Miss.NO_NODE,
    Meaning.DENIED: tree.Miss.NO_AUTH,
    Meaning.UNREADABLE: tree.Miss.OTHER,
    Meaning.UNKNOWN: tree.Miss.OTHER,
}


def name(code: int) -> None:
    """Let kazoo take an error code that it has no class for; it would let its thread die of it."""
    if code not in _CLASSES:
        _CLASSES[code] = type(f"Code{code}", (Unnamed,), {"code": code})


def of(code: int) -> BaseException:
    """kazoo's error for an answer with this code."""
    name(code)
    error: BaseException = _CLASSES[code]()
    return error


def meaning(error: BaseException) -> Meaning:
    """What this error of kazoo's says; all that is not in the table is about the connection."""
    return _MEANINGS.get(type(error), Meaning.DOUBT)


def translate(
    error: BaseException,
    size: int = 0,
    overdue: float | None = None,
    paths: Sequence[tuple[int, bytes]] = (),
) -> errors.ZooKeeperError:
    """What the failure of a request of so many bytes means for the shards.

    :param overdue: we ended the connection, since something was not answered for so many seconds.
    :param paths: what was to be read, each behind a number.
    """
    match meaning(error):
        case Meaning.DENIED:
            return errors.ZooKeeperError("ZooKeeper denies the right to read")
        case Meaning.LOGIN:
            return errors.ZooKeeperDenied(f"ZooKeeper {login(error)}")
        case Meaning.OVERLOAD:
            return errors.ZooKeeperError("ZooKeeper is overloaded: it threw a request away unread")
        case _:
            pass
    if overdue is not None:
        of = f" to a read of {tree.shown(paths[0][1])}" if len(paths) == 1 else ""
        why = f"no answer{of} within zookeeper.request_timeout, {overdue:g} s"
        return errors.SessionDoubt(f"the ZooKeeper session broke off ({why})")
    said = f"the ZooKeeper session broke off ({type(error).__name__})"
    if size > pacing.LARGE_REQUEST:
        said += f" at a request of {size:,} bytes: is jute.maxbuffer of its server smaller?"
    return errors.SessionDoubt(said)


def login(error: BaseException) -> str:
    """What a server that refuses our login wants. Never a secret."""
    if isinstance(error, kazoo.exceptions.AuthFailedError):
        return "refused the credentials (zookeeper.auth, zookeeper.sasl)"
    return (
        "takes nobody without a login of its kind: set zookeeper.sasl, or zookeeper.auth with one "
        "of its enforce.auth.schemes, or correct their credentials"
    )


def is_refusal(error: BaseException) -> bool:
    """The servers refused our credentials, or want some."""
    return meaning(error) is Meaning.LOGIN


def miss(error: BaseException) -> tree.Miss | None:
    """What an answer says of its one node; None: it is about the connection."""
    return _MISSES.get(meaning(error))


def says_no(error: BaseException) -> bool:
    """A server understood the question, and refused it for this node."""
    return meaning(error) in (Meaning.ABSENT, Meaning.DENIED)

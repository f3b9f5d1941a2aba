"""What kazoo's errors mean: one class of our tree, or a node that cannot be read.

The line that matters: did a server answer, about one node, or is it the connection that failed, so
that nothing is known? Not translated are what only `connection` catches, and the generator's.
"""

from __future__ import annotations

import kazoo.exceptions

from zk2etcd import errors
from zk2etcd_workers.model import tree

REFUSED = "refused the credentials"
"""These words stand in every message about it; `check` and `diff` look for them."""

lost = kazoo.exceptions.ConnectionLoss
"""Makes the error of a request that is not sent, since there is no connection."""

_OTHER = (
    kazoo.exceptions.APIError,
    kazoo.exceptions.BadArgumentsError,
    kazoo.exceptions.MarshallingError,
    kazoo.exceptions.SystemZookeeperError,
    kazoo.exceptions.UnimplementedError,
)


def translate(error: BaseException) -> errors.ZooKeeperError:
    """What the failure of a request means for the shards."""
    if isinstance(error, kazoo.exceptions.NoAuthError):
        return errors.ZooKeeperError("ZooKeeper denies the right to read")
    if is_refusal(error):
        return errors.ZooKeeperError(f"ZooKeeper {REFUSED}")
    return errors.SessionDoubt(f"the ZooKeeper session broke off ({type(error).__name__})")


def is_refusal(error: BaseException) -> bool:
    """The servers refused our credentials."""
    return isinstance(error, kazoo.exceptions.AuthFailedError)


def miss(error: BaseException) -> tree.Miss | None:
    """What an answer says of its one node; None: it is about the connection."""
    if isinstance(error, kazoo.exceptions.NoNodeError):
        return tree.Miss.NO_NODE
    if isinstance(error, kazoo.exceptions.NoAuthError):
        return tree.Miss.NO_AUTH
    return tree.Miss.OTHER if isinstance(error, _OTHER) else None


def says_no(error: BaseException) -> bool:
    """A server understood the question, and refused it for this node."""
    return miss(error) in (tree.Miss.NO_NODE, tree.Miss.NO_AUTH)

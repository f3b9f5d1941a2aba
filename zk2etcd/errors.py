"""Every error that zk2etcd raises on purpose, in one short tree.

The class of an error answers one question for whoever catches it: ask again (`Retry`), start the
shard over from its base (`Resync`), or stop and tell a person (`Stop`). The message is one line
for that person: what happened, where, and what to do about it. Secrets never go into it.
"""

from __future__ import annotations

import datetime
import enum


class Reaction(enum.Enum):
    """What the catcher of an error does next."""

    RETRY = "retry"
    RESYNC = "resync"
    STOP = "stop"


class Zk2EtcdError(Exception):
    """The root: anything that is not one of these, or a child of it, is a bug (exit 70)."""

    reaction = Reaction.STOP
    exit_code = 1


class ConfigError(Zk2EtcdError):
    """The configuration is wrong. `faults` holds one line for each fault found."""

    exit_code = 2

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class UsageError(Zk2EtcdError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class Unreachable(Zk2EtcdError):
    """A server, or the running supervisor, does not answer."""

    reaction = Reaction.RETRY
    exit_code = 3


class StartError(Zk2EtcdError):
    """`run` cannot bind its address or prepare its folders."""

    exit_code = 4


# --- ZooKeeper --------------------------------------------------------------------------------


class ZooKeeperError(Zk2EtcdError):
    """ZooKeeper refused or did not answer; the shard tries again after its back-off."""

    reaction = Reaction.RETRY
    exit_code = 3


class ZooKeeperDenied(ZooKeeperError):
    """Every server wants another login than ours: only a person can help, so it is tried slowly."""


class SessionDoubt(ZooKeeperError):
    """The session was suspended, lost or silently replaced: events may be missing."""

    reaction = Reaction.RESYNC


class PutBack(SessionDoubt):
    """The server behind a session that lives on was put back to an earlier state of itself."""


class StaleRead(ZooKeeperError):
    """A server answered from before the shard's floor: it lags, or was restored from a backup."""

    reaction = Reaction.RESYNC


class Overflow(ZooKeeperError):
    """More paths changed than the dirty queue may hold."""

    reaction = Reaction.RESYNC


class ListingRests(ZooKeeperError):
    """A listing under which a connection ended is not asked for again yet: it may have ended the
    server. `rest`: for how many seconds."""

    def __init__(self, said: str, rest: float) -> None:
        super().__init__(said)
        self.rest = rest


# --- etcd -------------------------------------------------------------------------------------


class EtcdError(Zk2EtcdError):
    """etcd refused a request, for certain: nothing of it was or will be applied."""

    reaction = Reaction.RETRY
    exit_code = 3


class EtcdUnavailable(EtcdError):
    """A read, or a request that changes nothing, was not answered."""


class Compacted(EtcdError):
    """The pinned revision is gone; go on from the last key at a new one."""


class TooManyOperations(EtcdError):
    """The server allows fewer operations in one Txn."""


class TooLarge(EtcdError):
    """The request, or one value in it, exceeds what the server takes."""


class Overloaded(EtcdError):
    """etcd has more requests under way than it can apply ("too many requests")."""


class NoSpace(EtcdError):
    """etcd's quota is used up: no writes until a person compacts, defragments and disarms."""


class EtcdDenied(EtcdError):
    """etcd refused our credentials or rights."""


class UnfitMember(EtcdError):
    """This endpoint refuses all that we need, for certain: a learner, say, or no etcd at all.
    Another one is asked."""


class OtherCluster(EtcdError):
    """Another etcd cluster answered than the one that is mirrored to, or it cannot be told which of
    them is that one. Nothing is written to it."""


class LeaseGone(EtcdError):
    """etcd does not know our lease any more: what hangs on it is gone, a new one is needed."""


class AmbiguousWrite(EtcdError):
    """A write's answer was lost: it may have been applied, or may still land later."""

    reaction = Reaction.RESYNC


class Fenced(EtcdError):
    """The fence compare failed: this shard's token is no longer ours."""

    reaction = Reaction.RESYNC


class Held(EtcdError):
    """Somebody else owns the shard, or a range that intersects its own. `holder` names them,
    `admin_url` is where they can be asked."""

    def __init__(self, holder: str, admin_url: str = "") -> None:
        super().__init__(f"owned by {holder}")
        self.holder = holder
        self.admin_url = admin_url


class RolledBack(EtcdError):
    """etcd answered from before what it had answered already: it was restored from a backup."""

    reaction = Reaction.RESYNC


class Released(Zk2EtcdError):
    """A person released the shard's guard: what it held goes with a base."""

    reaction = Reaction.RESYNC


class Paused(Zk2EtcdError):
    """A person paused the shard: nothing of it is written until they resume it."""

    def __init__(self, shard: str, by: str, since: float) -> None:
        at = datetime.datetime.fromtimestamp(since, datetime.UTC).isoformat(" ", "seconds")
        super().__init__(
            f"shard {shard} is paused since {at} by {by}: nothing is written to it until "
            f"`zk2etcd resume {shard}` asks its running supervisor"
        )


class LeaseDoubt(EtcdError):
    """Two thirds of the lease passed without a keepalive: stop writing before others may start."""

    reaction = Reaction.RESYNC


class NewerFormat(EtcdError):
    """One of our keys in etcd is not as this release writes it."""

    reaction = Reaction.STOP
    exit_code = 2


class NewerReader(NewerFormat):
    """A newer zk2etcd has our keys in etcd, and says that this one may not read them. No shard of
    them is ours any more, so the whole process ends."""

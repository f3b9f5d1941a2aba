"""What may be asked of the running supervisor, from any thread, and how it is refused.

What is asked comes back to the supervisor's loop as a request that it carries out itself, between
two turns. Neither side knows the other's insides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from zk2etcd import conditions
from zk2etcd.view import history, published

Held = conditions.Guard | conditions.Kept


class UnknownShard(KeyError):
    """No shard of this id in the configuration in force. `ids` are those that are not known."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"no such shard: {', '.join(ids)}")
        self.ids = tuple(ids)


class Conflict(RuntimeError):
    """What is asked speaks of a state that is not so, or not so any more."""


class Unavailable(RuntimeError):
    """The supervisor is stopping, or its loop did not take the request in time."""


@dataclasses.dataclass(frozen=True)
class ReloadResult:
    """How a reload ended. `error` says why the running configuration was kept, one fault a line.

    `changed` are the dotted keys that differ, also of a refused reload that got as far as that.
    """

    ok: bool
    error: str | None = None
    changed: tuple[str, ...] = ()


class Control(Protocol):
    """The running supervisor, from any thread."""

    def snapshot(self) -> published.View:
        """The latest view; never blocks on the loop."""
        ...

    def recent(self, after: int | None) -> history.Recent:
        """What was sampled after the sample `after`; with None the newest sample alone."""
        ...

    def request_full_sync(self, shards: Sequence[str] | None) -> tuple[str, ...]:
        """Ask for a full sync of these shards now, of all with None; the ids accepted.

        Raises UnknownShard or, for one that is paused, Conflict, and then asks for none;
        Unavailable. With None those that are paused are left out.
        """
        ...

    def request_release(self, shard: str, trip: str, by: str) -> Held:
        """Let the deletes that this trip of the shard's guard holds happen, once, or those of what
        is kept by this id; `by` says who asks. Returns it as it stands.

        Raises UnknownShard; Conflict when it does not stand, or when the shard is paused;
        Unavailable.
        """
        ...

    def request_pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        """Have these shards paused, all with None; `by` says who asks. The ids that will be: they
        are once their phase says so.

        Raises UnknownShard; Conflict, for one that another supervisor owns; Unavailable.
        """
        ...

    def request_resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        """End the pause of these shards, of all that are paused with None; the ids that will be
        mirrored again.

        Raises UnknownShard; Conflict, for one that is not paused; Unavailable.
        """
        ...

    def request_reload(self) -> ReloadResult:
        """Read the configuration again; returns when that is done. Raises Unavailable."""
        ...

    def set_log_level(self, level: str) -> None:
        """Change the level of every process until the next reload that changes it.

        Raises ValueError for a level other than debug, info, warning and error; Unavailable.
        """
        ...


class Listener(Protocol):
    """The admin address, bound; `address` is its host:port. Clients wait until `serve`."""

    address: str

    def serve(self, desk: Control) -> None: ...

    def close(self) -> None: ...


# Binds the admin address; called before any worker is told what to do. Raises errors.StartError
# when it cannot.
Listen = Callable[[], Listener]

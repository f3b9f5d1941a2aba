"""The keeper of a worker, whichever connections it has, and what is to be told of its census.

The supervisor's orders come in the worker's own loop, and the loop sends what was gathered: the
keeper's thread only leaves it here, and wakes the loop.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

from zk2etcd import census, messages
from zk2etcd_workers import bell
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.gathering import keeper
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import records


class Desk:
    """Used by the worker's loop, but for `_gathered`."""

    def __init__(self, identity: messages.Identity) -> None:
        self._identity = identity
        self._keeper: keeper.Keeper | None = None
        self._standing: messages.Standing | None = None
        self._lock = threading.Lock()
        self._epoch = 0
        self._found: tuple[census.Census, float] | None = None
        self._bell = bell.Bell()

    def fileno(self) -> int:
        """Readable where there is something to take."""
        return self._bell.fileno()

    def begin(
        self,
        client: etcd.Client,
        keys: records.Keys,
        lease: leases.Lease,
        connected: Callable[[], bool],
    ) -> None:
        """This worker keeps the census from now on, if it does not yet."""
        if self._keeper is not None:
            return
        told = functools.partial(self._gathered, self._epoch)
        self._keeper = keeper.Keeper(client, keys, lease, self._identity, connected, told)
        if self._standing is not None:
            self._keeper.hears(self._standing)
        self._keeper.start()

    def end(self) -> None:
        """It does not any more, or its connections end."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        with self._lock:
            self._epoch += 1
            self._found = None

    def close(self) -> None:
        """At the end of the worker."""
        self.end()
        self._bell.close()

    def carry_out(self, order: messages.Standing | messages.Offers) -> None:
        if isinstance(order, messages.Standing):
            self._standing = order
        if self._keeper is None:
            return
        if isinstance(order, messages.Standing):
            self._keeper.hears(order)
        else:
            self._keeper.act(order.wanted)

    def take(self, generation: int) -> messages.Gathered | None:
        """What was gathered since the last time."""
        with self._lock:
            found, self._found = self._found, None
            self._bell.was_rung()
        if found is None:
            return None
        return messages.Gathered(found[0], time.monotonic() - found[1], generation)

    @property
    def untold(self) -> str | None:
        """Why nothing is gathered, if something should be."""
        return self._keeper.untold if self._keeper is not None else None

    @property
    def refusal(self) -> str | None:
        """Why this release may not take part."""
        return self._keeper.refusal if self._keeper is not None else None

    @property
    def age(self) -> float:
        """For how long the keeper has done nothing that it should: then this worker is worth as
        much as one that hangs."""
        failed_at = self._keeper.failed_at if self._keeper is not None else None
        return time.monotonic() - failed_at if failed_at is not None else 0.0

    def _gathered(self, epoch: int, found: census.Census, at: float) -> None:
        with self._lock:
            if epoch == self._epoch:  # not of a keeper that ends
                self._found = found, at
                self._bell.ring()

"""Which shards may be paused or resumed, and what was asked for and is not done yet.

A worker may die before it has done what it was told, so the wish stays here until the shard's own
reports say that this very order is done, and is told to whichever worker owns the shard by then.
What is done stands in etcd, not here. Until then nobody is told "paused": the report may be from
before, and an earlier resume still under way.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NoReturn

from zk2etcd import errors, messages
from zk2etcd.view import control

Order = messages.Pause | messages.Resume
Reports = Mapping[str, messages.ShardReport]
_AGAIN = 2.0  # seconds after which a worker is told once more


@dataclasses.dataclass(frozen=True)
class _Wish:
    order: Order
    again_at: float


class Wishes:
    """Owned by the supervisor's loop; times are monotonic."""

    def __init__(self) -> None:
        self._open: dict[str, _Wish] = {}

    def take(self, orders: Iterable[Order], now: float) -> None:
        """They were just told to the workers; a later wish for a shard replaces an earlier one."""
        for order in orders:
            self._open[order.shard] = _Wish(order, now + _AGAIN)

    def keep(self, shards: Collection[str]) -> None:
        """Forget those of shards that are not configured any more."""
        self._open = {shard: wish for shard, wish in self._open.items() if shard in shards}

    @property
    def open(self) -> frozenset[str]:
        """The shards of which one is not done yet."""
        return frozenset(self._open)

    def wants_paused(self, shard: str) -> bool:
        return shard in self._open and isinstance(self._open[shard].order, messages.Pause)

    def heard(self, report: messages.ShardReport, now: float) -> Order | None:
        """What this shard's worker must be told once more, if anything."""
        wish = self._open.get(report.id)
        if wish is None:
            return None
        if report.ordered == wish.order.order or _is_anothers(report):
            del self._open[report.id]
        elif report.owned and now >= wish.again_at:
            self._open[report.id] = _Wish(wish.order, now + _AGAIN)
            return wish.order
        return None

    def shown(self, report: messages.ShardReport) -> messages.ShardReport:
        """The report as it may be shown while its shard's wish is open: with no phase that says
        that it was done."""
        wish = self._open.get(report.id)
        if wish is None or report.phase == "error":
            return report
        if report.phase != "paused" and isinstance(wish.order, messages.Pause):
            return report
        return dataclasses.replace(report, phase="waiting")


def order_id() -> str:
    return uuid.uuid4().hex[:16]


def _is_anothers(report: messages.ShardReport) -> bool:
    return not report.owned and report.holder is not None


def _refuse(report: messages.ShardReport) -> NoReturn:
    raise control.Conflict(f"{report.id} is owned by {report.holder}: ask that supervisor")


def to_pause(reports: Reports, shards: Sequence[str] | None) -> tuple[str, ...]:
    """Of these shards, of all with None, those that are to be paused.

    Raises control.UnknownShard; control.Conflict for one that another supervisor owns, who alone
    can promise that nothing is written to it.
    """
    wanted = _known(reports, shards)
    others = [shard for shard in wanted if _is_anothers(reports[shard])]
    if others and (shards is not None or others == list(wanted)):
        _refuse(reports[others[0]])
    return tuple(shard for shard in wanted if shard not in others)


def to_resume(
    reports: Reports, shards: Sequence[str] | None, wanted_paused: Callable[[str], bool]
) -> tuple[str, ...]:
    """Of these shards, of all with None, those that are to be resumed.

    :param wanted_paused: a pause was asked for, and is not reported yet.

    Raises control.UnknownShard; control.Conflict for a named one that is not paused, or another's,
    who alone knows.
    """
    wanted = _known(reports, shards)
    paused = [s for s in wanted if reports[s].pause is not None or wanted_paused(s)]
    idle = [shard for shard in wanted if shard not in paused]
    if shards is not None and idle:
        if _is_anothers(reports[idle[0]]):
            _refuse(reports[idle[0]])
        raise control.Conflict(f"{idle[0]} is not paused: there is nothing to resume")
    return tuple(paused)


def to_sync(reports: Reports, shards: Sequence[str] | None) -> tuple[str, ...]:
    """Of these shards, of all with None, those that can have a full sync.

    Raises control.UnknownShard; control.Conflict for a named one that is paused.
    """
    wanted = _known(reports, shards)
    if shards is not None:
        for shard in wanted:
            require_unpaused(reports[shard])
    return tuple(shard for shard in wanted if reports[shard].pause is None)


def require_had(
    reports: Reports, wanted: Sequence[str], assignment: Collection[str], *, named: bool
) -> tuple[str, ...]:
    """Those of these shards that are meant for our workers, and so can be told anything.

    Raises control.Conflict for one that another supervisor has, and control.Unavailable for one
    that nobody is known to have, if it was named or there are no others.
    """
    missing = [shard for shard in wanted if shard not in assignment]
    if missing and (named or missing == list(wanted)):
        if _is_anothers(reports[missing[0]]):
            _refuse(reports[missing[0]])
        raise control.Unavailable(f"no worker mirrors {missing[0]} at the moment: try again")
    return tuple(shard for shard in wanted if shard in assignment)


def require_unpaused(report: messages.ShardReport) -> None:
    """Raises control.Conflict."""
    if (pause := report.pause) is not None:
        raise control.Conflict(str(errors.Paused(report.id, pause.by, pause.since)))


def _known(reports: Reports, shards: Sequence[str] | None) -> tuple[str, ...]:
    wanted = tuple(reports) if shards is None else tuple(dict.fromkeys(shards))
    if unknown := [shard for shard in wanted if shard not in reports]:
        raise control.UnknownShard(unknown)
    return wanted

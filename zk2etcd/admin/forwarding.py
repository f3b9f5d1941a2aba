"""Who carries out what a person asks of us, where several supervisors share the shards: of each its
owner. What is ours goes to our own loop, the rest to the others' admin addresses, at the same time.

What was asked of several cannot be all or nothing. So whatever can be done is done, and of the
rest is said who has it, where to ask, and why. What another supervisor handed on goes no further.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from zk2etcd import text
from zk2etcd.admin import peers
from zk2etcd.logs import logger
from zk2etcd.view import control, forms, published

_NAMED = 3
_UNAVAILABLE = 503


class Refused(NamedTuple):
    """Shards of which an order was not taken: the HTTP status of that, who has them and where to
    ask, and why, in a sentence."""

    shards: tuple[str, ...]
    status: int
    error: str
    member: str | None = None
    url: str | None = None


class Taken(NamedTuple):
    """What came of an order to several."""

    accepted: tuple[str, ...]
    refused: tuple[Refused, ...] = ()
    requested_at: Mapping[str, float] = {}
    """When, by the clock of whom, of those that others accepted."""


class Failed(Exception):
    """Nobody took the order. `status`: as one of those said, the gravest."""

    def __init__(self, refused: Sequence[Refused]) -> None:
        super().__init__("; ".join(each.error for each in refused))
        self.status = max(each.status for each in refused)


@dataclasses.dataclass(frozen=True)
class Parts:
    """`theirs` by the name of the member that has them; `nobodys` have no owner that is known."""

    ours: tuple[str, ...] = ()
    theirs: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    nobodys: tuple[str, ...] = ()


def parts(view: published.View, shards: Sequence[str] | None) -> Parts:
    """These shards, all with None, by who has them; all ours where none are shared.

    :raises control.UnknownShard: before anybody is asked for anything.
    """
    known = {shard.id: shard for shard in view.shards}
    wanted = tuple(known if shards is None else dict.fromkeys(shards))
    if unknown := [shard for shard in wanted if shard not in known]:
        raise control.UnknownShard(unknown)
    if view.cluster is None:
        return Parts(wanted)
    ours, nobodys = [], []
    theirs: dict[str, list[str]] = {}
    for shard in wanted:
        report, worker = known[shard].report, known[shard].worker
        if worker is not None or report.owned:
            ours.append(shard)
        elif report.holder is not None:
            theirs.setdefault(report.holder, []).append(shard)
        else:
            nobodys.append(shard)
    return Parts(tuple(ours), {who: tuple(has) for who, has in theirs.items()}, tuple(nobodys))


class Forwarding:
    """Used by the threads that answer orders."""

    def __init__(self, control: control.Control, others: peers.Peers) -> None:
        self._control = control
        self._others = others

    def order(
        self,
        path: str,
        shards: Sequence[str] | None,
        by: str | None,
        ours: Callable[[Sequence[str] | None], tuple[str, ...]],
        *,
        last: bool,
    ) -> Taken:
        """Have it done to these shards, to all with None. `ours` is what our own loop does.

        :param by: who asks, where that is told on.
        :param last: another supervisor handed it on to us.
        :raises Failed: nobody takes it. What `ours` raises, if it is ours alone.
        """
        view = self._control.snapshot()
        split = parts(view, shards)
        if last or not split.theirs:
            if last and shards is not None:
                _require_ours(view, split)
            return Taken(ours(shards))
        named = {} if by is None else {"by": by}
        asked = {
            who: functools.partial(
                self._ask,
                view,
                who,
                peers.Order(path, {"shards": _named(has, shards), **named}, forms.ACCEPTED),
            )
            for who, has in split.theirs.items()
        }
        answers = peers.together(asked, peers.ORDER_SECONDS, peers.MAY_STILL)
        accepted, refused = _own(split, shards, ours)
        times: dict[str, float] = {}
        for who, answer in answers().items():
            if isinstance(answer, peers.Unasked):
                refused.append(_refused(view, who, split.theirs[who], answer))
            else:
                accepted = [*(accepted or ()), *answer["accepted"]]
                times |= dict.fromkeys(answer["accepted"], float(answer["requested_at"]))
        if accepted is None:
            raise Failed(refused)
        return Taken(tuple(accepted), tuple(refused), times)

    def release(
        self, shard: str, trip: str, by: str, ours: Callable[[], int], *, last: bool
    ) -> int:
        """Have this trip of the shard's guard released: how many deletes it held. See `order`."""
        view = self._control.snapshot()
        split = parts(view, [shard])
        if last:
            _require_ours(view, split)
        if last or not split.theirs:
            return ours()
        ((who, _),) = split.theirs.items()
        order = peers.Order(f"/shards/{shard}/release", {"trip": trip, "by": by}, forms.RELEASED)
        asked = {who: functools.partial(self._ask, view, who, order)}
        answer = peers.together(asked, peers.ORDER_SECONDS, peers.MAY_STILL)()[who]
        if isinstance(answer, peers.Unasked):
            raise Failed([_refused(view, who, (shard,), answer)])
        return int(answer["deletes"])

    def _ask(self, view: published.View, who: str, order: peers.Order) -> peers.Document:
        log = logger.get()
        try:
            answer = self._others.order(_member(view, who), order)
        except peers.Unasked as error:
            log.warning("order not taken by its owner", path=order.path, to=who, reason=str(error))
            raise
        log.info("order handed on", path=order.path, to=who)
        return answer


def _named(has: tuple[str, ...], shards: Sequence[str] | None) -> list[str] | None:
    """All means all that it has, whatever that is by then."""
    return None if shards is None else list(has)


def _own(
    split: Parts,
    shards: Sequence[str] | None,
    ours: Callable[[Sequence[str] | None], tuple[str, ...]],
) -> tuple[list[str] | None, list[Refused]]:
    """What becomes of our own part, and of what nobody has; None if we take nothing of it."""
    refused = []
    accepted: list[str] | None = None
    if split.ours:
        try:
            accepted = list(ours(None if shards is None else split.ours))
        except control.Conflict as error:
            refused.append(Refused(split.ours, 409, str(error)))
        except (control.Unavailable, control.UnknownShard) as error:
            refused.append(Refused(split.ours, _UNAVAILABLE, str(error)))
    if split.nobodys:
        free = text.few(split.nobodys, _NAMED)
        why = f"no supervisor is known to have {free} at the moment: try again"
        refused.append(Refused(split.nobodys, _UNAVAILABLE, why))
    return accepted, refused


def _require_ours(view: published.View, split: Parts) -> None:
    """What was handed on to us must be ours, or nobody's.

    :raises control.Conflict: it names the owner.
    """
    for who, shards in split.theirs.items():
        where = _member(view, who).url
        raise control.Conflict(
            f"{text.few(shards, _NAMED)} {_are(shards)} owned by {who}: ask that supervisor"
            + (f" at {where}" if where else "")
        )


def _refused(
    view: published.View, who: str, shards: tuple[str, ...], why: peers.Unasked
) -> Refused:
    url = _member(view, who).url or None
    said = f"{text.few(shards, _NAMED)} {_are(shards)} owned by {who}"
    where = f" at {url}" if url else ""
    asks = ": ask it there (--url)" if why.status == peers.UNREACHABLE and url else ""
    return Refused(shards, why.status, f"{said}{where}, which {why}{asks}", who, url)


def _member(view: published.View, who: str) -> published.Member:
    """One of whom there is no key any more, or none that can be read, has no address."""
    found = view.cluster.member(who) if view.cluster is not None else None
    return found or published.Member(who)


def _are(shards: Sequence[str]) -> str:
    return "is" if len(shards) == 1 else "are"

"""Our part of the shards that supervisors share: what is decided of it, and what follows here.

The workers get what is in hand; the keeper is told what our key shall say and which offers to make
or take; of what others have a line is shown, and nothing else is done about it.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from zk2etcd import census, messages
from zk2etcd.config import models, sharing as configured
from zk2etcd.policy import handover, reports, roster, situation
from zk2etcd.supervisor import fleet, overview, pause_orders, releasing, reloading, sharing
from zk2etcd.view import published

KEEPER = sharing.KEEPER
_NOBODY = "", 0
_SIGNS = 5
"""So often the keeper hears of us within the time of a lease."""


class Self(NamedTuple):
    """Who we are to the others: our name for this life, and our release."""

    instance: str
    version: str


class Placing:
    """Owned by the supervisor's loop; times are monotonic."""

    def __init__(
        self,
        who: Self,
        holding: handover.Handover,
        configuration: reloading.Configuration,
        known: roster.Roster,
        wishes: pause_orders.Wishes,
        releases: releasing.Releases,
        workers: fleet.Fleet,
    ) -> None:
        self._self = who
        self._configuration = configuration
        self._roster = known
        self._handover = holding
        self._fleet = workers
        self._wishes, self._releases = wishes, releases
        self._told: object = None
        self._told_at = 0.0
        self._ends_at: float | None = None
        self._alike: tuple[object, str] = (None, "")
        self._listed: tuple[census.Census | None, tuple[published.Member, ...]] = (None, ())
        self._sharing = sharing.Sharing(who.instance, rules(configuration.current))

    def take_over(self, generation: int) -> frozenset[str]:
        """The configuration is another one; `generation` is the last Assign's. What our workers
        shall have, of the shards that there were."""
        cfg = self._configuration.current
        self._sharing.rules = rules(cfg)
        self._sharing.at((cfg.etcd.endpoints, cfg.etcd.cluster_id), generation)
        return self._sharing.wanted(self._roster.shards)

    def gathered(self, told: messages.Gathered, at: float) -> None:
        """The keeper has read who is there; `at` is when it said so."""
        self._sharing.gathered(told, at)

    def heard(self, report: messages.ShardReport, now: float) -> None:
        """A shard's own worker has reported."""
        self._sharing.reported(report, now)

    def reported(self, report: messages.Report) -> None:
        """What else the report says."""
        self._sharing.let_go(report.let_go, report.generation, self._roster.shards)
        if report.slot == sharing.KEEPER:
            self._sharing.untold = report.untold

    def turn(self, now: float) -> str:
        """Decide what may be decided, and let it be so. The trace id of the last claim."""
        asked = self._wishes.open | self._releases.open
        offers = self._sharing.step(self._roster.shards, self._handover.holders, now, asked)
        self._tell(now, draining=False)
        if offers:
            self._fleet.send(sharing.KEEPER, messages.Offers(offers))
        self._roster.place(self._sharing.wanted(self._roster.shards))
        self._show(now)
        return self._sharing.claimed

    def may_end(self, now: float) -> bool:
        """Whether all may be let go of: the others know that we end, or cannot be told."""
        if self._ends_at is None:
            self._ends_at = now + sharing.FAREWELL
        reached = self._tell(now, draining=True)
        return not reached or self._sharing.is_told(draining=True) or now >= self._ends_at

    def wakes_at(self) -> float | None:
        return self._sharing.wakes_at()

    @property
    def foreseen(self) -> int:
        """How many shards are about to come, so that their workers may start meanwhile."""
        return self._sharing.foreseen

    def shown(self, now: float) -> published.Cluster:
        """Who shares, for people."""
        seen = self._sharing.seen
        if seen is not self._listed[0]:  # a turn of the loop costs no more with more shards
            self._listed = seen, overview.members(seen)
        return published.Cluster(
            self._listed[1],
            self._sharing.trouble(now),
            self._sharing.unowned(now),
            dict(self._sharing.moves.counts),
        )

    def _tell(self, now: float, *, draining: bool) -> bool:
        """Tell the keeper what our key shall say, if it was told another thing, and again a few
        times in each lease: else it takes us for frozen. Whether it runs."""
        slot = self._fleet.slots.get(sharing.KEEPER)
        if slot is None or not slot.takes_orders:
            return False
        cfg = self._configuration.current
        member = census.Member(
            name=self._self.instance,
            shards=frozenset(self._roster.shards),
            capacity=cfg.cluster.size(lambda: len(self._roster.slots)),
            draining=draining,
            failing=self._sharing.failing,
            label=cfg.cluster.name or "",
        )
        if self._configuration.settings is not self._alike[0]:
            self._alike = (
                self._configuration.settings,
                configured.alike(self._configuration.settings),
            )
        standing = messages.Standing(member, self._alike[1], self._self.version)
        told, again = (slot.life.incarnation, standing), cfg.state.lease_ttl / _SIGNS
        if self._told != told or now - self._told_at >= again:
            self._told, self._told_at = told, now
            self._fleet.send(sharing.KEEPER, standing)
        return True

    def _show(self, now: float) -> None:
        """Of what none of our workers has: who has it, or why nobody knows."""
        # Before the first word nobody knows; where etcd refuses us, or is away, that is an error.
        trouble = self._sharing.trouble(now) if self._sharing.untold is not None else None
        for shard in self._roster.reports.keys() - self._roster.assignment.keys():
            if self._handover.holders(shard):
                continue
            report = self._roster.reports[shard]
            owner = self._sharing.owner(shard)
            phase = "waiting" if trouble is None else "error"
            if (report.holder, report.error, report.phase) != (owner, trouble, phase):
                shown = reports.elsewhere(report, owner, trouble)
                # Whatever was asked of us, and not done, is for the owner to be asked.
                self._wishes.heard(shown, now)
                self._releases.heard(shown, _NOBODY, now)
                self._roster.show(shown)


def rules(cfg: models.Config) -> situation.Rules:
    """What of them is configured. Whoever was given a name of its own is hardly alone for long."""
    after, moves = cfg.cluster.move_after, cfg.cluster.moves
    ttl = cfg.state.lease_ttl
    found = situation.Rules(ttl=ttl, move_after=after, moves=moves, shun=(6 * ttl, 60 * ttl))
    return found if cfg.cluster.name is None else dataclasses.replace(found, alone=found.settle)

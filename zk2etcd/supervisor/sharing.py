"""A supervisor's part in sharing its shards: what `policy.sharing` decides, and of what.

It has no client of etcd. What is so there one of the workers tells, the *keeper*, and each worker
of its own shards. A shard is in hand from the decision to claim it until etcd has said that its
owner key is not ours: until then nothing of ours forgets it, whatever becomes of its worker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping

from zk2etcd import acts, census, messages
from zk2etcd.logs import logger
from zk2etcd.policy import moved, reports, sharing, situation

KEEPER = "w0"
"""The slot whose worker puts our key and tells who else is there. It runs without a shard too."""
FAREWELL = 0.3
"""Seconds for which the others are to be told that we end, before we let go of anything."""
_LOOK_EVERY = 1.0
_AGAIN = 2.0
_NAMED = 5

Offer = acts.MakeOffer | acts.TakeOffer | acts.Withdraw


Home = tuple[tuple[str, ...], str | None]
"""Where the keys are: etcd's endpoints, and its cluster's id if it is configured."""


class Sharing:
    """Owned by the supervisor's loop; times are monotonic."""

    def __init__(self, name: str, rules: situation.Rules) -> None:
        self._name = name
        self.rules = rules
        self.untold: str | None = None
        """Why etcd does not tell who is there."""
        self._home: Home | None = None
        self.moves = moved.Moves()
        """Why shards came to us, since we are there."""
        self._forget(0)

    def _forget(self, generation: int) -> None:
        """What workers tell that have carried out no later Assign is of no worth."""
        self._generation = generation
        self.moves = moved.Moves(self.moves.counts)
        self.seen: census.Census | None = None
        self._seen_at = -math.inf
        self._fell = False
        self._behind_since: float | None = None
        self._memory = situation.Memory()
        self._hand: dict[str, int] = {}
        self._idle: dict[str, float] = {}
        """In hand, to be let go of, and with no worker: since when."""
        self._revision = 0
        self._failing: dict[str, float] = {}
        """Since when, whatever was tried in between."""
        self._trying: dict[str, int] = {}
        """A base of it is under way, which may take long: the how manieth attempt."""
        self.failing: frozenset[str] = frozenset()
        """What our key says that we cannot mirror."""
        self._sent: dict[Offer, float] = {}
        self._dirty = True
        self.claimed = ""
        """The trace id of the last claim."""
        self._looked = -math.inf
        self._wakes_at: float | None = None
        self.foreseen = 0
        """How many shards we shall most likely claim soon."""

    # --- what is heard -----------------------------------------------------------------------

    def at(self, home: Home, generation: int) -> None:
        """From now on this is where the keys are; if that is new, nothing that was known counts.

        :param generation: the last Assign's."""
        if self._home not in (None, home):
            self._forget(generation)
        self._home = home
        self._dirty = True

    def gathered(self, told: messages.Gathered, at: float) -> None:
        """:param at: the moment it was sent."""
        if told.generation <= self._generation:
            return
        new, old = told.found, self.seen
        if old is not None and new.revision < old.revision:
            # A read may be late once; one that is so again is of an etcd that was put back.
            self._fell = not self._fell
            if self._fell:
                return
            self._memory, self._revision, self._sent = situation.Memory(), 0, {}
        self._fell = False
        self._not_behind(new, at)
        self._tell_members(old, new)
        self.moves = moved.seen(self.moves, old, new, self._name)
        self._dirty = self._dirty or new != old
        self.seen, self._seen_at = new, at - told.age_seconds
        gone = [shard for shard, since in self._idle.items() if self._is_free(shard, since)]
        for shard in gone:
            self._out(shard)

    def reported(self, report: messages.ShardReport, now: float) -> None:
        """What the worker that has a shard says of it."""
        if report.id in self._hand and self._hand[report.id] != report.token:
            self._hand[report.id] = report.token
            self._revision = max(self._revision, report.token)
            self._dirty = True
        attempt = self._trying.pop(report.id, report.attempt)
        if reports.is_settled(report):
            self._dirty = self._failing.pop(report.id, None) is not None or self._dirty
        elif report.phase == "error" or attempt < report.attempt:
            # Between two attempts an error may be too short to be reported, or looked at later.
            self._dirty = self._dirty or report.id not in self._failing or attempt < report.attempt
            self._failing.setdefault(report.id, now)
        elif report.phase == "full_sync":
            self._trying[report.id] = report.attempt

    def let_go(self, told: Mapping[str, int], generation: int, shards: Collection[str]) -> None:
        """A worker says of these that etcd has said that they are not ours. Those that it shall
        have all the same it takes again. `shards` are those of the configuration."""
        if generation <= self._generation:
            return
        for shard, revision in told.items():
            self._revision = max(self._revision, revision)
            if shard in self._hand and shard not in self.wanted(shards):
                self._out(shard)

    # --- what follows ------------------------------------------------------------------------

    def wanted(self, shards: Collection[str]) -> frozenset[str]:
        """Those of these shards, the configuration's, that our workers shall have."""
        return frozenset((self._hand.keys() & shards) - self._memory.leaving)

    def step(
        self,
        shards: Collection[str],
        has_worker: Callable[[str], object],
        now: float,
        asked: frozenset[str] = frozenset(),
    ) -> tuple[Offer, ...]:
        """Decide, if there is reason to; what the keeper is to be told. `asked`: see
        `situation.Own`."""
        kept = self.wanted(shards)
        alone = [s for s in self._hand if s not in kept and not has_worker(s)]
        self._idle = {shard: self._idle.get(shard, now) for shard in alone}
        late = self._wakes_at is not None and now >= self._wakes_at
        if self.seen is None or not (self._dirty or late or now - self._looked >= _LOOK_EVERY):
            return ()
        self._dirty, self._looked = False, now
        self._failing = {s: since for s, since in self._failing.items() if s in self._hand}
        own = situation.Own(
            name=self._name,
            shards=frozenset(shards),
            seen_at=self._seen_at,
            hand=dict(self._hand),
            failing=self._failing,
            revision=self._revision,
            trying=frozenset(self._trying),
            asked=asked,
        )
        found = sharing.step(self._memory, self.seen, own, self.rules, now)
        self._tell_leaving(found.memory.leaving - self._memory.leaving)
        self._memory, self._wakes_at, self.failing = found.memory, found.wakes_at, found.failing
        self.foreseen = found.foreseen
        for act in found.acts:
            if isinstance(act, acts.Claim):
                self._claim(act.shards)
        return tuple(self._unsent(found.acts, now))

    def wakes_at(self) -> float | None:
        """When `step` has something to do, if nothing is heard."""
        if self.seen is None:
            return None
        soonest = self._looked + _LOOK_EVERY
        return soonest if self._wakes_at is None else min(self._wakes_at, soonest)

    def owner(self, shard: str) -> str | None:
        """Who has the shard, if that is another supervisor, as far as is known."""
        owner = self.seen.owners.get(shard) if self.seen is not None else None
        return owner.member if owner is not None and owner.member != self._name else None

    def is_told(self, *, draining: bool) -> bool:
        """Whether the others see our key, and that it says so."""
        me = self.seen.members.get(self._name) if self.seen is not None else None
        return me is not None and me.draining == draining

    def unowned(self, now: float) -> dict[str, float]:
        """For how many seconds nobody has a shard, as far as is known."""
        return {shard: now - since for shard, since in self._memory.unowned.items()}

    def trouble(self, now: float) -> str | None:
        """Why nothing is known of who has the other shards, if that is so."""
        if self.seen is not None and now - self._seen_at <= self.rules.ttl:
            return None
        why = f": {self.untold}" if self.untold else ""
        return f"etcd does not tell which supervisor has which shard{why}"

    # --- inside ------------------------------------------------------------------------------

    def _not_behind(self, new: census.Census, at: float) -> None:
        """What etcd answered us last may be of a state that it was put back from since."""
        if new.revision >= self._revision:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = at
        elif at - self._behind_since > self.rules.ttl:
            self._revision, self._behind_since = 0, None

    def _is_free(self, shard: str, since: float) -> bool:
        """No worker has it, and by now, long after, the owner key is not ours."""
        assert self.seen is not None
        owner = self.seen.owners.get(shard)
        return self._seen_at > since and (owner is None or owner.member != self._name)

    def _claim(self, shards: Iterable[str]) -> None:
        new = [shard for shard in shards if shard not in self._hand]
        if new:
            self._hand.update(dict.fromkeys(new, 0))
            self.claimed, count = logger.new_trace(), len(new)
            log = logger.get(trace_id=self.claimed)
            log.info("claiming shards", count=count, shards=new[:_NAMED])

    def _out(self, shard: str) -> None:
        del self._hand[shard]
        self._idle.pop(shard, None)
        self._failing.pop(shard, None)
        self._trying.pop(shard, None)
        self._dirty = True

    def _unsent(self, decided: Iterable[acts.Act], now: float) -> Iterable[Offer]:
        """Those that are not under way already: they are said again while their reason stands."""
        self._sent = {act: at for act, at in self._sent.items() if now - at < _AGAIN}
        for act in decided:
            if isinstance(act, Offer) and act not in self._sent:
                self._sent[act] = now
                yield act

    def _tell_leaving(self, shards: Collection[str]) -> None:
        if shards:
            count, named = len(shards), sorted(shards)[:_NAMED]
            logger.get().info("letting go of shards", count=count, shards=named)

    def _tell_members(self, old: census.Census | None, new: census.Census) -> None:
        before = old.members.keys() if old is not None else set[str]()
        for what, names in (
            ("supervisors are there", new.members.keys() - before),
            ("supervisors are gone", before - new.members.keys()),
        ):
            if names:
                count = len(new.members)
                logger.get().info(what, names=sorted(names)[:_NAMED], all=count)

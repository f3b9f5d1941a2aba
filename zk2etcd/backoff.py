"""Delays between attempts, as values: no clock, no sleep, no hidden state."""

from __future__ import annotations

import dataclasses
import random


@dataclasses.dataclass(frozen=True)
class Backoff:
    """Exponential delays in seconds, from `minimum`, doubled per attempt, at most `maximum`.

    `immediate` attempts come before the first delay. Up to `jitter` (a ratio) is added at random,
    so that many shards that failed together do not come back together.
    """

    minimum: float = 0.2
    maximum: float = 10.0
    immediate: int = 0
    jitter: float = 0.2

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after failure number `attempt` (1 is the first)."""
        doublings = attempt - 1 - self.immediate
        if doublings < 0:
            return 0.0
        plain = min(self.maximum, self.minimum * 2.0 ** min(doublings, 30))
        return min(self.maximum, plain * (1 + rng.random() * self.jitter))

"""What a run of supervisors that share ends with: each gets its part, then nothing changes for a
while, then one goes, well, and comes back. The checks are `shares`' matter."""

from __future__ import annotations

import time
from collections import Counter

from tests import polling
from tests.faults import oracle, shares, world

EVEN_SECONDS = 30.0
"""So long it may take until each has its part."""
STILL_SECONDS = 6.0
_AFTERWARDS = 2.0
_TRIES = 3


def out(on: world.World, number: int) -> list[oracle.Violation]:
    """Do it, and have that one go; what was waited for in vain."""
    for _ in range(_TRIES):
        began = time.time()
        if (found := _once(on, number)) or not on.seen.stood_still(began, time.time()):
            return found
        on.note("the machine stood still: that is done once more")
    return []


def _once(on: world.World, number: int) -> list[oracle.Violation]:
    found = _becomes_even(on, len(on.supervisors), "the last fault")
    begin = time.time()
    _rest(STILL_SECONDS)
    still = shares.Span(begin, time.time())
    going = on.supervisors[number]
    on.note(f"m{number} ends, and joins again")
    going.stop()
    found += _becomes_even(on, len(on.supervisors) - 1, f"m{number} ended")
    begin, shards = time.time(), len(_owners(on))
    going.start()
    found += _becomes_even(on, len(on.supervisors), f"m{number} joined")
    _rest(_AFTERWARDS)
    span = shares.Span(begin, time.time())
    if not on.seen.stood_still(still.begin - shares.GRACE, still.end):
        on.seen.still.append(still)
    if not on.seen.stood_still(span.begin - shares.GRACE, span.end):
        on.seen.joins.append(shares.Join(span, f"m{number}", shards, len(on.supervisors)))
    return found


def _rest(seconds: float) -> None:
    end = time.monotonic() + seconds
    polling.until(lambda: time.monotonic() > end, seconds + 60)


def _becomes_even(on: world.World, members: int, after: str) -> list[oracle.Violation]:
    """All shards have an owner, and so many supervisors have a part each."""
    began, longest = time.time(), EVEN_SECONDS * on.seen.pace
    while (took := time.time() - began) < longest + 3 * on.seen.stood_still(began, time.time()):
        if _is_even(on, members):
            on.note(f"even {took:.1f} s after {after}: {dict(_parts(on))}")
            on.evened.append(took)
            return []
        time.sleep(0.05)
    text = f"{longest:.1f} s after {after} the parts are {dict(_parts(on))}"
    return [oracle.Violation("I5", "uneven", "everything", text)]


def _is_even(on: world.World, members: int) -> bool:
    parts = _parts(on)
    whole = sum(each.buckets for each in on.prefixes)
    even = max(parts.values(), default=0) - min(parts.values(), default=0) <= 1
    return sum(parts.values()) == whole and len(parts) == members and even


def _owners(on: world.World) -> dict[str, str]:
    return shares.owners(list(on.watcher.events), world.STATE)


def _parts(on: world.World) -> Counter[str]:
    names = shares.labels(list(on.watcher.events), world.STATE)
    return Counter(names.get(each, each) for each in _owners(on).values())

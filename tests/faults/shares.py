"""The judge of supervisors that share: no shard is left alone, and none moves for nothing.

It reads the same watch of etcd as the other checks do, and what the suite knows of its own doing:
when it hurt whom, in which seconds it left all of them alone, and when it had somebody join. Who
writes what is the other checks' matter, which hold here as they stand.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.faults import oracle, watcher

SLACK = 5.0
"""Seconds beyond the lease's TTL after which a shard without an owner has been left alone."""
GRACE = 5.0
"""Seconds that one who was hurt has to be well again."""
_LOOK, _SPIN, _WINDOW, _SLOWER = 0.2, 0.01, 5, 8.0
"""Each so many seconds it is tried how long a little work takes: where the last few took so many
times what they take on a machine of one's own, the machine stood still for us."""


class Span(NamedTuple):
    """Wall-clock moments."""

    begin: float
    end: float


class Join(NamedTuple):
    """`label` came into a state in which nothing else changed; so many shards, on `members` with
    it."""

    span: Span
    label: str
    shards: int
    members: int

    @property
    def most(self) -> int:
        """How many shards may have moved."""
        return -(-self.shards // self.members)


@dataclasses.dataclass
class Seen:
    """What the suite did, by supervisor's number; `wells` begins once all have started."""

    supervisors: int
    began: float = float("inf")
    hurt: list[tuple[int, Span]] = dataclasses.field(default_factory=list)
    still: list[Span] = dataclasses.field(default_factory=list)
    joins: list[Join] = dataclasses.field(default_factory=list)
    pace: float = 1.0
    """How much slower the machine is than one of our own."""
    stalls: list[Span] = dataclasses.field(default_factory=list)
    """When the machine stood still for us all: whoever needs a lease's time is not well then."""
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def stalled(self, begin: float, end: float) -> None:
        """The machine stood still meanwhile."""
        with self.lock:
            self.stalls.append(Span(begin, end))
            self.hurt += [(who, Span(begin, end + GRACE)) for who in range(self.supervisors)]

    def stood_still(self, begin: float, end: float) -> float:
        """For how long it did within that time."""
        known, total, at = sorted(self.stalls), 0.0, begin
        for each in known:
            total += max(0.0, min(end, each.end) - max(at, each.begin))
            at = max(at, each.end)
        return total

    @contextlib.contextmanager
    def hurting(self, *numbers: int) -> Iterator[None]:
        """These are not well meanwhile, nor right after; without numbers, nobody is."""
        begin = time.time()
        # Whoever judges in the midst of it, as when a fault breaks off, shall know of it, too.
        at = [(number, Span(begin, float("inf"))) for number in numbers or range(self.supervisors)]
        with self.lock:
            self.hurt += at
        try:
            yield
        finally:
            end = time.time() + GRACE
            with self.lock:
                self.hurt = [each for each in self.hurt if not any(each is one for one in at)]
                self.hurt += [(number, Span(begin, end)) for number, _ in at]

    def wells(self, number: int, until: float) -> Iterator[Span]:
        """When this one was left alone for a while, as far as anybody knows."""
        at = self.began
        for span in sorted(span for who, span in self.hurt if who == number):
            if span.begin > at:
                yield Span(at, span.begin)
            at = max(at, span.end)
        if until > at:
            yield Span(at, until)


class Machine:
    """Notes in `seen` when this process, as all that it started, got no CPU for a while."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="machine")
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        last: collections.deque[tuple[Span, float]] = collections.deque(maxlen=_WINDOW)
        while not self._over.wait(_LOOK):
            begin, cpu = time.time(), time.thread_time()
            while time.thread_time() - cpu < _SPIN:
                pass
            last.append((Span(begin, time.time()), time.thread_time() - cpu))
            took = sum(span.end - span.begin for span, _ in last)
            if took > _SLOWER * sum(used for _, used in last):
                self._seen.stalled(last[0][0].begin, last[-1][0].end)


def judge(case: oracle.Case, seen: Seen, ttl: float) -> list[oracle.Violation]:
    """All checks on a run that has ended."""
    limit = ttl + SLACK * seen.pace
    return [
        *alone(case, seen, limit),
        *restless(case, seen),
        *joined(case, seen),
        *left_over(case, seen, limit),
    ]


# --- (e): no shard is left alone -----------------------------------------------------------------


def alone(case: oracle.Case, seen: Seen, limit: float) -> Iterator[oracle.Violation]:
    """No shard is without an owner key for longer than that, while one and the same is well."""
    until = _end(case)
    wells = {number: list(seen.wells(number, until)) for number in range(seen.supervisors)}
    for shard, span in _unowned(case, seen.began, until):
        for number, well in ((who, each) for who, spans in wells.items() for each in spans):
            common = min(span.end, well.end) - max(span.begin, well.begin)
            if common > limit:
                text = (
                    f"nobody owned it from {span.begin:.3f} to {span.end:.3f}, and m{number} was "
                    f"well for {common:.1f} s of that; {limit:.1f} s are allowed"
                )
                yield oracle.Violation("I5", "alone", shard, text)
                break


def _unowned(case: oracle.Case, began: float, until: float) -> Iterator[tuple[str, Span]]:
    """From when to when shards had no owner key, of those that are configured."""
    known = {(each.target, each.buckets) for each in case.prefixes}
    since: dict[str, float | None] = {}
    wanted: set[str] = set()
    for event in case.events:
        kind, shard = oracle.state_key(case.state, event.key)
        if kind != "owners":
            continue
        begin = since.get(shard, began)
        if event.value is None:
            since[shard] = event.at if begin is None else begin
            continue
        said = json.loads(event.value)
        if (str(said["target"]), int(said.get("buckets", 1))) in known:
            wanted.add(shard)
            if begin is not None:
                yield shard, Span(begin, event.at)
        since[shard] = None
    for shard, begin in since.items():
        if shard in wanted and begin is not None:
            yield shard, Span(begin, until)


# --- (f), (g): nothing moves for nothing ---------------------------------------------------------


def restless(case: oracle.Case, seen: Seen) -> Iterator[oracle.Violation]:
    """No owner comes, goes or changes while nothing changes."""
    for span in seen.still:
        before = _owners(case, span.begin)
        for event in _within(case, span):
            kind, shard = oracle.state_key(case.state, event.key)
            if kind == "owners" and _instance(event) != before.get(shard):
                text = (
                    f"{before.get(shard)} had it, and {_instance(event) or 'nobody'} has at "
                    f"{event.at:.3f}, though nothing had changed since {span.begin:.3f}"
                )
                yield oracle.Violation("I5", "restless", shard, text)


def joined(case: oracle.Case, seen: Seen) -> Iterator[oracle.Violation]:
    """Who joins gets its part, each shard at most once, and nothing moves but to it."""
    for join in seen.joins:
        before, names = _owners(case, join.span.begin), _labels(case)
        moved: dict[str, list[str]] = {}
        for event in _within(case, join.span):
            kind, shard = oracle.state_key(case.state, event.key)
            now = _instance(event) if kind == "owners" else None
            if now is None:
                continue
            if now != (moved[shard][-1] if shard in moved else before.get(shard)):
                moved.setdefault(shard, []).append(now)
        for shard, to in moved.items():
            wrong = [names.get(each, each) for each in to]
            if wrong != [join.label]:
                text = f"it moved to {', '.join(wrong)} when {join.label} joined"
                yield oracle.Violation("I5", "moved", shard, text)
        if len(moved) > join.most:
            text = (
                f"{len(moved)} of {join.shards} shards moved when {join.label} joined, as one of "
                f"{join.members}: {sorted(moved)}"
            )
            yield oracle.Violation("I5", "moved", "everything", text)


def _within(case: oracle.Case, span: Span) -> Iterator[watcher.Event]:
    return (event for event in case.events if span.begin < event.at <= span.end)


def _owners(case: oracle.Case, at: float) -> Mapping[str, str]:
    """Which instance had each shard at that moment."""
    return owners((event for event in case.events if event.at <= at), case.state)


def owners(events: Iterable[watcher.Event], state: str) -> dict[str, str]:
    """Which instance has each shard after these."""
    found: dict[str, str] = {}
    for event in events:
        kind, shard = oracle.state_key(state, event.key)
        if kind == "owners":
            found.pop(shard, None)
            if (instance := _instance(event)) is not None:
                found[shard] = instance
    return found


def _instance(event: watcher.Event) -> str | None:
    """Of an owner key."""
    return None if event.value is None else str(json.loads(event.value)["instance"])


def _labels(case: oracle.Case) -> Mapping[str, str]:
    """By instance, the name that its supervisor keeps."""
    return labels(case.events, case.state)


def labels(events: Iterable[watcher.Event], state: str) -> dict[str, str]:
    """The same after these."""
    found = {}
    for event in events:
        kind, instance = oracle.state_key(state, event.key)
        if kind == "members" and event.value is not None:
            found[instance] = str(json.loads(event.value).get("name"))
    return found


# --- offers --------------------------------------------------------------------------------------


def left_over(case: oracle.Case, seen: Seen, limit: float) -> Iterator[oracle.Violation]:
    """An offer comes to something or goes: none stands for longer, while its giver is well."""
    until, names = _end(case), _labels(case)
    for shard, giver, span in _offers(case, until):
        label = names.get(giver, "m-1")
        for well in seen.wells(int(label.removeprefix("m")), until):
            common = min(span.end, well.end) - max(span.begin, well.begin)
            if common > limit + limit:
                text = f"offered by {label} for {common:.1f} s; {2 * limit:.1f} s are allowed"
                yield oracle.Violation("I5", "left over", shard, text)


def _offers(case: oracle.Case, until: float) -> Iterator[tuple[str, str, Span]]:
    standing: dict[str, tuple[str, float]] = {}
    for event in case.events:
        kind, shard = oracle.state_key(case.state, event.key)
        if kind != "offers":
            continue
        giver = None if event.value is None else str(json.loads(event.value)["giver"])
        if shard in standing and standing[shard][0] != giver:
            was, since = standing.pop(shard)
            yield shard, was, Span(since, event.at)
        if giver is not None:
            standing.setdefault(shard, (giver, event.at))
    yield from ((shard, giver, Span(at, until)) for shard, (giver, at) in standing.items())


def _end(case: oracle.Case) -> float:
    """Until when there is something to be said: the last moment of a run that is judged."""
    return case.until if case.until is not None else _last(case.events)


def _last(events: Sequence[watcher.Event]) -> float:
    return events[-1].at if events else 0.0

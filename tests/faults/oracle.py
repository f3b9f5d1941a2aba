"""The judge: ZooKeeper's transaction log against an etcd watch of everything.

Each check returns what it found wrong, named by its invariant, and knows nothing of how zk2etcd
works: only the configured prefixes, the layout of the state keys, and which revisions are the
test's own. docs/guarantees.md states the invariants.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.faults import txnlog, watcher

CLOCK_SLACK = 0.05
"""Seconds: ZooKeeper stamps whole milliseconds, and a commit needs no time at all."""

_CHECKPOINT = re.compile(rb"([0-9a-f]{16})(?: ([0-9a-f]{16}))?")
_SHOWN = 40


class Prefix(NamedTuple):
    """What is mirrored where: `source` in ZooKeeper, `target` in etcd, patterns of what is left out
    there; in how many shards. `only`: of which of them `has` speaks; None of all. `matching`: if
    there are any, patterns of all that is mirrored."""

    source: str
    target: str
    exclude: tuple[str, ...] = ()
    buckets: int = 1
    only: int | None = None
    matching: tuple[str, ...] = ()

    def key(self, path: str) -> bytes | None:
        """The key of a path, None if it is not mirrored here."""
        if not _within(path, self.source) or self._leaves_out(path):
            return None
        return (self.target + path[len(self.source) :]).encode()

    def path(self, key: bytes) -> str:
        """The path whose key this is; the key must be one of this prefix."""
        return self.source + key.decode("utf-8", "surrogateescape")[len(self.target) :]

    def has(self, key: bytes) -> bool:
        """Whether the key is one that a mirror of this prefix may write."""
        text = key.decode("utf-8", "surrogateescape")
        if not _within(text, self.target):
            return False
        path = self.source + text[len(self.target) :]
        if self.only not in (None, self.bucket(key)):
            return False
        return not self._leaves_out(path)

    def _leaves_out(self, path: str) -> bool:
        if any(_matches(path, each) for each in self.exclude):
            return True
        return bool(self.matching) and not any(_matches(path, each) for each in self.matching)

    def bucket(self, key: bytes) -> int:
        """Whose a key of this prefix is: by a hash of the name below the root."""
        return _bucket(self.target, key, self.buckets)


def _bucket(target: str, key: bytes, buckets: int) -> int:
    name = key[len(target) + 1 :].partition(b"/")[0]
    hashed = hashlib.blake2b(name, digest_size=8).digest() if name else b""
    return int.from_bytes(hashed, "big") % buckets


class Index:
    """Which of hundreds of prefixes a key is of, without asking each."""

    def __init__(self, prefixes: Iterable[Prefix]) -> None:
        self._by_target: dict[str, list[Prefix]] = {}
        for prefix in prefixes:
            self._by_target.setdefault(prefix.target, []).append(prefix)

    def of(self, key: bytes) -> Prefix | None:
        """The one whose target is the nearest above it, and that has it."""
        above = key.decode("utf-8", "surrogateescape")
        while above:
            for prefix in self._by_target.get(above, ()):
                if prefix.has(key):
                    return prefix
            above = above[: max(0, above.rfind("/"))]
        return None


def _matches(path: str, pattern: str) -> bool:
    """Whether it, or what it lies below, matches; the names here hold no brackets."""
    return _match(pattern.split("/"), path.split("/"))


def _match(elements: Sequence[str], names: Sequence[str]) -> bool:
    if not elements:
        return True
    if elements[0] == "**":
        return any(_match(elements[1:], names[at:]) for at in range(len(names) + 1))
    return bool(names) and (
        fnmatch.fnmatchcase(names[0], elements[0]) and _match(elements[1:], names[1:])
    )


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/")


@dataclasses.dataclass(frozen=True)
class Violation:
    """One broken promise. `check` is the name that the self-check looks for."""

    invariant: str
    check: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} ({self.check}) at {self.key}: {self.text}"


@dataclasses.dataclass
class Case:
    """All that is known about a run.

    :param foreign: revisions that the test itself wrote.
    :param kept: keys that the test put and nobody may touch, with their values.
    :param released: the guard's trips that were released, by id, and when (wall clock).
    :param settled: the last zxid before zk2etcd was told to stop. ZooKeeper goes on: it ends
        sessions that had lost their clients, which nobody mirrors any more.
    :param era: how often ZooKeeper had been put back to a copy of itself by then.
    :param pauses: by their number, which the test's marks carry, shards that were paused; None if
        it is not certain when.
    :param until: the moment (wall clock) at which the supervisors were told to stop.
    """

    prefixes: Sequence[Prefix]
    state: str
    history: txnlog.History
    events: Sequence[watcher.Event]
    foreign: Collection[int] = ()
    kept: Mapping[bytes, bytes] = dataclasses.field(default_factory=dict)
    released: Mapping[str, float] = dataclasses.field(default_factory=dict)
    settled: int = sys.maxsize
    pauses: Sequence[tuple[Prefix, str] | None] = ()
    era: int = 0
    until: float | None = None

    def wanted(self) -> dict[bytes, list[bytes | None]]:
        """What etcd may hold at the end: for each key the state at `settled`, and later ones."""
        return {
            key: self._last(entries)
            for path, entries in self.history.items()
            for prefix in self.prefixes
            if (key := prefix.key(path)) is not None
        }

    def _last(self, entries: Sequence[txnlog.Entry]) -> list[bytes | None]:
        until = (self.era, self.settled)
        before = [entry.value for entry in entries if (entry.era, entry.zxid) <= until]
        after = [entry.value for entry in entries if (entry.era, entry.zxid) > until]
        return [before[-1] if before else None, *after]

    def prefix_of(self, key: bytes) -> Prefix | None:
        return self._index.of(key)

    @functools.cached_property
    def _index(self) -> Index:
        return Index(self.prefixes)

    def own(self) -> Iterator[watcher.Event]:
        """The events that the test did not cause."""
        return (event for event in self.events if not self.is_foreign(event))

    def is_foreign(self, event: watcher.Event) -> bool:
        """Whether the test caused it: by a write, or by putting etcd back."""
        return event.restored or event.revision in self.foreign


def judge(case: Case) -> list[Violation]:
    """All checks on a run that has ended and converged."""
    return [violation for check in CHECKS for violation in check(case)]


# --- I1, I2: order, and absence ------------------------------------------------------------------


def order(case: Case) -> Iterator[Violation]:
    """Each key's history in etcd is a subsequence of its node's, at strictly increasing zxids."""
    entries = _states_by_key(case)
    for key, events in _by_key(case).items():
        if case.prefix_of(key) is not None:
            yield from _one_key(key, events, entries.get(key, []), case)


def _by_key(case: Case) -> dict[bytes, list[watcher.Event]]:
    grouped: dict[bytes, list[watcher.Event]] = {}
    for event in case.events:
        grouped.setdefault(event.key, []).append(event)
    return grouped


class _Cursor:
    """How far in a node's history its key has come. The earliest state that fits is taken, which
    leaves most room for what follows."""

    def __init__(self, states: Sequence[txnlog.Entry]) -> None:
        self._states = [txnlog.Entry(0, 0.0, None), *states]
        self._at = 0

    @property
    def state(self) -> txnlog.Entry:
        return self._states[self._at]

    def put_back(self, event: watcher.Event) -> None:
        """etcd was restored: what it lost may be gone through again."""
        fits = (at for at in range(self._at + 1) if self._states[at].value == event.value)
        self._at = next(fits, self._at)

    def advance(self, event: watcher.Event, *, again: bool) -> bool:
        """:param again: the state that was matched last may be meant once more."""
        start = self._at if again else self._at + 1
        for at in range(start, len(self._states)):
            state = self._states[at]
            if state.value == event.value and state.time <= event.at + CLOCK_SLACK:
                self._at = at
                return True
        return False

    def may_be_later(self, event: watcher.Event) -> bool:
        """Whether a state that nobody put back, after this one, fits as well."""
        return any(
            state.value == event.value
            and not state.restored
            and state.time <= event.at + CLOCK_SLACK
            for state in self._states[self._at + 1 :]
        )


def _one_key(
    key: bytes, events: Sequence[watcher.Event], states: Sequence[txnlog.Entry], case: Case
) -> Iterator[Violation]:
    cursor = _Cursor(states)
    tampered = False
    last: bytes | None = None
    for event in events:
        if case.is_foreign(event):
            tampered, last = True, event.value
            if event.restored:
                cursor.put_back(event)
            continue
        # A put of what stands already changes nothing for anybody who reads.
        same = event.value is not None and event.value == last
        if not same or tampered:
            if not cursor.advance(event, again=tampered):
                yield _regress(key, event, events, states, cursor.state.zxid)
                return
            tampered = False
        last = event.value


def _regress(
    key: bytes,
    event: watcher.Event,
    events: Sequence[watcher.Event],
    states: Sequence[txnlog.Entry],
    zxid: int,
) -> Violation:
    invariant = "I2" if event.value is None else "I1"
    check = "absence" if event.value is None else "order"
    did = "deleted" if event.value is None else f"put {event.value[:_SHOWN]!r}"
    text = (
        f"{did} at revision {event.revision}, but the node has no such state after zxid "
        f"{zxid:#x} and before that moment\n  etcd: {_shown_events(events)}\n"
        f"  ZooKeeper: {_shown_states(states)}"
    )
    return Violation(invariant, check, _text(key), text)


# --- I2: a restored ensemble ---------------------------------------------------------------------


def regressed(case: Case) -> Iterator[Violation]:
    """What ZooKeeper lost by a restore, and etcd had, is put back to its older state only after a
    person released another ensemble. A lost create may go: it is a delete like any other."""
    releases = _identity_releases(case)
    entries = _states_by_key(case)
    for key, events in _by_key(case).items():
        states = entries.get(key, [])
        if not any(state.restored for state in states):
            continue
        cursor, last = _Cursor(states), None
        for event in events:
            if case.is_foreign(event):
                cursor.put_back(event)
            elif event.value != last:
                before = cursor.state
                back = cursor.advance(event, again=False) and _goes_back(before, cursor.state)
                made_anew = back and cursor.may_be_later(event)
                if back and not made_anew and not _released(releases, key, event.at):
                    yield _unreleased(key, event, before)
            last = event.value


def _goes_back(before: txnlog.Entry, now: txnlog.Entry) -> bool:
    """Whether etcd had been told something that was lost, and is told what was before it."""
    older = now.restored and before.era < now.era
    return older and now.value is not None and now.value != before.value


def _identity_releases(case: Case) -> list[tuple[_Owner, float]]:
    """The shards of which a person released another ensemble, and when."""
    owners: _Owners = {}
    known: dict[str, list[_Owner]] = {}
    found = []
    for event in case.events:
        kind, shard = state_key(case.state, event.key)
        if kind == "owners" and event.value is not None:
            _note_state(case.state, event, owners, {})
            known.setdefault(shard, []).append(owners[shard])
        elif kind == "guards" and event.value is not None:
            trip = json.loads(event.value).get("trip") or {}
            at = case.released.get(str(trip.get("id")))
            if at is not None and trip.get("kind") == "identity":
                found += [(owner, at) for owner in known.get(shard, ())]
    return found


def _released(releases: Iterable[tuple[_Owner, float]], key: bytes, at: float) -> bool:
    return any(
        released <= at + CLOCK_SLACK and _within(_text(key), owner.target)
        for owner, released in releases
        if owner.has(owner.target, key)
    )


def _unreleased(key: bytes, event: watcher.Event, before: txnlog.Entry) -> Violation:
    text = (
        f"revision {event.revision} puts back {_value(event.value)}, over {_value(before.value)} "
        f"of zxid {before.zxid:#x}, which ZooKeeper lost by a restore; nobody released that"
    )
    return Violation("I2", "regressed", _text(key), text)


def _shown_events(events: Iterable[watcher.Event]) -> str:
    return ", ".join(f"{e.revision}={_value(e.value)}@{e.at:.3f}" for e in events)


def _shown_states(states: Iterable[txnlog.Entry]) -> str:
    return ", ".join(f"{s.zxid:#x}={_value(s.value)}@{s.time:.3f}" for s in states)


def _value(value: bytes | None) -> str:
    return "absent" if value is None else value[:_SHOWN].decode("utf-8", "replace")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


# --- I3: inside ----------------------------------------------------------------------------------


def inside(case: Case) -> Iterator[Violation]:
    """Nothing outside the mapped ranges and the state prefix is ever touched."""
    state = case.state.encode() + b"/"
    for event in case.own():
        if not event.key.startswith(state) and case.prefix_of(event.key) is None:
            did = "deleted" if event.value is None else "put"
            text = f"{did} at revision {event.revision}, outside every mapped range"
            yield Violation("I3", "inside", _text(event.key), text)


def kept(case: Case) -> Iterator[Violation]:
    """Foreign keys stand as they were put, those in the ranges too."""
    for event in case.own():
        if event.key in case.kept:
            text = f"a foreign key was touched at revision {event.revision}: {event.value!r}"
            yield Violation("I3", "foreign", _text(event.key), text)
    final = last_values(case.events)
    for key, value in case.kept.items():
        if final.get(key) != value:
            yield Violation("I3", "foreign", _text(key), f"holds {final.get(key)!r}, not {value!r}")


# --- I4: equal -----------------------------------------------------------------------------------


def last_values(events: Iterable[watcher.Event]) -> dict[bytes, bytes | None]:
    return {event.key: event.value for event in events}


def equal(case: Case) -> Iterator[Violation]:
    """In the end etcd holds what ZooKeeper holds, and foreign keys."""
    wanted = case.wanted()
    found = {
        key: value
        for key, value in last_values(case.events).items()
        if value is not None and case.prefix_of(key) is not None and key not in case.kept
    }
    for key in sorted(wanted.keys() | found.keys()):
        may = wanted.get(key, [None])
        if found.get(key) not in may:
            text = f"etcd holds {_value(found.get(key))}, ZooKeeper {_value(may[0])}"
            yield Violation("I4", "equal", _text(key), text)


# --- I5: one writer ------------------------------------------------------------------------------


class _Owner(NamedTuple):
    """What an owner key says: the target, which bucket of how many; and its mod_revision, 0 when it
    is gone."""

    target: str
    bucket: int
    buckets: int
    token: int

    def has(self, target: str, key: bytes) -> bool:
        """Whether a key of this target is its."""
        return self.target == target and _bucket(target, key, self.buckets) == self.bucket

    def meets(self, other: _Owner) -> bool:
        """Whether both may write the same key."""
        same_split = self.buckets == other.buckets
        return self.target == other.target and not (same_split and self.bucket != other.bucket)


_NOBODY = _Owner("", 0, 1, 0)
_Owners = dict[str, _Owner]


class Step(NamedTuple):
    """One revision in which mirrored keys changed, and how things stood after it.

    `owner` is the owner key's mod_revision, 0 if there was none; `checkpoint` its value."""

    revision: int
    prefix: Prefix
    events: Sequence[watcher.Event]
    owner: int
    checkpoint: bytes


def steps(case: Case) -> Iterator[Step]:
    """Every data revision that was not the test's own, in order, one for each shard in it."""
    owners: _Owners = {}
    checkpoints: dict[str, bytes] = {}
    for revision, events in _revisions(case.events):
        touched: dict[tuple[Prefix, str], list[watcher.Event]] = {}
        for event in events:
            _note_state(case.state, event, owners, checkpoints)
        for event in events:
            prefix = case.prefix_of(event.key)
            if prefix is not None:
                shard = _shard_of(prefix.target, event.key, owners)
                touched.setdefault((prefix, shard), []).append(event)
        if case.is_foreign(events[0]):
            continue
        for (prefix, shard), changed in touched.items():
            token = owners.get(shard, _NOBODY).token
            yield Step(revision, prefix, changed, token, checkpoints.get(shard, b""))


def _shard_of(target: str, key: bytes, owners: Mapping[str, _Owner]) -> str:
    """The id of the shard that has a key: an owner key says so, also after it went. Where the
    prefix was split in several ways, the shard that is owned now."""
    may = [shard for shard, owner in owners.items() if owner.has(target, key)]
    return next((shard for shard in may if owners[shard].token), may[0] if may else "")


def _revisions(
    events: Iterable[watcher.Event],
) -> Iterator[tuple[int, list[watcher.Event]]]:
    gathered: list[watcher.Event] = []
    for event in events:
        if gathered and event.revision != gathered[0].revision:
            yield gathered[0].revision, gathered
            gathered = []
        gathered.append(event)
    if gathered:
        yield gathered[0].revision, gathered


def _note_state(
    state: str,
    event: watcher.Event,
    owners: _Owners,
    checkpoints: dict[str, bytes],
) -> None:
    kind, shard = state_key(state, event.key)
    if kind == "checkpoints":
        checkpoints[shard] = event.value or b""
    elif kind == "owners":
        if event.value is None:
            owners[shard] = owners.get(shard, _NOBODY)._replace(token=0)
        else:
            found = json.loads(event.value)
            bucket, buckets = found.get("bucket", 0), found.get("buckets", 1)
            owners[shard] = _Owner(str(found["target"]), bucket, buckets, event.own_revision)


def state_key(state: str, key: bytes) -> tuple[str, str]:
    """("owners", shard id) and the like; ("", "") for a key that is none of ours."""
    text = key.decode("utf-8", "replace")
    if not text.startswith(state + "/"):
        return "", ""
    kind, _, name = text[len(state) + 1 :].partition("/")
    return kind, name


def owned(case: Case) -> Iterator[Violation]:
    """Nobody writes a shard that has no owner, and the checkpoint's token is the owner's."""
    for step in steps(case):
        where = _text(step.events[0].key)
        if not step.owner:
            text = f"written at revision {step.revision}, when the shard had no owner"
            yield Violation("I5", "owned", where, text)
            continue
        token = token_of(step.checkpoint)
        if token != step.owner:
            text = (
                f"written at revision {step.revision} with the checkpoint's token at {token}, "
                f"when the owner's was {step.owner}"
            )
            yield Violation("I5", "token", where, text)


def stolen(case: Case) -> Iterator[Violation]:
    """A shard passes from one supervisor to another by way of nobody: its owner lets go of it, or
    its lease ends."""
    last: dict[str, object] = {}
    for event in case.events:
        kind, shard = state_key(case.state, event.key)
        if kind != "owners":
            continue
        before = last.pop(shard, None)
        if event.value is None:
            continue
        last[shard] = now = json.loads(event.value).get("instance")
        if before not in (None, now) and not case.is_foreign(event):
            text = f"{now} put it at revision {event.revision} over the key of {before}"
            yield Violation("I5", "stolen", shard, text)


def leased(case: Case) -> Iterator[Violation]:
    """An owner key hangs on a lease, or its owner's death would keep the shard from everybody."""
    for event in case.own():
        is_owner = state_key(case.state, event.key)[0] == "owners"
        if is_owner and event.value is not None and event.lease == 0:
            text = f"put without a lease at revision {event.revision}"
            yield Violation("I5", "leased", _text(event.key), text)


def apart(case: Case) -> Iterator[Violation]:
    """No two shards that may write the same key are owned at the same time."""
    owners: _Owners = {}
    for event in case.events:
        kind, shard = state_key(case.state, event.key)
        if kind != "owners":
            continue
        _note_state(case.state, event, owners, {})
        mine = owners[shard]
        if event.restored:
            continue
        for other, owner in owners.items():
            if other != shard and mine.token and owner.token and mine.meets(owner):
                text = f"taken at revision {event.revision}, while {other} was owned"
                yield Violation("I5", "apart", _text(event.key), text)


def covered(case: Case) -> Iterator[Violation]:
    """At every revision the checkpoint is at or above what was written: a successor must not
    read from a server that is behind it."""
    earliest: dict[tuple[bytes, bytes], int] = {}
    for key, states in _states_by_key(case).items():
        for state in states:
            if state.value is not None:
                earliest.setdefault((key, state.value), state.zxid)
    for step in steps(case):
        reached = zxid_of(step.checkpoint)
        for event in step.events:
            zxid = earliest.get((event.key, event.value or b""), 0)
            if event.value is not None and zxid > reached:
                text = (
                    f"zxid {zxid:#x} was written at revision {event.revision}, "
                    f"and the checkpoint said {reached:#x}"
                )
                yield Violation("I1", "checkpoint", _text(event.key), text)


def rising(case: Case) -> Iterator[Violation]:
    """A checkpoint never falls, and is never deleted: but where etcd was put back, and where a
    person released an ensemble that is behind it."""
    highest: dict[bytes, int] = {}
    lowered = _lowered(case)
    for event in case.events:
        kind, shard = state_key(case.state, event.key)
        if kind != "checkpoints":
            continue
        zxid = -1 if event.value is None else zxid_of(event.value)
        if event.restored or (zxid == 0 and shard in lowered):
            highest[event.key] = zxid
        if zxid < highest.get(event.key, 0):
            text = f"fell from {highest[event.key]:#x} to {zxid:#x} at revision {event.revision}"
            yield Violation("I1", "rising", _text(event.key), text)
        highest[event.key] = max(zxid, highest.get(event.key, 0))


def _lowered(case: Case) -> set[str]:
    """The shards of which a person released an ensemble that was behind the checkpoint."""
    found = set()
    for event in case.events:
        kind, shard = state_key(case.state, event.key)
        if kind == "guards" and event.value is not None:
            record = json.loads(event.value)
            trip = record.get("trip") or {}
            if record.get("lowers") and str(trip.get("id")) in case.released:
                found.add(shard)
    return found


def zxid_of(checkpoint: bytes) -> int:
    """-1 if it is none."""
    match = _CHECKPOINT.fullmatch(checkpoint)
    return int(match[1], 16) if match else -1


def token_of(checkpoint: bytes) -> int:
    """The token in a checkpoint's value; 0 if it has none."""
    match = _CHECKPOINT.fullmatch(checkpoint)
    return int(match[2], 16) if match and match[2] else 0


# --- I5: paused ---------------------------------------------------------------------------------

_ABOUT_DATA = ("checkpoints", "guards", "identities")


def pause_mark(number: int, which: str) -> bytes:
    """The key that the test puts at the "begin" and the "end" of a pause."""
    return f"driver/pauses/{number}/{which}".encode()


def paused(case: Case) -> Iterator[Violation]:
    """Nothing of a shard is written while it is paused, nor what is only written with data."""
    for number, known in enumerate(case.pauses):
        if known is None:
            continue
        prefix, shard = known
        begin = max(_revisions_of(case, pause_mark(number, "begin")), default=sys.maxsize)
        end = min(_revisions_of(case, pause_mark(number, "end")), default=0)
        if begin // watcher.ERA != end // watcher.ERA:
            continue  # what was paused may have been lost by a restore
        if _was_put_back(case, shard, begin):
            continue  # after it was said, and before the mark
        for event in case.own():
            if not begin < event.revision < end:
                continue
            kind, name = state_key(case.state, event.key)
            if prefix.has(event.key) or (kind in _ABOUT_DATA and name == shard):
                text = f"written at revision {event.revision}, paused from {begin} to {end}"
                yield Violation("I5", "paused", _text(event.key), text)


def _was_put_back(case: Case, shard: str, begin: int) -> bool:
    """Whether a restore has taken the shard's pause away last, before the mark of its begin."""
    key = f"{case.state}/pauses/{shard}".encode()
    last = None
    for event in case.events:
        if event.revision >= begin:
            break
        if event.key == key:
            last = event
    return last is not None and last.restored and last.value is None


def _revisions_of(case: Case, key: bytes) -> list[int]:
    """When it was put: a restore takes away what was put after its snapshot."""
    return [each.revision for each in case.events if each.key == key and each.value is not None]


# --- I2: the guard -------------------------------------------------------------------------------


class _Trip(NamedTuple):
    """A trip that stands: since when, and what it is known to hold."""

    name: str
    since: float
    keys: frozenset[bytes]


def held(case: Case) -> Iterator[Violation]:
    """While a trip stands that nobody released, no walk deletes what its sample names. A delete
    seen live is another matter: the node, or one above it, changed since. A shard of another split
    holds what its predecessors held; its own trip is the one that is released then."""
    states_of = _states_by_key(case)
    standing: dict[str, _Trip] = {}
    released: dict[str, float] = {}
    owners: _Owners = {}
    for event in case.events:
        kind, shard = state_key(case.state, event.key)
        if event.revision in case.foreign and not event.restored:
            continue
        if kind == "owners":
            _note_state(case.state, event, owners, {})
        elif kind == "guards":
            _note_trip(case, standing, shard, event)
            if (trip := standing.get(shard)) is not None and trip.name in case.released:
                released[shard] = case.released[trip.name]
        elif event.restored:
            continue
        elif event.value is None and (prefix := case.prefix_of(event.key)) is not None:
            writer = _shard_of(prefix.target, event.key, owners)
            for holder, trip in standing.items():
                at = case.released.get(trip.name, float("inf"))
                if holder != writer:
                    at = min(at, released.get(writer, float("inf")))
                is_held = event.key in trip.keys and event.at < at
                if is_held and not _changed_since(states_of, event.key, trip.since - 1.0):
                    text = f"deleted at revision {event.revision} while the guard held it"
                    yield Violation("I2", "guard", _text(event.key), text)


def _states_by_key(case: Case) -> dict[bytes, list[txnlog.Entry]]:
    return {
        key: states
        for path, states in case.history.items()
        for prefix in case.prefixes
        if (key := prefix.key(path)) is not None
    }


def _note_trip(case: Case, standing: dict[str, _Trip], shard: str, event: watcher.Event) -> None:
    trip = json.loads(event.value or b"{}").get("trip")
    if not trip:
        standing.pop(shard, None)
        return
    keys = (prefix.key(path) for path in trip["sample"] for prefix in case.prefixes)
    sampled = frozenset(key for key in keys if key is not None)
    # One that a restored etcd had lost is put again, and is as old as it was.
    since = min(event.at, float(trip.get("since", event.at)))
    standing[shard] = _Trip(str(trip["id"]), since, sampled)


def _changed_since(
    states_of: Mapping[bytes, Sequence[txnlog.Entry]], key: bytes, since: float
) -> bool:
    """Whether the node changed since then, or one above it went: while a walk was under way, so
    that an event may have told of it, or later."""
    if any(s.time > since for s in states_of.get(key, ())):
        return True
    while key := key.rpartition(b"/")[0]:
        if any(s.value is None and s.time > since for s in states_of.get(key, ())):
            return True
    return False


CHECKS = (
    *(order, regressed, inside, kept, equal),
    *(owned, stolen, leased, apart, covered, rising, held, paused),
)

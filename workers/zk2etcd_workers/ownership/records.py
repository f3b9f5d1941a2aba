"""The keys that zk2etcd keeps for itself in etcd: names, formats, and the reads of them.

Values are JSON with `"v": 1`; a checkpoint alone is plain text, a zxid and the token of who wrote
it, 16 hex digits each, since etcd compares it as a string. docs/architecture.md has the layout.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from zk2etcd import conditions, errors, messages
from zk2etcd_workers.etcd import client as etcd, cluster, wire
from zk2etcd_workers.ownership import reads

FORMAT = 1
_HEX = 16
_ZXID = re.compile(rb"([0-9a-f]{16})(?: [0-9a-f]{16})?")


class Keys:
    """Key names below one state prefix (config `state.prefix`)."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix.rstrip("/").encode()

    def owner(self, shard: str) -> bytes:
        return self._key("owners", shard)

    def offer(self, shard: str) -> bytes:
        return self._key("offers", shard)

    def checkpoint(self, shard: str) -> bytes:
        return self._key("checkpoints", shard)

    def guard(self, shard: str) -> bytes:
        return self._key("guards", shard)

    def identity(self, shard: str) -> bytes:
        return self._key("identities", shard)

    def marks(self, shard: str) -> bytes:
        """What the keys of all marks of a shard begin with."""
        return self._key("marks", shard) + b"/"

    def owned(self, shard: messages.Shard) -> bytes:
        """What the marks of the keys of a prefix begin with, whatever its buckets: the etcd key
        follows, with its slash. Nothing where there are none, so that the keys are meant then."""
        if shard.ownership != "marks":
            return b""
        return self._key("owned", messages.shard_id(shard.source, shard.target))

    def pause(self, shard: str) -> bytes:
        return self._key("pauses", shard)

    def member(self, instance: str) -> bytes:
        return self._key("members", instance)

    def config(self, digest: str) -> bytes:
        return self._key("configs", digest)

    def format(self) -> bytes:
        return self.prefix + b"/format"

    def cluster_id(self) -> bytes:
        return self.prefix + b"/cluster"

    def home(self, remembered: str = "") -> cluster.Home:
        """Where the cluster tells that it is ours."""
        return cluster.Home(self.cluster_id(), self.format(), remembered)

    def all_of(self, kind: str) -> tuple[bytes, bytes]:
        """The range [start, end) of all keys of one kind, such as "owners"."""
        start = self.prefix + b"/" + kind.encode()
        return start + b"/", start + b"0"

    def shared(self) -> Sequence[tuple[bytes, bytes]]:
        """The ranges of all members, offers and owners. Offers and owners are not one: the marks of
        all our keys (`owned`) lie between them."""
        return (self.all_of("members")[0], self.all_of("offers")[1]), self.all_of("owners")

    def _key(self, kind: str, name: str) -> bytes:
        return self.prefix + f"/{kind}/{name}".encode()


def encode_zxid(zxid: int, token: int = 0) -> bytes:
    """A checkpoint, ascending by zxid, then by token; 0 for none, as when a shard is first taken.

    With the token in it, every revision in etcd tells whose write it was.
    """
    return b"%016x %016x" % (zxid, token) if token else b"%016x" % zxid


def decode_zxid(value: bytes) -> int:
    """:raises errors.NewerFormat: the value is not a checkpoint of this format."""
    if match := _ZXID.fullmatch(value):
        return int(match[1], 16)
    raise errors.NewerFormat(f"a checkpoint holds {value[:40]!r}, not {_HEX} hex digits of a zxid")


def encode(document: dict[str, Any]) -> bytes:
    return json.dumps({"v": FORMAT, **document}, separators=(",", ":"), sort_keys=True).encode()


def decode(value: bytes, key: bytes) -> dict[str, Any]:
    """:raises errors.NewerFormat: not JSON of a version that this release reads."""
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(value)
        if isinstance(document, dict) and document.get("v") == FORMAT:
            return document
    raise errors.NewerFormat(
        f"{key.decode(errors='replace')} in etcd is not in format {FORMAT}: "
        "a newer zk2etcd wrote it, or something else did"
    )


def of_worker(identity: messages.Identity) -> dict[str, Any]:
    """What a key says of the worker that put it, and of where its supervisor can be asked."""
    return {
        "instance": identity.instance,
        "slot": identity.slot,
        "incarnation": identity.incarnation,
        "admin": identity.admin_url,
    }


def read_checkpoints(client: etcd.Client, keys: Keys, since: int = 0) -> dict[bytes, int]:
    """`checkpoints` of those that a range finds. Whoever is about to write takes them from its
    claim instead (`fence.Fence`), which no stale read can lower."""
    return checkpoints(client.range(*keys.all_of("checkpoints")).kvs, since)


def checkpoints(kvs: Iterable[wire.Present], since: int = 0) -> dict[bytes, int]:
    """The zxids of all checkpoints of a state prefix, by key. Their maximum is the floor: zxids are
    ensemble-wide, so no shard may read from a server that is behind any of them.

    :param since: those last written at this revision or before speak of an ensemble that is gone.
    :raises errors.NewerFormat: one cannot be read.
    """
    return {kv.key: decode_zxid(kv.value) for kv in kvs if kv.revision > since}


class Birth(NamedTuple):
    """When a node was created: the zxid, and milliseconds since 1970. Ensembles that were set up by
    the same steps may agree on the one, hardly on both."""

    zxid: int
    at: int


@dataclasses.dataclass(frozen=True)
class IdentityRecord:
    """What `identities/<id>` says: by path, the births of what is mirrored and stands for the
    ensemble; the etcd revision up to which checkpoints speak of a former one, which a person gave
    up; births of what stands for it beside that, among the oldest children of `/`; and the first
    token whose marks are of this ensemble. A release that knows only the first two forgets the
    others when it writes it; then no mark counts."""

    births: Mapping[bytes, Birth]
    since: int = 0
    ensemble: Mapping[bytes, Birth] = dataclasses.field(default_factory=dict)
    era: int = 0

    def to_bytes(self) -> bytes:
        told: dict[str, Any] = {"births": _told(self.births), "since": self.since}
        if self.ensemble:
            told["ensemble"] = _told(self.ensemble)
        if self.era:
            told["era"] = self.era
        return encode(told)

    @classmethod
    def from_bytes(cls, value: bytes, key: bytes) -> IdentityRecord:
        """:raises errors.NewerFormat: it is not one."""
        with decoded(value, key) as document:
            births, ensemble = _births(document["births"]), _births(document.get("ensemble", {}))
            return cls(births, int(document["since"]), ensemble, int(document.get("era", 0)))


def _told(births: Mapping[bytes, Birth]) -> dict[str, Any]:
    return {
        path.decode("utf-8", "surrogateescape"): {"zxid": f"{birth.zxid:#x}", "at": birth.at}
        for path, birth in births.items()
    }


def _births(told: Mapping[str, Any]) -> dict[bytes, Birth]:
    return {
        path.encode("utf-8", "surrogateescape"): Birth(int(birth["zxid"], 16), int(birth["at"]))
        for path, birth in told.items()
    }


def read_identity(client: reads.Reads, key: bytes) -> IdentityRecord | None:
    """None if none is kept yet.

    :raises errors.NewerFormat: it cannot be read.
    """
    kvs = client.range(key).kvs
    return IdentityRecord.from_bytes(kvs[0].value, key) if kvs else None


@contextlib.contextmanager
def decoded(value: bytes, key: bytes) -> Iterator[dict[str, Any]]:
    """The document; what is not as it should be in it is a NewerFormat."""
    try:
        yield decode(value, key)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise errors.NewerFormat(
            f"{key.decode(errors='replace')} in etcd is not as zk2etcd writes it: {value[:60]!r};"
            " find out who wrote it; if nobody needs it, delete it: then deletes may be held until"
            " a release"
        ) from error


@dataclasses.dataclass(frozen=True)
class GuardRecord:
    """What `guards/<id>` says: a walk that is under way or was cut off (`trip` None), or a trip.

    `lowers`: the trip is about an ensemble behind the floor; its release lowers the checkpoint.
    `first` survives a crash in the middle of a shard's first base, and `present` one in any; so
    does `since`, the checkpoint before the walk: what was created after it is new.
    """

    present: int
    first: bool
    trip: conditions.Guard | None = None
    lowers: bool = False
    since: int = 0

    def to_bytes(self) -> bytes:
        document: dict[str, Any] = {"present": self.present, "first": self.first}
        if self.trip is None:
            began = {"since": self.since} if self.since else {}
            return encode({"walking": True, **began, **document})
        document["lowers"] = self.lowers
        trip = dataclasses.asdict(self.trip)
        # Not inside: releases before it take no field of a trip that they do not know.
        for name in ("creates", "live"):
            if told := trip.pop(name):
                document[name] = told
        return encode({"trip": trip, **document})

    @classmethod
    def from_bytes(cls, value: bytes, key: bytes) -> GuardRecord:
        """:raises errors.NewerFormat: it is not one."""
        with decoded(value, key) as document:
            trip = document.get("trip")
            if trip is not None:
                shown = {"sample": tuple(trip["sample"]), "creates": document.get("creates", 0)}
                trip = conditions.Guard(**{**trip, **shown}, live=bool(document.get("live")))
            present, first = int(document["present"]), bool(document["first"])
            lowers, since = bool(document.get("lowers")), int(document.get("since", 0))
            return cls(present, first, trip, lowers, since)


def encode_pause(pause: conditions.Paused) -> bytes:
    """What `pauses/<id>` says: who had the shard paused, and when."""
    return encode(dataclasses.asdict(pause))


def decode_pause(value: bytes, key: bytes) -> conditions.Paused:
    """:raises errors.NewerFormat: it is not one."""
    with decoded(value, key) as document:
        return conditions.Paused(str(document["by"]), float(document["since"]))


def new_trip(
    reason: str,
    deletes: int,
    present: int,
    sample: tuple[str, ...],
    now: float,
    kind: conditions.GuardKind = "deletes",
    creates: int = 0,
    *,
    live: bool = False,
) -> conditions.Guard:
    """A trip with an id of its own; `now` in wall-clock seconds."""
    name = uuid.uuid4().hex[:12]
    return conditions.Guard(name, reason, deletes, present, sample, now, kind, creates, live)

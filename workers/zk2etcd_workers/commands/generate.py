"""Test data in ZooKeeper, fast: the work behind `genzk`, the demo's seed and the benchmarks' trees.

Creating nodes one by one takes a round trip and an fsync each. Transactions of some hundred
creates, several in flight, write tens of thousands a second, so that a realistic tree is there in
seconds. ZooKeeper answers one session in order, so parents need only be sent before children.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import kazoo.client
import kazoo.exceptions
import kazoo.handlers.threading
import kazoo.protocol.states

from zk2etcd import errors

BATCH_NODES = 500
BATCH_BYTES = 256 * 1024
"""Well below jute.maxbuffer (1 MiB), above which the server drops the connection."""

IN_FLIGHT = 8
SINGLES_IN_FLIGHT = 100
RAMP = 9
"""Batches that are waited for one by one, until BATCH_NODES are reached."""

TIMEOUT_SECONDS = 30.0
_QUIET = logging.getLogger("zk2etcd.generate")
# kazoo warns of each attempt, and once more when it gives up; the one error that is raised says it.
_QUIET.setLevel(logging.CRITICAL)


class Item(NamedTuple):
    path: str
    value: bytes
    ephemeral: bool = False


@dataclasses.dataclass(frozen=True)
class Written:
    """What a `Writer.write` did: nodes made, nodes that were there before, seconds."""

    created: int
    existed: int
    seconds: float


def plain(
    path: str,
    parents: int,
    children: int,
    value_size: int,
    ephemeral: bool = False,
    key_prefix: str | None = None,
) -> Iterator[Item]:
    """`path` and the nodes above it, `parents` nodes below it, `children` below each of those.

    The children carry `value_size` bytes that differ from node to node; only they are ephemeral.
    With a `key_prefix` of `k`, both are named k0, k1 and so on.
    """
    yield from above(path)
    named = "parent-{:06d}", "child-{:06d}"
    if key_prefix is not None:
        named = (key_prefix.replace("{", "{{").replace("}", "}}") + "{}",) * 2
    for parent in range(parents):
        branch = join(path, named[0].format(parent))
        yield Item(branch, b"")
        for child in range(children):
            leaf = join(branch, named[1].format(child))
            yield Item(leaf, filled(f"{parent}/{child}", value_size), ephemeral)


def dubbo(
    path: str, services: int, children: int, value_size: int = 12, ephemeral: bool = False
) -> Iterator[Item]:
    """A registry as Dubbo lays it out: services, four folders each, `children` URLs as names.

    Node names are percent-encoded URLs of about 160 bytes, which makes paths of about 200. A
    service counts 5 + `children` nodes; two thirds of its URLs are providers.
    """
    yield from above(path)
    for number in range(services):
        interface = f"com.example.shop{number % 97:02d}.Service{number:06d}"
        service = join(path, interface)
        yield Item(service, b"")
        for folder in ("configurators", "consumers", "providers", "routers"):
            yield Item(f"{service}/{folder}", b"")
        for child in range(children):
            side = "consumer" if child % 3 == 2 else "provider"
            name = _url(side, interface, number, child)
            value = filled(f"{number}.{child}", value_size)
            yield Item(f"{service}/{side}s/{name}", value, ephemeral)


def size(path: str, parents: int, children: int, folders: int = 0) -> int:
    """How many nodes `plain` makes, or `dubbo` with its 4 folders a service, those above `path` and
    itself included."""
    return sum(1 for _ in above(path)) + parents * (1 + folders + children)


def _url(side: str, interface: str, number: int, child: int) -> str:
    host = f"10.{number >> 8 & 255}.{number & 255}.{child % 250 + 1}"
    port = 20880 + child // 250
    scheme = "dubbo" if side == "provider" else "consumer"
    return (
        f"{scheme}%3A%2F%2F{host}%3A{port}%2F{interface}%3Fanyhost%3Dtrue"
        f"%26application%3Dshop-{number % 97:02d}%26dubbo%3D2.0.2%26pid%3D{child + 100}"
        f"%26side%3D{side}%26timestamp%3D{1600000000000 + number * 1000 + child}"
    )


def filled(text: str, size: int) -> bytes:
    """`size` bytes that begin with `text`, as far as it fits."""
    return text.encode().ljust(size, b".")[:size]


def above(path: str) -> Iterator[Item]:
    """`path` itself after the nodes above it, all without a value."""
    names = [name for name in path.split("/") if name]
    for depth in range(1, len(names) + 1):
        yield Item("/" + "/".join(names[:depth]), b"")


def join(parent: str, name: str) -> str:
    return f"{parent.rstrip('/')}/{name}"


class Writer:
    """One ZooKeeper session that writes. Ephemeral nodes live as long as it is open.

    Every method raises errors.Unreachable when ZooKeeper does not answer in time, and
    errors.ZooKeeperError when it refuses.
    """

    def __init__(
        self, hosts: str, *, session_timeout: float = 10.0, connect_timeout: float = 10.0
    ) -> None:
        self._client: Any = kazoo.client.KazooClient(
            hosts=hosts, timeout=session_timeout, logger=_QUIET
        )
        self._hosts = hosts
        try:
            self._client.start(timeout=connect_timeout)
        except kazoo.handlers.threading.KazooTimeoutError as error:
            self.close()
            raise errors.Unreachable(f"ZooKeeper at {hosts} does not answer") from error

    def close(self) -> None:
        self._client.stop()
        self._client.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the session, and with it the ephemeral nodes, is still there."""
        return bool(self._client.state != kazoo.protocol.states.KazooState.LOST)

    def write(self, items: Iterable[Item], told: Callable[[int], None] = lambda _: None) -> Written:
        """Create all nodes, parents before children; those that exist are left as they are.

        :param told: called with the number of nodes that are there so far, made or found.
        """
        started = time.monotonic()
        under_way: deque[tuple[list[Item], Any]] = deque()
        failed: list[Item] = []
        created = existed = 0
        with self._translated():
            for number, batch in enumerate(_batches(items)):
                under_way.append((batch, self._send(batch)))
                room = IN_FLIGHT if number >= RAMP and not failed else 1
                while len(under_way) >= room:
                    created += self._settle(*under_way.popleft(), failed)
                if failed and not under_way:
                    made = self._create_each(failed)
                    created, existed = created + made, existed + len(failed) - made
                    failed = []
                told(created + existed)
            while under_way:
                created += self._settle(*under_way.popleft(), failed)
                told(created + existed)
            made = self._create_each(failed)
        return Written(created + made, existed + len(failed) - made, time.monotonic() - started)

    def create(self, path: str, value: bytes = b"", *, ephemeral: bool = False) -> None:
        with self._translated():
            self._client.create_async(path, value, ephemeral=ephemeral).get(timeout=TIMEOUT_SECONDS)

    def set(self, path: str, value: bytes) -> None:
        with self._translated():
            self._client.set_async(path, value).get(timeout=TIMEOUT_SECONDS)

    def delete(self, path: str) -> None:
        with self._translated():
            self._client.delete_async(path).get(timeout=TIMEOUT_SECONDS)

    def read(self, path: str) -> bytes | None:
        """The node's value; None if there is no such node."""
        with self._translated():
            try:
                value, _ = self._client.get_async(path).get(timeout=TIMEOUT_SECONDS)
            except kazoo.exceptions.NoNodeError:
                return None
            return bytes(value)

    def _send(self, batch: list[Item]) -> Any:
        transaction = self._client.transaction()
        for item in batch:
            transaction.create(item.path, item.value, ephemeral=item.ephemeral)
        return transaction.commit_async()

    def _settle(self, batch: list[Item], answer: Any, failed: list[Item]) -> int:
        """How many nodes the batch made: all, or none, and then they are `failed`.

        A later batch can fail only because an earlier one did; done one by one, in order, after
        everything under way has settled, each node finds its parent.
        """
        results = answer.get(timeout=TIMEOUT_SECONDS)
        if not any(isinstance(result, Exception) for result in results):
            return len(batch)
        failed.extend(batch)
        return 0

    def _create_each(self, items: list[Item]) -> int:
        """Create one by one, those that exist excepted; how many were made."""
        made = 0
        for start in range(0, len(items), SINGLES_IN_FLIGHT):
            answers = [
                self._client.create_async(item.path, item.value, ephemeral=item.ephemeral)
                for item in items[start : start + SINGLES_IN_FLIGHT]
            ]
            for answer in answers:
                with contextlib.suppress(kazoo.exceptions.NodeExistsError):
                    answer.get(timeout=TIMEOUT_SECONDS)
                    made += 1
        return made

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (
            kazoo.exceptions.ConnectionLoss,
            kazoo.exceptions.ConnectionClosedError,
            kazoo.exceptions.SessionExpiredError,
            kazoo.handlers.threading.KazooTimeoutError,
        ) as error:
            why = str(error) or type(error).__name__
            raise errors.Unreachable(f"ZooKeeper at {self._hosts} went away: {why}") from error
        except kazoo.exceptions.KazooException as error:
            why = str(error) or type(error).__name__
            raise errors.ZooKeeperError(f"ZooKeeper at {self._hosts} refused: {why}") from error


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Runs of at most BATCH_NODES nodes and about BATCH_BYTES; a larger node travels alone.

    The first ones are of 1, 2, 4, ... nodes, so that a root that exists fails a small one.
    """
    batch: list[Item] = []
    size, room = 0, 1
    for item in items:
        weight = len(item.path) * 2 + len(item.value) + 64
        if batch and (len(batch) >= room or size + weight > BATCH_BYTES):
            yield batch
            batch, size, room = [], 0, min(BATCH_NODES, room * 2)
        batch.append(item)
        size += weight
    if batch:
        yield batch

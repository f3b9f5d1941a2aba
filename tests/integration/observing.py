"""Both sides as an outsider sees them: plain kazoo and etcd's raw stubs, none of the engine's code.

What the engine reads and writes is judged by these, so they share nothing with it.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Self, cast

import etcd3.etcdrpc as rpc
import grpc
import kazoo.client

from tests import polling

_TIMEOUT = 20.0
_PAGE = 20_000


class KeyValue(NamedTuple):
    value: bytes
    mod_revision: int
    create_revision: int


class Event(NamedTuple):
    """One change in etcd; `value` None is a delete."""

    revision: int
    key: bytes
    value: bytes | None


class Etcd:
    """A client of one etcd."""

    def __init__(self, address: str) -> None:
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._kv = rpc.KVStub(self._channel)
        self._watches: list[Watch] = []

    def close(self) -> None:
        for each in self._watches:
            each.close()
        self._channel.close()

    def put(self, key: str | bytes, value: bytes) -> None:
        self._kv.Put(rpc.PutRequest(key=_bytes(key), value=value), timeout=_TIMEOUT)

    def is_full(self) -> bool:
        """Put something large at `outside`: whether there is no room for it."""
        try:
            self.put("outside", b"x" * 100_000)
        except grpc.RpcError as error:
            return "space exceeded" in str(error)
        return False

    def put_many(self, items: Iterable[tuple[str | bytes, bytes]]) -> None:
        """Puts, a hundred a Txn."""
        pairs = list(items)
        for start in range(0, len(pairs), 100):
            request = rpc.TxnRequest()
            for key, value in pairs[start : start + 100]:
                put = request.success.add().request_put
                put.key, put.value = _bytes(key), value
            self._kv.Txn(request, timeout=_TIMEOUT)

    def delete(self, key: str | bytes) -> None:
        self._kv.DeleteRange(rpc.DeleteRangeRequest(key=_bytes(key)), timeout=_TIMEOUT)

    def take(self, key: str | bytes, value: bytes) -> None:
        """Delete it and make it anew, though somebody else may put it back in between."""
        request = rpc.TxnRequest()
        compare = request.compare.add()
        compare.key, compare.target, compare.create_revision = _bytes(key), 1, 0
        put = request.success.add().request_put
        put.key, put.value = _bytes(key), value
        made = False
        while not made:
            self.delete(key)
            made = self._kv.Txn(request, timeout=_TIMEOUT).succeeded

    def delete_below(self, root: str) -> None:
        """All keys below `root`, in one revision."""
        start, end = f"{root}/".encode(), f"{root}0".encode()
        self._kv.DeleteRange(rpc.DeleteRangeRequest(key=start, range_end=end), timeout=_TIMEOUT)

    def get(self, key: str | bytes, revision: int = 0) -> KeyValue | None:
        request = rpc.RangeRequest(key=_bytes(key), revision=revision)
        kvs = self._kv.Range(request, timeout=_TIMEOUT).kvs
        return _key_value(kvs[0]) if kvs else None

    def value(self, key: str | bytes, revision: int = 0) -> bytes | None:
        found = self.get(key, revision)
        return found.value if found else None

    def range(self, start: bytes, end: bytes) -> dict[bytes, KeyValue]:
        found: dict[bytes, KeyValue] = {}
        while True:
            request = rpc.RangeRequest(key=start, range_end=end, limit=_PAGE)
            reply = self._kv.Range(request, timeout=_TIMEOUT)
            found.update((kv.key, _key_value(kv)) for kv in reply.kvs)
            if not reply.more:
                return found
            start = reply.kvs[-1].key + b"\0"

    def below(self, root: str) -> dict[bytes, KeyValue]:
        """The key `root` and all keys below it, by path element."""
        base = b"" if root == "/" else root.encode()
        found = self.range(base + b"/", base + b"0")
        own = self.get(root)
        return {root.encode(): own, **found} if own and root != "/" else found

    def values(self, root: str) -> dict[bytes, bytes]:
        return {key: kv.value for key, kv in self.below(root).items()}

    def count(self, root: str) -> int:
        """How many keys there are below `root`, by path element."""
        start, end = f"{root}/".encode(), f"{root}0".encode()
        request = rpc.RangeRequest(key=start, range_end=end, count_only=True)
        return int(self._kv.Range(request, timeout=_TIMEOUT).count)

    def revision(self) -> int:
        return int(self._kv.Range(rpc.RangeRequest(key=b"\0"), timeout=_TIMEOUT).header.revision)

    def written_since(self, revision: int) -> list[bytes]:
        """The keys that were put or deleted after this revision, by whomever; those left out that
        ended with their lease, as those of a test before this one may at any time."""
        last = b"written-since"
        self.put(last, b"")
        watch = self.watch(revision + 1)
        polling.until(lambda: any(event.key == last for event in watch.events), _TIMEOUT)
        events = list(watch.events)
        watch.close()
        self._watches.remove(watch)
        self.delete(last)
        written = [event for event in events if event.value is not None or not self._leased(event)]
        return [event.key for event in written if event.key != last]

    def _leased(self, deleted: Event) -> bool:
        request = rpc.RangeRequest(key=deleted.key, revision=deleted.revision - 1)
        kvs = self._kv.Range(request, timeout=_TIMEOUT).kvs
        return any(kv.lease for kv in kvs)

    def compact(self, revision: int) -> None:
        self._kv.Compact(rpc.CompactionRequest(revision=revision), timeout=_TIMEOUT)

    def grant(self, ttl: int) -> int:
        lease = rpc.LeaseStub(self._channel)
        return int(lease.LeaseGrant(rpc.LeaseGrantRequest(TTL=ttl), timeout=_TIMEOUT).ID)

    def watch(self, revision: int) -> Watch:
        """All changes of all keys from `revision` on."""
        started = Watch(self._channel, revision)
        self._watches.append(started)
        return started


class Watch:
    """Collects every event of a store in a thread of its own."""

    def __init__(self, channel: Any, revision: int) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        create = rpc.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=revision)
        self._requests.put(rpc.WatchRequest(create_request=create))
        self._call = rpc.WatchStub(channel).Watch(iter(self._requests.get, None))
        self.events: list[Event] = []
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()
        self._thread.join(5)

    def _collect(self) -> None:
        try:
            for reply in self._call:
                for event in reply.events:
                    value = None if event.type == 1 else event.kv.value
                    self.events.append(Event(event.kv.mod_revision, event.kv.key, value))
        except grpc.RpcError:
            return


def connected(address: str, timeout: float = 0.0, **options: Any) -> kazoo.client.KazooClient:
    # kazoo's own delays between attempts double up to an hour; and a server that is just starting
    # may take a connection and never answer it, which costs one session time-out. Of several that
    # may stand still, it is to leave one soon; with one alone it lives through a machine that is
    # busy.
    retry = {"max_tries": -1, "delay": 0.05, "max_delay": 0.5}
    timeout = timeout or (4.0 if "," in address else 10.0)
    client = kazoo.client.KazooClient(
        hosts=address, timeout=timeout, connection_retry=retry, **options
    )
    client.start(30)
    return client


class Meanwhile:
    """Somebody who does `change` with a client of their own, again and again: with the number of
    times so far. It begins at once and ends with `stop`, or with the `with`."""

    def __init__(
        self, address: str, change: Callable[[kazoo.client.KazooClient, int], object]
    ) -> None:
        self.changes = 0
        self._address, self._change = address, change
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meanwhile", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        client = connected(self._address)
        try:
            while not self._stop.is_set():
                self._change(client, self.changes)
                self.changes += 1
        finally:
            client.stop()
            client.close()

    def stop(self) -> None:
        """Returns once the change that was under way is over."""
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "a change does not end"


def seed(
    client: kazoo.client.KazooClient, items: Iterable[tuple[str, bytes]], *, batch: int = 500
) -> None:
    """Create nodes, parents before children, in transactions of `batch`, several in flight."""
    pending: deque[Any] = deque()
    waiting: list[tuple[str, bytes]] = []

    def send() -> None:
        transaction = client.transaction()
        for path, value in waiting:
            transaction.create(path, value)
        waiting.clear()
        pending.append(transaction.commit_async())

    def settle(most: int) -> None:
        while len(pending) > most:
            done = pending.popleft().get(timeout=60)
            failed = [each for each in done if isinstance(each, Exception)]
            assert not failed, failed[:3]

    for item in items:
        waiting.append(item)
        if len(waiting) >= batch:
            send()
            settle(8)
    if waiting:
        send()
    settle(0)


def nodes(client: kazoo.client.KazooClient, root: str) -> Iterator[tuple[str, bytes]]:
    """Every node at and below `root` with its data, read level by level."""
    level = [root]
    while level:
        below: list[str] = []
        for start in range(0, len(level), 100):
            paths = level[start : start + 100]
            asked = [
                (path, client.get_async(path), client.get_children_async(path)) for path in paths
            ]
            for path, data, names in asked:
                try:
                    value, children = data.get(timeout=20)[0], names.get(timeout=20)
                except kazoo.exceptions.NoNodeError:
                    continue
                yield path, value or b""
                base = "" if path == "/" else path
                below += (f"{base}/{name}" for name in children)
        level = below


def _bytes(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else key


def _key_value(kv: Any) -> KeyValue:
    return KeyValue(cast(bytes, kv.value), kv.mod_revision, kv.create_revision)

"""The clients of ZooKeeper that carry out a plan's operations.

Whether an operation succeeds does not matter, nor whether its answer is lost: the transaction log
tells what happened. So nothing is checked here, and nothing waits for long.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kazoo.client
import kazoo.exceptions
import kazoo.handlers.threading

from tests.faults import drawing

PATIENCE = 1.5
"""Seconds that one request may take, and that a client may run late before it skips."""

_CLOSE_SECONDS = 2.0
_QUEUED = 100

_QUIET = logging.getLogger("tests.faults.kazoo")
_QUIET.setLevel(logging.CRITICAL)

MISSED = (
    kazoo.exceptions.KazooException,
    kazoo.handlers.threading.KazooTimeoutError,
)


class Client:
    """One client with a session of its own. Its operations are due at `start` + their `at`."""

    def __init__(self, hosts: str, operations: Sequence[drawing.Operation], start: float) -> None:
        self._hosts = hosts
        self._operations = operations
        self._start = start
        self._over = threading.Event()
        self._outdated = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True, name="load")
        self._zk = session(hosts)
        self.counts: collections.Counter[str] = collections.Counter()

    def end(self) -> None:
        """Stop, with the session: its ephemerals go."""
        self._over.set()
        self._thread.join(30)
        close(self._zk)

    def begin(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Return when all is done, or the time is over."""
        self._thread.join(max(0.0, seconds))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing of its operations is under way meanwhile; they come late, or are skipped."""
        with self._turn:
            yield

    def renew(self) -> None:
        """Go on with a new session: what this one has seen is of a history that was lost."""
        self._outdated.set()

    def _run(self) -> None:
        for operation in self._operations:
            if self._outdated.is_set():
                self._outdated.clear()
                close(self._zk)
                self._zk = session(self._hosts)
            left = self._start + operation.at - time.monotonic()
            if left > 0 and self._over.wait(left):
                return
            if left < -PATIENCE:
                self.counts["skipped"] += 1
                continue
            if len(self._zk._queue) > _QUEUED:
                self.counts["missed"] += 1  # kazoo would block, without an end, at some 280
                continue
            try:
                with self._turn:
                    self._perform(operation)
                self.counts[operation.kind] += 1
            except MISSED:
                self.counts["missed"] += 1

    def _perform(self, operation: drawing.Operation) -> None:
        kinds: dict[str, Callable[[drawing.Operation], None]] = {
            "create": self._create,
            "set": self._set,
            "same": self._same,
            "flip": self._flip,
            "delete": self._delete,
            "delete_tree": self._delete_tree,
            "transaction": self._transaction,
            "ephemeral": self._ephemeral,
            "end_session": self._end_session,
        }
        kinds[operation.kind](operation)

    def _create(self, operation: drawing.Operation) -> None:
        create(self._zk, operation.paths[0], operation.value.encode())

    def _set(self, operation: drawing.Operation) -> None:
        self._zk.set_async(operation.paths[0], operation.value.encode()).get(timeout=PATIENCE)

    def _same(self, operation: drawing.Operation) -> None:
        """A value that the node has had before: only zxids tell the times apart."""
        self._zk.set_async(operation.paths[0], b"same").get(timeout=PATIENCE)

    def _flip(self, operation: drawing.Operation) -> None:
        """Many changes of one node at once."""
        sent = [
            self._zk.set_async(operation.paths[0], f"{operation.value}-{turn}".encode())
            for turn in range(10)
        ]
        for each in sent:
            each.get(timeout=PATIENCE)

    def _delete(self, operation: drawing.Operation) -> None:
        self._zk.delete_async(operation.paths[0]).get(timeout=PATIENCE)

    def _delete_tree(self, operation: drawing.Operation) -> None:
        delete_tree(self._zk, operation.paths[0])

    def _transaction(self, operation: drawing.Operation) -> None:
        transaction = self._zk.transaction()
        for number, path in enumerate(operation.paths):
            value = f"{operation.value}+{number}".encode()
            if number == 0:
                transaction.set_data(path.rpartition("/")[0], value)
            elif (number + len(operation.value)) % 4 == 0:
                transaction.delete(path)
                transaction.create(path, value)
            elif number % 2:
                transaction.create(f"{path}t{number}", value)
                transaction.delete(f"{path}t{number}")
            else:
                transaction.set_data(path, value)
        transaction.commit_async().get(timeout=PATIENCE)

    def _ephemeral(self, operation: drawing.Operation) -> None:
        create(self._zk, operation.paths[0], operation.value.encode(), ephemeral=True)

    def _end_session(self, _: drawing.Operation) -> None:
        close(self._zk)
        self._zk = session(self._hosts)


def session(hosts: str) -> kazoo.client.KazooClient:
    """A client that connects in the background and comes back by itself."""
    retry = {"max_tries": -1, "delay": 0.05, "max_delay": 0.3}
    client = kazoo.client.KazooClient(
        hosts=hosts, timeout=4.0, connection_retry=retry, logger=_QUIET
    )
    client.start_async()
    return client


def close(client: kazoo.client.KazooClient) -> None:
    """Close it, and wait for that a while: a server that was put back turns away who has seen more,
    and the client goes on knocking."""
    closing = threading.Thread(target=_close, args=(client,), daemon=True, name="close")
    closing.start()
    closing.join(_CLOSE_SECONDS)


def _close(client: kazoo.client.KazooClient) -> None:
    with contextlib.suppress(*MISSED):
        client.stop()
    with contextlib.suppress(*MISSED):
        client.close()


def create(client: kazoo.client.KazooClient, path: str, value: bytes, **options: Any) -> None:
    """Create a node, and its parents if they are missing."""
    try:
        client.create_async(path, value, **options).get(timeout=PATIENCE)
    except kazoo.exceptions.NoNodeError:
        create(client, path.rpartition("/")[0], b"parent")
        client.create_async(path, value, **options).get(timeout=PATIENCE)


def delete_tree(client: kazoo.client.KazooClient, path: str) -> None:
    """Delete what is at and below `path`, children first."""
    for name in client.get_children_async(path).get(timeout=PATIENCE):
        delete_tree(client, f"{path}/{name}")
    client.delete_async(path).get(timeout=PATIENCE)

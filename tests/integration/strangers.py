"""Somebody else who writes in etcd, all the while."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from tests.integration import observing


@contextlib.contextmanager
def again_and_again(what: Callable[[], object], every: float) -> Iterator[None]:
    """Do it every so many seconds, in a thread of its own, until the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            what()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


@contextlib.contextmanager
def war(etcd: observing.Etcd, key: str) -> Iterator[None]:
    """Somebody puts the key back each time that it is put right."""

    def put_back() -> None:
        if etcd.value(key) != b"theirs":
            etcd.put(key, b"theirs")

    with again_and_again(put_back, 0.02):
        yield

"""Which release a ZooKeeper server is, found out without risking the real session: an unknown
opcode makes an older server close it."""

from __future__ import annotations

import queue
import re
import threading
import time

from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import tls

_BUDGET = 3.0
_ZXID = re.compile(rb"Zxid: 0x([0-9a-f]+)")
_VERSION = re.compile(rb"Zookeeper version: (\d+)\.(\d+)(?:\.(\d+))?")
Version = tuple[int, ...]


def ask(settings: connections.ZooKeeper) -> Version | None:
    """The lowest version among the hosts that answer the four-letter word `srvr`.

    `srvr` is the one word that is allowed by default (4lw.commands.whitelist). None if no host
    tells: one that is starting does not, and what stands before it may not let the word through.

    :raises errors.ZooKeeperError: no host could be reached.
    """
    answers = _answers(settings)
    if not answers:
        raise errors.ZooKeeperError(f"no ZooKeeper server answers at {', '.join(settings.hosts)}")
    return min(filter(None, map(told, answers)), default=None)


def _answers(settings: connections.ZooKeeper) -> list[bytes]:
    """What the hosts answer to `srvr`, all asked at once: one that takes connections and never
    answers must not keep a shard's thread longer than a moment."""
    answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def ask_one(host: str) -> None:
        try:
            answers.put(srvr(host, settings))
        except OSError:
            answers.put(None)

    for host in settings.hosts:
        threading.Thread(target=ask_one, args=(host,), daemon=True).start()
    deadline = time.monotonic() + _BUDGET
    found = []
    for _ in settings.hosts:
        try:
            found.append(answers.get(timeout=max(0.0, deadline - time.monotonic())))
        except queue.Empty:
            break
    return [answer for answer in found if answer is not None]


def told(answer: bytes) -> Version | None:
    """The version that an answer to `srvr` tells, if it does."""
    match = _VERSION.search(answer)
    return tuple(int(part or 0) for part in match.groups()) if match else None


def zxid(answer: bytes) -> int | None:
    """The last zxid that an answer to `srvr` tells, if it does."""
    match = _ZXID.search(answer)
    return int(match[1], 16) if match else None


def srvr(host: str, settings: connections.ZooKeeper) -> bytes:
    """What one host answers to `srvr`; waits for three seconds at most for each part.

    :raises OSError: it does not answer.
    """
    name, _, port = host.rpartition(":")
    timeout = min(settings.connect_timeout, 3.0)
    bare = name.strip("[]")
    with tls.connected((bare, int(port)), timeout, bare, settings.tls) as sock:
        sock.sendall(b"srvr")
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
        return answer

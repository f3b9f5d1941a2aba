"""ZooKeeper's own transaction log, as the truth about what every node went through.

A client that watches sees states; only the log has each change, in order, with its zxid. The
layout is jute's: a file header, then records of `adler32, length, TxnHeader, txn`, each closed by
an end byte (org.apache.zookeeper.server.persistence.FileTxnLog).
"""

from __future__ import annotations

import collections
import pathlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

MAGIC = b"ZKLG"
_HEADER = struct.Struct(">4siq")
_RECORD = struct.Struct(">qi")
_TXN_HEADER = struct.Struct(">qiqqi")

CREATE, DELETE, SET_DATA, MULTI, CREATE_2 = 1, 2, 5, 14, 15
CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL = 19, 20, 21
CLOSE_SESSION, ERROR = -11, -1


class Record(NamedTuple):
    """One logged transaction; `time` is the server's wall clock in seconds."""

    zxid: int
    session: int
    time: float
    kind: int
    body: bytes


class Change(NamedTuple):
    """A node got `value`, or went (None). `owner` is the session of an ephemeral."""

    path: str
    value: bytes | None
    owner: int = 0


class _Jute:
    """Reads jute's primitive types, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def integer(self) -> int:
        return int(self._unpack(">i"))

    def boolean(self) -> bool:
        return bool(self._unpack(">?"))

    def buffer(self) -> bytes:
        """A buffer whose length is -1 stands for none."""
        length = self.integer()
        if length < 0:
            return b""
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken

    def text(self) -> str:
        return self.buffer().decode()

    def acls(self) -> None:
        for _ in range(max(0, self.integer())):
            self.integer()
            self.text()
            self.text()

    def _unpack(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(value)


def records(folders: Iterable[pathlib.Path]) -> list[Record]:
    """All transactions that an ensemble committed, by zxid, each once.

    :param folders: the servers' dataDirs. What is committed stands in the logs of a quorum at
        least: a follower that was sent a snapshot lacks what is in it, and a server that died may
        have logged what nobody else agreed to, and keep it.
    """
    folders = list(folders)
    found: dict[int, Record] = {}
    seen: collections.Counter[int] = collections.Counter()
    for folder in folders:
        logged = {record.zxid: record for record in _logged(folder)}
        found.update(logged)
        seen.update(logged.keys())
    quorum = len(folders) // 2 + 1
    return [found[zxid] for zxid in sorted(found) if seen[zxid] >= quorum]


def _logged(folder: pathlib.Path) -> Iterator[Record]:
    for file in sorted((folder / "version-2").glob("log.*")):
        yield from read(file.read_bytes())


def read(data: bytes) -> Iterator[Record]:
    """The records of one file, up to its padding or to where a crash cut it off."""
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        return
    at = _HEADER.size
    while at + _RECORD.size <= len(data):
        checksum, length = _RECORD.unpack_from(data, at)
        start, end = at + _RECORD.size, at + _RECORD.size + length
        if length <= 0 or end >= len(data) or zlib.adler32(data[start:end]) != checksum:
            return
        session, _, zxid, milliseconds, kind = _TXN_HEADER.unpack_from(data, start)
        body = data[start + _TXN_HEADER.size : end]
        yield Record(zxid, session, milliseconds / 1000, kind, body)
        at = end + 1


def changes(record: Record) -> list[Change]:
    """What a transaction changes, a session's end apart, which only a replay knows."""
    if record.kind == MULTI:
        return _multi(record)
    parse = _PARSERS.get(record.kind)
    return [parse(_Jute(record.body), record.session)] if parse else []


def _multi(record: Record) -> list[Change]:
    """All parts of it, or none if one failed."""
    jute = _Jute(record.body)
    parts: list[Change] = []
    for _ in range(jute.integer()):
        kind, body = jute.integer(), jute.buffer()
        if kind == ERROR:
            return []
        parse = _PARSERS.get(kind)
        if parse:
            parts.append(parse(_Jute(body), record.session))
    return parts


def _create(jute: _Jute, session: int) -> Change:
    path, value = jute.text(), jute.buffer()
    jute.acls()
    return Change(path, value, session if jute.boolean() else 0)


def _create_lasting(jute: _Jute, _session: int) -> Change:
    return Change(jute.text(), jute.buffer())


def _set(jute: _Jute, _session: int) -> Change:
    return Change(jute.text(), jute.buffer())


def _delete(jute: _Jute, _session: int) -> Change:
    return Change(jute.text(), None)


_PARSERS: dict[int, Callable[[_Jute, int], Change]] = {
    CREATE: _create,
    CREATE_2: _create,
    CREATE_CONTAINER: _create_lasting,
    CREATE_TTL: _create_lasting,
    SET_DATA: _set,
    DELETE: _delete,
    DELETE_CONTAINER: _delete,
}


class Entry(NamedTuple):
    """One state of a node: from `zxid` on it had `value`, or was absent (None).

    `era` counts the restores before it; `restored`: it is what a restore put back, and `time` is
    when that was."""

    zxid: int
    time: float
    value: bytes | None
    era: int = 0
    restored: bool = False


History = dict[str, list[Entry]]


class Restore(NamedTuple):
    """An ensemble was put back to a copy of itself.

    `logged`: all that it had committed until then; `kept`: the last zxid that the copy knew; `at`:
    the wall clock, when nobody could read what was lost any more, nor yet what came back.
    `in_place`: its logs and its zxids went on from what was lost."""

    logged: Sequence[Record]
    kept: int
    at: float
    in_place: bool = False

    @property
    def last(self) -> int:
        """All that came afterwards has a zxid above."""
        return self.logged[-1].zxid if self.in_place else self.kept


def replay(logged: Iterable[Record], restores: Sequence[Restore] = ()) -> History:
    """What each path went through. Within one transaction only its end counts: nobody can read
    what is in between.

    :param logged: what the ensemble has logged in the end; what was lost stands in `restores`.
    """
    history: History = {}
    ephemerals: dict[int, set[str]] = {}
    since = 0
    for era, restore in enumerate(restores):
        new = [record for record in restore.logged if record.zxid > since]
        _run(history, ephemerals, new, era)
        since = restore.last
        copied: History = {}
        ephemerals = {}
        kept = _kept(restore, restores[:era])
        _run(copied, ephemerals, kept, era + 1)
        _put_back(history, copied, restore.at, era + 1)
    _run(history, ephemerals, [r for r in logged if r.zxid > since], len(restores))
    return history


def _kept(restore: Restore, before: Sequence[Restore]) -> list[Record]:
    """What the copy was made of, without what earlier restores lost and its logs still had."""
    lost = [(each.kept, each.last) for each in before]
    return [
        record
        for record in restore.logged
        if record.zxid <= restore.kept
        and not any(kept < record.zxid <= last for kept, last in lost)
    ]


def _put_back(history: History, copied: History, at: float, era: int) -> None:
    """Each path that a restore gave another state than it had."""
    for path in history.keys() | copied.keys():
        states, kept = history.setdefault(path, []), copied.get(path)
        value = kept[-1].value if kept else None
        if (states[-1].value if states else None) != value:
            states.append(Entry(kept[-1].zxid if kept else 0, at, value, era, restored=True))


def _run(
    history: History, ephemerals: dict[int, set[str]], logged: Iterable[Record], era: int
) -> None:
    for record in logged:
        if record.kind == CLOSE_SESSION:
            ended = [Change(path, None) for path in sorted(ephemerals.pop(record.session, ()))]
        else:
            ended = changes(record)
        for path, change in {change.path: change for change in ended}.items():
            _note(ephemerals, change)
            entry = Entry(record.zxid, record.time, change.value, era)
            history.setdefault(path, []).append(entry)


def _note(ephemerals: dict[int, set[str]], change: Change) -> None:
    if change.owner:
        ephemerals.setdefault(change.owner, set()).add(change.path)
    elif change.value is None:
        for paths in ephemerals.values():
            paths.discard(change.path)

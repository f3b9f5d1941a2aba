"""etcd's requests and answers as plain values, and their form in the etcd3 module's messages.

A Txn of 2,000 puts is built and sent many times a second, so this is one loop over values, and an
answer is looked into only where somebody asks.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import etcd3.etcdrpc as rpc


class Present(NamedTuple):
    """A key as etcd has it. `revision` is its mod_revision, `created` its create_revision, `lease`
    what it hangs on."""

    key: bytes
    value: bytes
    revision: int
    created: int = 0
    lease: int = 0


class Put(NamedTuple):
    key: bytes
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    key: bytes


class Range(NamedTuple):
    """A read inside a Txn; `end` empty means the one key; `revision` 0, the latest."""

    key: bytes
    end: bytes = b""
    limit: int = 0
    keys_only: bool = False
    count_only: bool = False
    revision: int = 0


class Compare(NamedTuple):
    """`field` is "mod", "create" or "value"; `relation` is "=", "<" or ">". With `end`, it must
    hold for every key in [key, end); an empty range counts as one key with all fields 0."""

    key: bytes
    field: str
    relation: str
    operand: int | bytes
    end: bytes = b""


class Txn(NamedTuple):
    compare: Sequence[Compare]
    success: Sequence[Any]
    failure: Sequence[Any] = ()


Op = Put | Delete | Range | Txn
KEY_BYTES = 32
"""What a key takes in an answer beside its name and value."""

_KEY = operator.attrgetter("key")
_RELATIONS = {"=": 0, ">": 1, "<": 2}
_TARGETS = {"create": (1, "create_revision"), "mod": (2, "mod_revision"), "value": (3, "value")}


class Answer:
    """A Txn's response, read where needed only: a big one is never walked for nothing."""

    def __init__(self, response: Any, after: int = 0) -> None:
        self._response = response
        self._after = after
        self.succeeded: bool = response.succeeded

    def __len__(self) -> int:
        """How many operations were carried out."""
        return len(self._response.responses) - self._after

    @property
    def revision(self) -> int:
        """The store's revision after this Txn: the mod_revision of what it put."""
        return int(self._response.header.revision)

    def after(self, index: int) -> Answer:
        """What the operations from there on were answered."""
        return Answer(self._response, self._after + index)

    def signature(self) -> Sequence[bytes]:
        """What was answered, whenever that was: the same for the same."""
        return [part.SerializeToString(deterministic=True) for part in self._responses()]

    def inner(self, index: int) -> Answer:
        return Answer(self._response.responses[self._after + index].response_txn)

    def kvs(self, index: int) -> list[Present]:
        return _presents(self._response.responses[self._after + index].response_range)

    def total(self, index: int) -> int:
        """How many keys the whole range of one Range holds."""
        return int(self._response.responses[self._after + index].response_range.count)

    def counts(self) -> list[int]:
        """How many keys the whole range of each Range holds; all operations must be Ranges."""
        return [int(part.response_range.count) for part in self._responses()]

    def ranges(self, skip: int = 0) -> Iterator[Names]:
        """What every Range in it found, inner Txns included, in order; the first `skip`
        operations are left out."""
        for part in self._responses()[skip:]:
            kind = part.WhichOneof("response")
            if kind == "response_range":
                reply = part.response_range
                yield Names([kv.key for kv in reply.kvs], bool(reply.more), int(reply.count))
            elif kind == "response_txn":
                yield from Answer(part.response_txn).ranges()

    def has_deleted(self) -> bool:
        """Whether a delete in it found a key, inner Txns included."""
        return any(self.deleted())

    def deleted(self) -> Iterator[bool]:
        """Of each delete in it, in order, whether it found a key, inner Txns included."""
        for part in self._responses():
            kind = part.WhichOneof("response")
            if kind == "response_delete_range":
                yield bool(part.response_delete_range.deleted)
            elif kind == "response_txn":
                yield from Answer(part.response_txn).deleted()

    def _responses(self) -> Sequence[Any]:
        found: Sequence[Any] = self._response.responses
        return found[self._after :] if self._after else found


class Names(NamedTuple):
    """The keys of a page, of the `total` that its range holds; `more`: its limit cut it."""

    keys: Sequence[bytes]
    more: bool
    total: int


class Page(NamedTuple):
    """Keys and values in columns, without a line of Python for each of 100,000 keys."""

    keys: Sequence[bytes]
    values: Sequence[bytes]
    revision: int
    more: bool
    total: int
    """How many keys the whole range holds, whatever the page's limit."""
    size: int
    """Bytes on the wire, about."""
    took: float
    """Seconds until the answer was there, whenever it was asked for it."""
    reply: Any

    @property
    def kvs(self) -> list[Present]:
        return _presents(self.reply)


def _presents(found: Any) -> list[Present]:
    return [
        Present(kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.lease) for kv in found.kvs
    ]


def request(txn: Txn) -> Any:
    """The TxnRequest of a `Txn`, inner ones included."""
    message = rpc.TxnRequest()
    _fill_txn(message, txn)
    return message


def _fill_txn(request: Any, txn: Txn) -> None:
    for compare in txn.compare:
        target, field = _TARGETS[compare.field]
        entry = request.compare.add()
        entry.result = _RELATIONS[compare.relation]
        # etcd's enum: VERSION 0, CREATE 1, MOD 2, VALUE 3.
        entry.target = target
        entry.key = compare.key
        setattr(entry, field, compare.operand)
        if compare.end:
            entry.range_end = compare.end
    _fill(request.success, txn.success)
    if txn.failure:
        _fill(request.failure, txn.failure)


def _fill(slots: Any, ops: Sequence[Op]) -> None:
    add = slots.add
    for op in ops:
        if type(op) is Put:
            put = add().request_put
            put.key, put.value, lease = op
            if lease:
                put.lease = lease
        elif type(op) is Delete:
            add().request_delete_range.key = op.key
        elif type(op) is Txn:
            _fill_txn(add().request_txn, op)
        elif type(op) is Range:
            entry = add().request_range
            entry.key, entry.range_end = op.key, op.end
            entry.limit, entry.keys_only = op.limit, op.keys_only
            entry.count_only, entry.revision = op.count_only, op.revision


def page(reply: Any, took: float, keys_only: bool = False) -> Page:
    """The answer to a range; of keys only, that is known to be one."""
    keys, values = _keys(reply) if keys_only else _columns(reply)
    # The message's own count of its bytes goes over each of its fields again.
    size = sum(map(len, keys)) + sum(map(len, values)) + KEY_BYTES * len(keys)
    revision, more, total = int(reply.header.revision), bool(reply.more), int(reply.count)
    return Page(keys, values, revision, more, total, size, took, reply)


def _columns(reply: Any) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """The keys and the values of a range."""
    pairs = list(reply.kvs)  # The library makes each anew whenever it is asked for.
    return [pair.key for pair in pairs], [pair.value for pair in pairs]


def _keys(reply: Any) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """The same of a range of keys only."""
    keys = list(map(_KEY, reply.kvs))
    return keys, (b"",) * len(keys)

"""Small reads of many shards in few Txns: each shard has a pause, a guard's record, an identity and
some more of its own to look up, and a thousand start at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

from zk2etcd import errors
from zk2etcd_workers.etcd import client as etcd, together, wire

_MOST = 60
"""Reads in one Txn; so that their answer is no large message either."""
T = TypeVar("T")
_Wish = Sequence[wire.Range]


class Found:
    """What one range held, at `revision`. Shards that asked for the same one share it, and what
    one of them worked out of it."""

    def __init__(self, answer: wire.Answer, index: int) -> None:
        self.revision = answer.revision
        self.kvs: Sequence[wire.Present] = answer.kvs(index)
        self.total = answer.total(index)
        self._derived: dict[Hashable, Any] = {}

    def derived(self, work_out: Callable[[Sequence[wire.Present]], T]) -> T:
        """What this function makes of it, worked out once."""
        if work_out not in self._derived:
            self._derived[work_out] = work_out(self.kvs)
        return cast(T, self._derived[work_out])


class Reads:
    """Linearizable reads of whole ranges, for the threads of all shards of one client."""

    def __init__(self, client: etcd.Client) -> None:
        self._client = client
        self._together = together.Together[_Wish, Sequence[Found]](self._carry)

    def range(
        self, key: bytes, end: bytes = b"", *, keys_only: bool = False, count_only: bool = False
    ) -> Found:
        """All of [key, end), or the one key; ascending by key.

        :raises errors.EtcdError: refused, or not answered.
        """
        return self.all([wire.Range(key, end, 0, keys_only, count_only)])[0]

    def all(self, ranges: Sequence[wire.Range]) -> Sequence[Found]:
        """Several, for one shard; not all of them as of the same moment.

        :raises errors.EtcdError: one was refused, or not answered.
        """
        return self._together.ask(ranges)

    def _carry(self, wanted: Sequence[_Wish]) -> Sequence[Sequence[Found] | errors.EtcdError]:
        different = list(dict.fromkeys(each for wish in wanted for each in wish))
        found: dict[wire.Range, Found | errors.EtcdError] = {}
        while different:
            chunk = different[: min(_MOST, self._client.learned.reads)]
            del different[: len(chunk)]
            found.update(self._read(chunk))
        return [_answer([found[each] for each in wish]) for wish in wanted]

    def _read(self, chunk: Sequence[wire.Range]) -> dict[wire.Range, Found | errors.EtcdError]:
        """An answer that is too large for all of them may do for each."""
        try:
            answer = self._client.txn(wire.Txn((), chunk), write=False)
        except (errors.TooManyOperations, errors.TooLarge) as refusal:
            if len(chunk) == 1:
                return {chunk[0]: refusal}
            if isinstance(refusal, errors.TooManyOperations):
                self._client.learned.fewer_reads(len(chunk))
            half = len(chunk) // 2
            return {**self._read(chunk[:half]), **self._read(chunk[half:])}
        return {each: Found(answer, at) for at, each in enumerate(chunk)}


def _answer(found: Sequence[Found | errors.EtcdError]) -> Sequence[Found] | errors.EtcdError:
    answers: list[Found] = []
    for each in found:
        if not isinstance(each, Found):
            return each
        answers.append(each)
    return answers

"""Somebody who works on etcd by hand: writes, compactions, alarms, straight to the members.

Each of its writes puts a mark in the same transaction, so that the oracle knows whose revision it
is, also when the answer was lost.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import etcd3.etcdrpc as rpc
import grpc

from tests.faults import login

MARK = b"driver/mark"
LAST = b"driver/last"
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]


class Hand:
    """Calls are tried on one member after the other, and given up without an error."""

    def __init__(self, endpoints: Sequence[str], *, logs_in: bool = False) -> None:
        self._logs_in = logs_in
        self._channels = [grpc.insecure_channel(each, options=_OPTIONS) for each in endpoints]
        self._numbers = itertools.count(1)
        self._writing = threading.Lock()

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def write(
        self, puts: Mapping[bytes, bytes] | None = None, deletes: Iterable[bytes] = ()
    ) -> bool:
        """Puts and deletes in one transaction, marked; whether it was answered."""
        request = rpc.TxnRequest()
        mark = request.success.add().request_put
        mark.key, mark.value = MARK, b"%d" % next(self._numbers)
        for key, value in (puts or {}).items():
            put = request.success.add().request_put
            put.key, put.value = key, value
        for key in deletes:
            request.success.add().request_delete_range.key = key
        # A write that another member is asked for as well would have two revisions, both marked.
        with self._writing:
            return self._try("KV", "Txn", request) is not None

    def change(self, values: Mapping[bytes, bytes | None]) -> bool:
        """Overwrite, or with None delete, keys that are there, in one transaction, marked."""
        request = rpc.TxnRequest()
        mark = request.success.add().request_put
        mark.key, mark.value = MARK, b"%d" % next(self._numbers)
        for key, value in values.items():
            there = request.success.add().request_txn
            is_there = there.compare.add()
            # etcd's enums: GREATER 1, VERSION 0.
            is_there.key, is_there.result, is_there.target, is_there.version = key, 1, 0, 0
            if value is None:
                there.success.add().request_delete_range.key = key
            else:
                put = there.success.add().request_put
                put.key, put.value = key, value
        with self._writing:
            return self._try("KV", "Txn", request) is not None

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """It writes nothing meanwhile."""
        with self._writing:
            yield

    def revision(self) -> int:
        """That of the last change; 0 if nobody answers."""
        reply = self._try("KV", "Range", rpc.RangeRequest(key=MARK))
        return int(reply.header.revision) if reply else 0

    def ask_for_logins(self, wanted: bool) -> bool:
        """Turn etcd's authentication on or off; whether it is so now."""
        turn = login.enable if wanted else login.disable
        for channel in self._channels:
            with contextlib.suppress(grpc.RpcError):
                turn(channel)
                return True
        return (login.metadata(self._channels[0]) is not None) == wanted

    def compact(self, revision: int) -> None:
        """Everything before `revision` is forgotten, the sooner the better."""
        self._try("KV", "Compact", rpc.CompactionRequest(revision=revision, physical=True))

    def reclaim(self, revision: int) -> None:
        """What an operator does about NOSPACE: compact, defragment each member, disarm."""
        self.compact(revision)
        for _ in self._each("Maintenance", "Defragment", rpc.DefragmentRequest(), 10.0):
            pass
        for alarm in self._alarms():
            off = rpc.AlarmRequest(
                action=rpc.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm
            )
            self._try("Maintenance", "Alarm", off)

    def out_of_space(self) -> bool:
        """Whether an alarm stands."""
        return bool(self._alarms())

    def _alarms(self) -> list[Any]:
        reply = self._try("Maintenance", "Alarm", rpc.AlarmRequest(action=rpc.AlarmRequest.GET))
        return list(reply.alarms) if reply else []

    def _try(self, service: str, method: str, request: Any) -> Any:
        return next(self._each(service, method, request, 2.0), None)

    def _each(self, service: str, method: str, request: Any, timeout: float) -> Iterator[Any]:
        for channel in self._channels:
            stub = getattr(rpc, service + "Stub")(channel)
            metadata = login.metadata(channel) if self._logs_in else None
            with contextlib.suppress(grpc.RpcError):
                yield getattr(stub, method)(request, timeout=timeout, metadata=metadata)

"""Which answers are zk2etcd's: what a command, or a supervisor, goes on with has the form that it
will look at.

Anything may listen at an address that was mistyped, or is another program's by now, and answer
with any JSON. Who asked must say so, instead of failing somewhere inside. What a newer release
added is let through, and so is what an older one did not know yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from zk2etcd.view import status

Check = Callable[[Any], bool]
_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")
_LINES = ("etcd_read", "etcd_write", "zookeeper_read")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _name(value: Any) -> bool:
    """What is printed, or sent back, as it is."""
    return isinstance(value, str) and value.isprintable()


def _id(value: Any) -> bool:
    """What is a part of commands that people copy."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _time(value: Any) -> bool:
    try:
        return isinstance(value, str) and status.seconds(value) is not None
    except (ValueError, OverflowError, OSError):
        return False


def _anything(_value: Any) -> bool:
    return True


def _or_none(form: Check) -> Check:
    return lambda value: value is None or form(value)


def _list(form: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(form, value))


def _table(form: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(form, value.values()))


def _object(needs: Mapping[str, Check], may: Mapping[str, Check] | None = None) -> Check:
    """`needs` are its keys, `may` those that an older release does not know."""
    optional = may or {}

    def fits(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        known = (form(value[key]) for key, form in optional.items() if key in value)
        return all(key in value and form(value[key]) for key, form in needs.items()) and all(known)

    return fits


_PROGRESS = _object(
    {"done": _count, "total": _count},
    {
        "kind": _or_none(_text),
        **dict.fromkeys(("read", "compared", "written"), _or_none(_count)),
        "rate": _or_none(_number),
        "remaining_seconds": _or_none(_number),
    },
)
_GUARD = _object(
    {
        "id": _name,
        "kind": _name,
        "reason": _text,
        "deletes": _count,
        "present": _count,
        "sample": _list(_text),
        "since": _time,
    },
    {"creates": _count, "live": _flag},
)
_KEPT = _object({"id": _name, "deletes": _count, "sample": _list(_text), "since": _time})
_SHARD = _object(
    {
        "id": _id,
        "from": _text,
        "to": _text,
        "worker": _or_none(_text),
        "phase": _name,
        "holder": _or_none(_text),
        "progress": _PROGRESS,
        "keys": _count,
        "pending": _count,
        "lag_seconds": _or_none(_number),
        "unsyncable": _list(_object({"path": _text, "reason": _text})),
        "unsyncable_total": _count,
        "guard": _or_none(_GUARD),
        "last_full_sync": _or_none(
            _object(
                {"at": _time, "took_seconds": _number, "put": _count, "delete": _count},
                {"missed": _count},
            )
        ),
        "next_full_sync_at": _or_none(_time),
        "error": _or_none(_text),
        "attempt": _count,
        "retry_at": _or_none(_time),
    },
    {
        "bucket": _count,
        "buckets": _count,
        "full_sync_due": _flag,
        "pause": _or_none(_object({"by": _text, "since": _time})),
        "ensemble": _or_none(_object({"path": _text, "zxid": _text, "at": _time})),
        "kept_last": _or_none(_KEPT),
        "conflicts": _count,
        "conflict_paths": _list(_text),
        "drift": _or_none(
            _object({"why": _or_none(_text), "contested": _count, "paths": _list(_text)})
        ),
    },
)
_WORKER = _object(
    {
        "slot": _name,
        "pid": _or_none(_count),
        "state": _name,
        "restarts": _count,
        "last_exit": _or_none(_count),
        "heartbeat_age_seconds": _or_none(_number),
        "resident_bytes": _or_none(_count),
        "zk_connected": _flag,
        "shards": _list(_text),
    },
    {"narrow": _or_none(_object({}, dict.fromkeys(_LINES, _count)))},
)
_ITSELF: Mapping[str, Check] = {
    "version": _text,
    "instance": _text,
    "pid": _count,
    "started_at": _time,
    "at": _time,
    "state": _name,
    "config": _object({"path": _text, "error": _or_none(_text)}),
    "workers": _list(_WORKER),
}
_MEMBER = _object(
    {
        "name": _text,
        "label": _text,
        "url": _text,
        "version": _text,
        "config": _text,
        "shares": _flag,
        "draining": _flag,
        "healthy": _flag,
        "owned": _count,
    },
    {"unasked": _or_none(_text), "status": _or_none(_object(_ITSELF))},
)
STATUS = _object(
    {**_ITSELF, "shards": _list(_SHARD)},
    {
        "metrics_problem": _or_none(_text),
        "cluster": _or_none(_object({"members": _list(_MEMBER), "untold": _or_none(_text)})),
    },
)
VERSIONED = _object({"schema_version": _anything})
ACCEPTED = _object(
    {"accepted": _list(_name), "requested_at": _number},
    {
        "requested_at_by_shard": _table(_number),
        "refused": _list(_object({"shards": _list(_name), "status": _count, "error": _text})),
    },
)
RELEASED = _object({"shard": _name, "trip": _name})
RELOADED = _object({"changed": _list(_name)})
LOGGED = _object({"level": _name})
STACKS = _object({"stacks": _table(_or_none(_text))})
ERROR = _object({"error": _text}, {"faults": _list(_text)})

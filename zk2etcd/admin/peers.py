"""How other supervisors are asked for what a person asked of us: where, for how long, with what,
and what is said of one that does not do it.

Only those are asked whose key stands among the members of our state.prefix, and only at the address
that it names. Nothing of this is the supervisor's loop's: it runs in threads of its own.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from zk2etcd import errors, exchange, text
from zk2etcd.admin import access, signing
from zk2etcd.config import models
from zk2etcd.view import forms, published, strict_json

ORDER_SECONDS = 4.0
LOOK_SECONDS = 2.0
_LONGEST = 500
_MOST_BYTES = 4 * 1024 * 1024
"""Of an answer, thousands of shards: whatever listens there must not fill our memory."""
_GRACE = 0.2
UNREACHABLE = 502
"""The status of what another supervisor could not be asked."""
MISDIRECTED = 421
"""The status of what was meant for another supervisor."""

MAY_STILL = " (it may do so all the same)"

Key = TypeVar("Key")
Found = TypeVar("Found")
Document = dict[str, Any]


class Unasked(Exception):
    """A member did not do, or tell, what it was asked for. `status` is an HTTP one: 502 if that is
    because it cannot be asked by us."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Order(NamedTuple):
    """What a member is asked to do."""

    path: str
    body: Document
    form: forms.Check


class Peers:
    """Used by any thread."""

    def __init__(self, http: Callable[[], models.Http]) -> None:
        self._http = http

    def order(self, member: published.Member, order: Order) -> Document:
        """What it answers.

        :raises Unasked: it refuses, or nobody knows whether it does it.
        """
        quoted = urllib.parse.quote(order.path)
        body = json.dumps(order.body).encode()
        request = signing.Request(member.name, "POST", order.path, body)
        headers = {"Content-Type": "application/json", **self._proof(request)}
        answer = _exchanged(member, "POST", quoted, headers, order.body, ORDER_SECONDS)
        return _accepted(answer, order.form)

    def status(self, member: published.Member) -> Document:
        """Its /status, with the shards that it has alone.

        :raises Unasked: there is none.
        """
        answer = _exchanged(member, "GET", "/status?mine=1", {}, None, LOOK_SECONDS)
        return _accepted(answer, forms.STATUS)

    def _proof(self, request: signing.Request) -> dict[str, str]:
        try:
            token = access.token(self._http())
        except (OSError, ValueError) as error:
            raise Unasked(503, "our http.token_file cannot be read") from error
        if token is None:
            return {}
        return {"Authorization": signing.signed(request, token, time.time())}


def together(
    asked: Mapping[Key, Callable[[], Found]], seconds: float, late: str = ""
) -> Callable[[], dict[Key, Found | Unasked]]:
    """All of these at once, each in a thread. What is returned waits for them, `seconds` from now
    on at most: who looks up a name may hang for longer, and nobody shall with them.

    :param late: what is to be said beside of one that is not done by then.
    """
    done: dict[Key, Found | Unasked] = {}
    deadline = time.monotonic() + seconds + _GRACE

    def run(key: Key, ask: Callable[[], Found]) -> None:
        try:
            done[key] = ask()
        except Unasked as error:
            done[key] = error

    threads = [
        threading.Thread(target=run, args=each, name="peer", daemon=True) for each in asked.items()
    ]
    for thread in threads:
        thread.start()

    def found() -> dict[Key, Found | Unasked]:
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        over = Unasked(UNREACHABLE, f"does not answer within {seconds:g} s{late}")
        return {key: done.get(key, over) for key in asked}

    return found


def _exchanged(
    member: published.Member,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: object,
    seconds: float,
) -> exchange.Answer:
    try:
        to = exchange.place(member.url)
    except errors.UsageError:
        why = "names an address that is none" if member.url else "names no address (http.listen)"
        raise Unasked(UNREACHABLE, why) from None
    every = {
        "Accept": "application/json",
        "Connection": "close",
        signing.FORWARDED: member.name,
        **headers,
    }
    try:
        where = to.scheme, to.address, method, to.path + path
        return exchange.exchange(*where, every, body, seconds, _MOST_BYTES)
    except exchange.Unanswered as error:
        again = MAY_STILL if body is not None and error.sent else ""
        raise Unasked(UNREACHABLE, f"does not answer: {_short(str(error))}{again}") from error


def _accepted(answer: exchange.Answer, form: forms.Check) -> Document:
    try:
        found = strict_json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if answer.status < 300 and form(found):
        return dict(found)
    if answer.status < 300 or not forms.ERROR(found):
        raise Unasked(UNREACHABLE, "is not what answers there: see its http.advertise")
    said = _short(found["error"])
    if answer.status == 401:
        raise Unasked(
            UNREACHABLE,
            "takes no orders of ours: another http.token, another time, or an older release",
        )
    if answer.status == MISDIRECTED:
        raise Unasked(UNREACHABLE, f"is not who answers there ({said})")
    if answer.status in (404, 409, 503):
        raise Unasked(answer.status, f"says: {said}")
    raise Unasked(UNREACHABLE, f"refuses to be asked by us: {said}")


def _short(said: str) -> str:
    """Words of another program."""
    return text.printable(text.shortened(said, _LONGEST))

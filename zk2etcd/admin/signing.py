"""How one supervisor shows another that it has the same `http.token`, without sending it.

Where another one can be asked stands in etcd, so whoever may write there could have a token sent
to them. So what is sent is a digest with the token as its key: of the request, of whom it is for,
and of the time, so that it is good for nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

SCHEME = "ZK2ETCD"
FORWARDED = "X-Zk2etcd-Forwarded"
"""The header that names whom a request is for. It is not handed on by them."""
WINDOW = 300.0
"""Seconds that the clocks of two supervisors may differ."""


class Request(NamedTuple):
    """What is signed. `to` is the instance that is meant; `path` is not quoted."""

    to: str
    method: str
    path: str
    body: bytes


def signed(request: Request, token: str, at: float) -> str:
    """The Authorization of this request; `at` in wall-clock seconds."""
    return f"{SCHEME} {int(at)}:{_digest(request, token, str(int(at)))}"


def is_good(authorization: str, request: Request, token: str, now: float) -> bool:
    """Whether this is the request's, by somebody with the token, and no old one."""
    scheme, _, rest = authorization.partition(" ")
    at, _, digest = rest.strip().partition(":")
    if scheme.upper() != SCHEME or not (at.isascii() and at.isdigit() and len(at) < 20):
        return False
    same = hmac.compare_digest(
        digest.encode("utf-8", "replace"), _digest(request, token, at).encode()
    )
    return same and abs(now - int(at)) <= WINDOW


def _digest(request: Request, token: str, at: str) -> str:
    body = hashlib.sha256(request.body).hexdigest()
    said = "\n".join((at, request.to, request.method, request.path, body))
    return hmac.new(_bytes(token), _bytes(said), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

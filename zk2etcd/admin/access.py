"""Who may ask what over HTTP: pure rules, so that each can be read and tested by itself.

A browser on an operator's machine is the attacker's way in. A page from anywhere can make it send
requests to loopback (hence tokens, JSON bodies and the Origin), or can let its own name resolve to
our address and read the answers (DNS rebinding, hence the Host). An address as the Host cannot come
from rebinding, which needs a name; so on a wildcard address every address is taken for our own.
"""

from __future__ import annotations

import hmac
import ipaddress
import urllib.parse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from zk2etcd.config import addresses, files

if TYPE_CHECKING:
    from zk2etcd.config import models

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
WILDCARDS = ("0.0.0.0", "::", "[::]")
"""Hosts of `http.listen` that stand for every address."""


_LONGEST_TOKEN = 64 * 1024


HEADERS = ("Host", "Origin", "Sec-Fetch-Site", "Authorization", "Content-Type")
"""The headers that the rules look at."""


class Refusal(NamedTuple):
    """An HTTP status and one sentence for the person who asked."""

    status: int
    error: str


def refusal(
    method: str,
    headers: Mapping[str, str],
    http: models.Http,
    signs: Callable[[str, str], bool] = lambda _authorization, _token: False,
) -> Refusal | None:
    """Why this request is not served, or None; of `headers` those of HEADERS count. `signs`:
    whether its Authorization is a signature of it with this token, see `signing`."""
    if not host_known(headers.get("Host", ""), http):
        return Refusal(403, "unknown Host: add the name to http.allowed_hosts")
    if method in ("GET", "HEAD", "OPTIONS"):
        return None
    own_page = headers.get("Sec-Fetch-Site", "none").lower() in ("none", "same-origin")
    if not (own_page and _same_origin(headers.get("Origin"), headers.get("Host", ""))):
        return Refusal(403, "requests from another origin are refused")
    return _unauthorised(headers.get("Authorization", ""), http, signs) or _not_json(headers)


def address(listen: str) -> tuple[str, int]:
    """(host, port) of `http.listen` in its normal form, `host:port` or `[v6]:port`."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def url(listen: str) -> str:
    """Where a client on this host finds the server that listens there."""
    host, port = address(listen)
    if host in WILDCARDS:
        host = "::1" if host == "::" else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def host_known(header: str, http: models.Http) -> bool:
    """Whether the Host header names us: loopback, the listen address, or an allowed name."""
    name = _name(header)
    listen = address(http.listen)[0].lower()
    allowed = {host.lower().rstrip(".") for host in http.allowed_hosts or ()}
    if http.advertise is not None:  # by which other supervisors come
        allowed.add(_name(http.advertise.partition("://")[2]))
    if not name or name in allowed or name in _LOOPBACK_NAMES or name == listen:
        return bool(name)
    return listen in WILDCARDS and _is_address(name)


def token(http: models.Http) -> str | None:
    """The token that every POST must bring, None when none is configured.

    Raises ValueError when its file cannot be read, or is empty: neither may ever mean that no token
    is needed.
    """
    if http.token is not None:
        return http.token.get_secret_value()
    if http.token_file is None:
        return None
    found = files.read(http.token_file, _LONGEST_TOKEN).decode().strip()
    if not found:
        raise ValueError("the token file is empty")
    return found


def _unauthorised(
    authorization: str, http: models.Http, signs: Callable[[str, str], bool]
) -> Refusal | None:
    try:
        expected = token(http)
    except ValueError:
        return Refusal(503, "http.token_file cannot be read: nothing can be asked until it can")
    if expected is None:
        if addresses.is_loopback(http.listen):
            return None
        return Refusal(403, "http.listen is not loopback: set http.token to allow this")
    scheme, _, given = authorization.partition(" ")
    # What came over the wire are bytes, each of which is a character here (PEP 3333).
    sent = given.strip(" \t").encode("latin-1", "replace")
    same = hmac.compare_digest(sent, expected.encode("utf-8", "surrogatepass"))
    if (scheme.lower() == "bearer" and same) or signs(authorization, expected):
        return None
    return Refusal(401, "needs `Authorization: Bearer` with http.token")


def _not_json(headers: Mapping[str, str]) -> Refusal | None:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return None
    return Refusal(415, "send the body as Content-Type: application/json")


def _same_origin(origin: str | None, host: str) -> bool:
    if origin is None:
        return True
    try:
        return urllib.parse.urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def _name(header: str) -> str:
    """The Host header without its port, in lower case: "" when there is none."""
    try:
        return (urllib.parse.urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

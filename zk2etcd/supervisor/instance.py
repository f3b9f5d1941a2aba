"""Who this supervisor is to others: its name in owner keys, and where it can be asked."""

from __future__ import annotations

import re
import secrets
import socket

_WILDCARDS = ("", "0.0.0.0", "[::]", "::")
_WITH_PORT = re.compile(r":\d+$")
_MOST_HOST = 40


def new(host: str | None = None) -> str:
    """A name no other supervisor has, nor had: an owner key of an earlier life on this host must
    never pass for ours."""
    host = socket.gethostname() if host is None else host
    slug = re.sub(r"[^A-Za-z0-9-]+", "-", host)[:_MOST_HOST].strip("-")
    return f"{slug or 'host'}-{secrets.token_hex(4)}"


def admin_url(address: str, host: str | None = None, advertised: str | None = None) -> str:
    """The URL of the admin server bound to `address` (host:port), "" for none.

    For a wildcard address it names this host, which is what others may be able to reach.

    :param advertised: `http.advertise`, whose port may be missing.
    """
    if not address:
        return ""
    bound, _, port = address.rpartition(":")
    if advertised is not None:
        return advertised if _WITH_PORT.search(advertised) else f"{advertised}:{port}"
    if bound in _WILDCARDS:
        bound = socket.gethostname() if host is None else host
    return f"http://{bound}:{port}"

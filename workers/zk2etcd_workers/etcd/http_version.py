"""The version that a member tells everybody over HTTP, at the port where it serves gRPC.

Maintenance/Status tells it as well, but with logins to root only in 3.4.42 and later, 3.5.28 to
3.5.31 and 3.6.0 to 3.6.11 (CVE-2026-33413); `/version` never asks for a login.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl

from zk2etcd.config import connections

_MOST = 10_000


def ask(endpoint: str, settings: connections.Etcd) -> str:
    """Such as "3.5.30"; "" if there is no such answer: a proxy, say, or `--listen-client-http-urls`
    has HTTP at another port."""
    try:
        timeout = settings.request_timeout
        with contextlib.closing(connection(endpoint, settings, timeout)) as asked:
            asked.request("GET", "/version")
            return str(json.loads(asked.getresponse().read(_MOST))["etcdserver"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return ""


def connection(
    endpoint: str, settings: connections.Etcd, timeout: float
) -> http.client.HTTPConnection:
    """With the same authorities and certificate as the channel."""
    scheme, _, address = endpoint.partition("://")
    if scheme != "https":
        return http.client.HTTPConnection(address, timeout=timeout)
    tls = settings.tls or connections.EtcdTls()
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return http.client.HTTPSConnection(address, timeout=timeout, context=context)

"""Making a client of kazoo's as the settings say, and getting rid of one."""

from __future__ import annotations

import logging
from typing import Any, cast

from zk2etcd import errors
from zk2etcd.config import connections, models
from zk2etcd_workers.zookeeper import connection

_QUIET = logging.getLogger("kazoo.quiet")
# kazoo warns of each attempt that fails, for hours; a shard says it once, and status why.
_QUIET.setLevel(logging.ERROR)


def make(owner: connection.Owner, settings: connections.ZooKeeper) -> connection.Client:
    """A client that is not started yet.

    :raises errors.ZooKeeperError: a package that the settings need is not installed.
    """
    if settings.sasl is not None and not connection.KNOWS_SASL:
        raise errors.ZooKeeperError(
            "zookeeper.sasl needs the package pure-sasl: pip install 'zk2etcd[sasl]'"
        )
    return connection.Client(
        owner,
        settings.connect_timeout,
        settings.tls,
        hosts=",".join(settings.hosts),
        timeout=settings.session_timeout,
        logger=_QUIET,
        **_security(settings),
    )


def _security(settings: connections.ZooKeeper) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if settings.auth:
        options["auth_data"] = [(a.scheme, models.revealed(a.credentials)) for a in settings.auth]
    if settings.sasl is not None:
        options["sasl_options"] = {
            "mechanism": settings.sasl.mechanism,
            "username": settings.sasl.username,
            "password": models.revealed(settings.sasl.password),
        }
    return options


def discard(client: connection.Client) -> None:
    """Stop a client for good; kazoo's stop joins threads, so never from one of its callbacks."""
    try:
        client.stop()
        client.close()
    except Exception as error:
        _QUIET.debug("a discarded client did not close cleanly: %s", error)
    cast(Any, client).state_listeners.clear()

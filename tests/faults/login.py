"""The login of the suite's own clients, where etcd asks for one: as etcd's root.

Tokens go with a restart, with `auth disable`, and with every change of users, so each stream and
each call gets a fresh one. It is cheap: the members hash with little effort.
"""

from __future__ import annotations

from typing import Any

import etcd3.etcdrpc as rpc
import grpc

USER, PASSWORD = "root", "the suite"
CHEAP = ("--bcrypt-cost", "4")
_SECONDS = 2.0

Metadata = list[tuple[str, str]] | None


def metadata(channel: Any) -> Metadata:
    """What a call on this channel must carry; None if etcd asks for nothing, or does not answer."""
    request = rpc.AuthenticateRequest(name=USER, password=PASSWORD)
    try:
        return [("token", rpc.AuthStub(channel).Authenticate(request, timeout=_SECONDS).token)]
    except grpc.RpcError:
        return None


def enable(channel: Any) -> None:
    """Have etcd ask for it from now on; the user is made if it is not there.

    :raises grpc.RpcError: it was not answered, or is on already.
    """
    auth = rpc.AuthStub(channel)
    for method, request in (
        ("UserAdd", rpc.AuthUserAddRequest(name=USER, password=PASSWORD)),
        ("RoleAdd", rpc.AuthRoleAddRequest(name="root")),
        ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user=USER, role="root")),
    ):
        try:
            getattr(auth, method)(request, timeout=_SECONDS)
        except grpc.RpcError as error:
            if "already" not in str(error.details()):
                raise
    auth.AuthEnable(rpc.AuthEnableRequest(), timeout=_SECONDS)


def disable(channel: Any) -> None:
    """Have etcd ask for nothing.

    :raises grpc.RpcError: it was not answered.
    """
    request = rpc.AuthDisableRequest()
    rpc.AuthStub(channel).AuthDisable(request, timeout=_SECONDS, metadata=metadata(channel))

"""One renewal of a lease, which etcd takes as a stream only: one request, one answer.

The request stream stays open until the answer is there: etcd may cancel the call, and drop the
renewal, when the client's half closes first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import etcd3.etcdrpc as rpc
import grpc

from zk2etcd import errors
from zk2etcd_workers.etcd import cluster as clusters, endpoints as members


def renew(
    endpoints: members.Endpoints,
    cluster: clusters.Cluster,
    lease: int,
    deadline: float,
    token: str | None,
) -> int:
    """The TTL that the current member answers.

    :param deadline: seconds.
    :raises errors.EtcdError: refused; `EtcdUnavailable`: no answer before the deadline.
    """
    cluster.vouch()
    answered = threading.Event()

    def requests() -> Iterator[Any]:
        yield rpc.LeaseKeepAliveRequest(ID=lease)
        answered.wait(deadline)

    member, at = endpoints.current, time.monotonic()
    metadata = [("token", token)] if token else None
    try:
        call = member.method("Lease/LeaseKeepAlive")(
            requests(), timeout=deadline, metadata=metadata
        )
    except ValueError as error:
        # Closed meanwhile: its certificates were replaced, or we are ending.
        raise errors.EtcdUnavailable(f"etcd {member.endpoint}: {error}") from error
    try:
        reply = next(iter(call))
    except grpc.RpcError as error:
        raise endpoints.refused(error, member, at, write=False) from error
    except StopIteration as error:
        endpoints.failed(member)
        raise errors.EtcdUnavailable(f"lease keepalive to {member.endpoint} failed") from error
    finally:
        answered.set()
        call.cancel()
    if (stranger := cluster.other(member, reply, at)) is not None:
        raise stranger
    return int(reply.TTL)

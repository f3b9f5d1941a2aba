"""`etcd grpc-proxy` in front of members, as one process of a sandbox."""

from __future__ import annotations

import contextlib
import pathlib
import socket
from collections.abc import Sequence

from zk2etcd.sandbox import server_process, servers


class GrpcProxy(servers.Etcd):
    """A proxy of these endpoints; to a supervisor's configuration it is an etcd like another.

    :param binary: the release of the proxy, which need not be that of the members.
    """

    name = "etcd grpc-proxy"

    def __init__(
        self, folder: pathlib.Path, endpoints: Sequence[str], *, binary: str = "etcd"
    ) -> None:
        super().__init__(folder, binary=binary)
        self._endpoints = endpoints

    def command(self) -> list[str]:
        members = ",".join(each.partition("://")[2] for each in self._endpoints)
        ours = ("--listen-addr", self.address, "--advertise-client-url", self.address)
        return [self._program, "grpc-proxy", "start", "--endpoints", members, *ours]

    def ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False


def started(
    box: servers.Sandbox, *members: server_process.Server, binary: str = "etcd"
) -> GrpcProxy:
    """One before these members, started; it is ended with the sandbox."""
    urls = [f"http://{member.address}" for member in members]
    made = box.adopt(GrpcProxy(box.subfolder("grpc-proxy"), urls, binary=binary))
    made.start()
    return made

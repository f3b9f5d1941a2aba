"""A ZooKeeper ensemble of several servers on loopback, one of which can be made to lag.

Each member reaches the others' quorum ports through proxies of its own, so that what one hears of
the leader can be held back while it goes on answering its clients from what it knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests import polling, proxy
from zk2etcd.sandbox import server_process, servers

_MODE = re.compile(rb"Mode: (\w+)")
_JVM = (*servers.QUICK_JVM, "-Dzookeeper.fastleader.maxNotificationInterval=500")
"""An election whose first words were lost tries again in half a second, not in ever longer ones."""
_SYNC_LIMIT = 60
"""Ticks that a follower may lag behind before the leader gives it up: half a minute."""


_HIGHEST = 255
"""As myid; a server with it does not start where extended types (TTL nodes) are enabled."""


class Member(servers.ZooKeeper):
    """One server of an ensemble. `links` are its proxies to the quorum ports of the others."""

    number = 0
    links: Sequence[proxy.Proxy] = ()
    lines: Sequence[str] = ()

    def command(self) -> list[str]:
        (self.data / "myid").write_text(f"{self.number}\n", "ascii")
        alone = "standaloneEnabled=false"  # or one member alone would not use its myid
        self._settings = (*self.lines, alone, "initLimit=20", f"syncLimit={_SYNC_LIMIT}")
        extended = "extendedTypesEnabled=" + ("false" if self.number >= _HIGHEST else "true")
        return [part.replace("extendedTypesEnabled=true", extended) for part in super().command()]

    def mode(self) -> str:
        """leader, follower, or nothing."""
        found = _MODE.search(self.ask("srvr"))
        return found[1].decode() if found else ""

    def lag(self) -> None:
        """Hear nothing of the others any more."""
        for link in self.links:
            link.hold("both")

    def catch_up(self) -> None:
        for link in self.links:
            link.release("both")


class Ensemble:
    """`count` members with data, ports and proxies; started, and ended with the sandbox.

    :param first: myid of the first member; the others' go on from it, downwards from 255 on.
    :param older: the class path of another release, which the first member is of.
    """

    def __init__(
        self, box: servers.Sandbox, count: int = 3, first: int = 1, older: str | None = None
    ) -> None:
        self.members = [
            box.adopt(
                Member(
                    box.subfolder("member"),
                    durable=False,
                    jvm=_JVM,
                    class_path=older if place == 0 else None,
                )
            )
            for place in range(count)
        ]
        quorum = [server_process.free_port() for _ in self.members]
        election = [server_process.free_port() for _ in self.members]
        self._proxies: list[proxy.Proxy] = []
        step = 1 if first < _HIGHEST else -1
        numbers = [first + step * place for place in range(count)]
        for number, member in zip(numbers, self.members, strict=True):
            member.number = number
            links = {
                at: proxy.Proxy(f"127.0.0.1:{port}")
                for at, port in zip(numbers, quorum, strict=True)
                if at != number
            }
            member.links = list(links.values())
            self._proxies += member.links
            member.lines = [
                f"server.{at}=127.0.0.1:{links[at].port if at in links else port}:{vote}"
                for at, port, vote in zip(numbers, quorum, election, strict=True)
            ]
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_ready()

    @property
    def addresses(self) -> list[str]:
        return [member.address for member in self.members]

    def leader(self) -> Member:
        """The member that leads, once there is one."""
        return self._in_mode("leader")

    def follower(self) -> Member:
        """One that follows, once there is one."""
        return self._in_mode("follower")

    def _in_mode(self, mode: str) -> Member:
        found = polling.until(
            lambda: [each for each in self.members if each.mode() == mode], 30, what=f"a {mode}"
        )
        return found[0]

    def close(self) -> None:
        for each in self._proxies:
            each.close()

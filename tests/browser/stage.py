"""What the page is looked at on: real servers, a supervisor on two prefixes, and trouble to order.

The tests and the screenshots share it, so that a picture shows what is tested.
"""

from __future__ import annotations

import contextlib
import os
import signal

import kazoo.security

from tests import polling
from tests.acceptance import both_sides, installed
from zk2etcd.sandbox import servers

HOSTILE = "<img src=x onerror=window.ran=1> \u202etxt.exe " + "long " * 45
_NOBODY = [kazoo.security.make_digest_acl("someone", "else", all=True)]


class Supervisor(installed.Supervisor):
    """Names its file as a person would who started it beside it."""

    def command(self) -> list[str]:
        return [installed.command(), "-c", self.config.name]


class Stage:
    """`root` goes before the prefixes: "" on servers of one's own. Close it at the end."""

    def __init__(
        self,
        box: servers.Sandbox,
        zookeeper: servers.ZooKeeper,
        etcd: servers.Etcd,
        root: str = "",
    ) -> None:
        self.dubbo, self.services = f"{root}/dubbo", f"{root}/services"
        self.late, self.late_target = f"{root}/flags", f"{root}/mirror/flags"
        self.zookeeper = zookeeper
        self.sides = both_sides.Sides(zookeeper.address, etcd.address)
        prefixes: list[str | dict[str, str]] = [
            self.dubbo,
            {"from": self.services, "to": f"{root}/mirror/services"},
        ]
        self.content = installed.settings(
            zookeeper,
            etcd,
            [*prefixes],
            state={"prefix": f"zk2etcd{root}/page"},
            workers={"count": 2, "restart_backoff": {"min": "3s"}},
            sync={"full_sync_interval": "1m"},
        )
        self.supervisor = box.adopt(Supervisor(box.subfolder("zk2etcd"), self.content))

    def close(self) -> None:
        self.sides.close()

    def start(self) -> None:
        """Both prefixes have nodes and are followed."""
        for interface in ("user.UserService", "order.OrderService", "stock.StockService"):
            self.sides.seed(f"{self.dubbo}/com.example.{interface}/providers", 40)
        self.sides.seed(self.services, 60)
        self.supervisor.start()
        self.supervisor.wait_following()

    def change(self, value: bytes) -> None:
        self.sides.zk.set(f"{self.services}/n1", value)

    def hide(self, name: str) -> None:
        """A node that zk2etcd may not read; a full sync finds that out."""
        self.sides.zk.create(f"{self.services}/{name}", b"secret", acl=_NOBODY)
        shard = self.supervisor.shard_id(self.services)
        self.supervisor.ask("/full-sync", {"shards": [shard]})
        polling.until(lambda: self._names(name), 15.0, what="an unreadable node")

    def _names(self, name: str) -> bool:
        shard = self.supervisor.shards()[self.services]
        return any(each["path"].endswith(name) for each in shard["unsyncable"])

    def add_guarded(self) -> None:
        """One prefix more, by a reload, whose first sync would delete keys that are there."""
        for number in range(14):
            self.sides.etcd.put(f"{self.late_target}/checkout/old-{number}", b"on")
        self.sides.seed(f"{self.late}/checkout", 25)
        late = {"from": self.late, "to": self.late_target}
        sync = self.content["sync"]
        self.supervisor.configure(
            {**self.content, "sync": {**sync, "prefixes": [*sync["prefixes"], late]}}
        )
        self.supervisor.reload()
        polling.until(self._is_guarded, 15.0, what="a guarded shard")

    def _is_guarded(self) -> bool:
        shard = self.supervisor.shards().get(self.late)
        return bool(shard and shard["guard"])

    def kill_worker(self, source: str, timeout: float = 20.0) -> str:
        """SIGKILL the worker of this prefix until it waits for its restart; its slot."""
        slot = self.supervisor.slot_of(source)
        self.keep_down(slot, timeout)
        return slot

    def keep_down(self, slot: str, timeout: float = 20.0) -> None:
        """SIGKILL a worker until it waits for its restart, for longer each time."""

        def down() -> bool:
            worker = self.supervisor.worker(slot)
            if worker["pid"] and worker["state"] in ("starting", "running"):
                with contextlib.suppress(ProcessLookupError):  # killed by the last look
                    os.kill(worker["pid"], signal.SIGKILL)
            return bool(worker["state"] == "backoff")

        polling.until(down, timeout, what=f"{slot} waits for its restart")

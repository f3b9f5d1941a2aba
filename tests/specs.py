"""Worker specs for tests that spawn a child of their own."""

from __future__ import annotations

from tests.unit import settings
from zk2etcd import messages


def spec(slot: str = "w0", incarnation: int = 1) -> messages.WorkerSpec:
    identity = messages.Identity("test-instance", slot, incarnation)
    return messages.WorkerSpec(identity, settings.configured(), "", "info")

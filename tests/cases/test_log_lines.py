"""What a log line may hold, whatever names others give to their nodes."""

from __future__ import annotations

from tests import polling
from tests.acceptance import conftest


def test_names_do_not_steer_a_terminal(mirrors: conftest.Mirrors, prefix: str) -> None:
    """A9: bidirectional and C1 control characters raw in JSON log lines."""
    supervisor = mirrors.following(prefix, nodes=1, log={"format": "json", "events": True})
    names = ["\u202egnp.exe", "\u2066x\u2069", "\u200f", "\u4e2d\u6587"]
    for name in names:
        mirrors.sides.zk.create(f"{prefix}/{name}", b"1")
    paths = {f"{prefix}/{name}" for name in names}

    def told() -> bool:
        return paths <= {event.get("path") for event in supervisor.events("mirrored")}

    polling.until(told)
    for line in supervisor.log.read_text("utf-8").splitlines():
        assert line.isprintable(), ascii(line)

"""Which commands have signals kept for them before they listen."""

from __future__ import annotations

import pytest

from zk2etcd import early


@pytest.mark.parametrize(
    "arguments", ["-c a.yaml", "run -c a", "sync --zk-addr a", "--debug run", "--once -c a", "-ca"]
)
def test_a_supervisor_has(arguments: str) -> None:
    assert early.supervises(arguments.split())


@pytest.mark.parametrize("arguments", ["", "status", "-h", "--version", "--debug diff -c a", "log"])
def test_others_end_as_any_program(arguments: str) -> None:
    assert not early.supervises(arguments.split())

"""A loop that waits is woken by whoever rings."""

from __future__ import annotations

import multiprocessing.connection
import threading

import pytest

from zk2etcd_workers import bell


def test_it_wakes_who_waits_for_it_once() -> None:
    made = bell.Bell()
    assert not made.was_rung()
    threading.Timer(0.05, made.ring).start()
    assert multiprocessing.connection.wait([made.fileno()], 10.0) == [made.fileno()]
    made.ring()
    assert made.was_rung()
    assert not made.was_rung()
    made.close()


def test_a_closed_one_rings_nobody_else_s() -> None:
    made = bell.Bell()
    made.close()
    other = bell.Bell()  # It has its number now.
    made.ring()
    made.close()
    assert not other.was_rung()
    with pytest.raises(ValueError, match="closed"):
        made.fileno()
    other.close()

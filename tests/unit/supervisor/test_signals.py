from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from zk2etcd.supervisor import signals


def readable(inbox: signals.Inbox, timeout: float = 5.0) -> bool:
    return bool(select.select([inbox], [], [], timeout)[0])


def test_signals_wait_in_their_order_and_wake_the_loop() -> None:
    with signals.Inbox() as inbox:
        assert not readable(inbox, 0)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert readable(inbox)
        assert inbox.take() == [signal.SIGHUP, signal.SIGTERM]
        assert inbox.take() == []
        assert not readable(inbox, 0)


def test_another_thread_wakes_the_loop_and_never_blocks() -> None:
    with signals.Inbox() as inbox:

        def wake_often() -> None:
            for _ in range(100_000):  # more than the pipe holds
                inbox.wake()

        thread = threading.Thread(target=wake_often)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        assert readable(inbox)
        assert inbox.take() == []
        assert not readable(inbox, 0)


def test_sigusr2_dumps_our_stacks_and_reaches_the_loop(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with signals.Inbox() as inbox:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert readable(inbox)
        assert inbox.take() == [signal.SIGUSR2]
    assert "test_sigusr2_dumps_our_stacks" in capfd.readouterr().err


def test_what_was_there_before_comes_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with signals.Inbox(children=True):
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before

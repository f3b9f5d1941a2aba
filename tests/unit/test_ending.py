"""Whoever hangs at Ctrl-C is ended, and leaves the terminal as it was."""

from __future__ import annotations

import sys

from tests import terminal

HANGS = """
import sys, time
from zk2etcd import ending
ending.by_interrupts()
said = ["\\x1b[?25l" + "drawn"]
while True:
    try:  # said within it: Ctrl-C comes as soon as it is read
        while said:
            sys.stderr.write(said.pop())
            sys.stderr.flush()
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""


def test_the_cursor_is_shown_again_where_the_last_resort_ends_it() -> None:
    with terminal.Terminal([sys.executable, "-c", HANGS]) as screen:
        screen.until("drawn")
        assert screen.interrupt() == 130
        assert screen.raw.endswith(b"\x1b[?25h")

"""`python -m zk2etcd`, and the installed `zk2etcd`: signals are kept before the rest is loaded, and
the first worker loads beside it."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

from zk2etcd import early, ending

_COLLECT_EVERY = 50_000
"""Objects. What is loaded stays, and is a hundred thousand: usually each 700 are looked at."""


def main() -> NoReturn:
    gc.set_threshold(_COLLECT_EVERY)
    early.listen(sys.argv[1:])
    ending.by_interrupts()
    try:
        if early.supervises(sys.argv[1:]) and not {"-h", "--help"} & set(sys.argv):
            _supervise()
        _run()
    except KeyboardInterrupt:
        sys.exit(ending.INTERRUPTED)


def _supervise() -> NoReturn:
    from zk2etcd.process import ahead  # noqa: PLC0415

    try:
        ahead.begin()
        _run()
    finally:
        ahead.discard()


def _run() -> NoReturn:
    from zk2etcd.cli import main as cli  # noqa: PLC0415

    cli.main()


if __name__ == "__main__":
    main()

"""`python -m zk2etcd`, and the installed `zk2etcd`: signals are kept before the rest is loaded."""

from __future__ import annotations

import sys
from typing import NoReturn

from zk2etcd import early, ending


def main() -> NoReturn:
    early.listen(sys.argv[1:])
    ending.by_interrupts()
    try:
        from zk2etcd.cli import main as cli  # noqa: PLC0415

        cli.main()
    except KeyboardInterrupt:
        sys.exit(ending.INTERRUPTED)


if __name__ == "__main__":
    main()

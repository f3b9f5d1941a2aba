"""`python -m zk2etcd`: the same as the installed `zk2etcd`."""

from __future__ import annotations

import sys

from zk2etcd.cli import main

if __name__ == "__main__":
    sys.exit(main.main())

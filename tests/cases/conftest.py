"""What odd servers, people and networks do to an installed zk2etcd, judged from outside.

Nothing here looks at the product's inside, so that any build can be held against these tests:
`ZK2ETCD_COMMAND=/elsewhere/bin/zk2etcd pytest tests/cases` runs them on that one.
"""

from tests.acceptance.conftest import mirrors, sides, supervise

__all__ = ["mirrors", "sides", "supervise"]

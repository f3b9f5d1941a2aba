"""What a member's metrics say of its quota."""

from __future__ import annotations

import pytest

from zk2etcd_workers.etcd import quota
from zk2etcd_workers.model import space

TOLD = b"""# HELP etcd_server_quota_backend_bytes Current backend storage quota size in bytes.
# TYPE etcd_server_quota_backend_bytes gauge
etcd_server_quota_backend_bytes 2.147483648e+09
etcd_mvcc_db_total_size_in_bytes 24576
etcd_mvcc_db_total_size_in_use_in_bytes 16384
"""


def test_all_three_figures_are_taken() -> None:
    assert quota.parsed(TOLD) == space.Space(2**31, 24576, 16384)


def test_where_what_is_in_use_is_not_told_it_is_all() -> None:
    told = b"\n".join(TOLD.splitlines()[:-1])
    assert quota.parsed(told) == space.Space(2**31, 24576, 24576)


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"<html>no such page</html>",
        TOLD.replace(b"2.147483648e+09", b"0"),
        TOLD.replace(b"2.147483648e+09", b"-1"),
        TOLD.replace(b"2.147483648e+09", b"NaN"),
        TOLD.replace(b"2.147483648e+09", b"+Inf"),
        TOLD.replace(b"bytes 24576", b"bytes"),
    ],
)
def test_what_does_not_tell_both_or_has_no_quota_is_unknown(told: bytes) -> None:
    assert quota.parsed(told) is None

"""A prefix in several buckets, as its shards map it."""

from __future__ import annotations

from hypothesis import strategies as st

from zk2etcd_workers.model import mapping

COUNTS = st.integers(2, 6)


def parts(buckets: int, source: str = "/s", target: str = "/t") -> list[mapping.Mapping]:
    return [mapping.Mapping(source, target, (), number, buckets) for number in range(buckets)]


DEEP = st.lists(st.sampled_from([b"a", b"b", b"a-", b"a0", b""]), max_size=4).map(
    lambda names: b"/t" + b"".join(b"/" + name for name in names)
)
"""Keys at and below `/t`, of names that are odd beside each other."""

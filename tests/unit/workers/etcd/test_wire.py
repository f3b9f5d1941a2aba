"""A page of keys and values, as etcd sends it."""

from __future__ import annotations

import etcd3.etcdrpc as rpc

from zk2etcd_workers.etcd import wire


def test_a_page_of_keys_only_is_the_same_however_it_is_taken_apart() -> None:
    found = rpc.RangeResponse(count=3, more=True)
    found.header.revision = 7
    for name in (b"a", b"b", b"/c" * 300):
        found.kvs.add(key=name, mod_revision=5)
    plain, quick = wire.page(found, 0.5), wire.page(found, 0.5, keys_only=True)
    assert list(quick.keys) == list(plain.keys) == [b"a", b"b", b"/c" * 300]
    assert list(quick.values) == list(plain.values) == [b""] * 3
    assert quick[2:] == plain[2:]
    nothing = wire.page(rpc.RangeResponse(), 0.5, keys_only=True)
    assert not nothing.keys
    assert not nothing.values

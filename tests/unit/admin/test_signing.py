"""What a signature is good for, and for nothing else."""

from __future__ import annotations

import pytest

from zk2etcd.admin import signing

TOKEN, AT = "s3cret", 1_700_000_000.0
REQUEST = signing.Request("host-2-def", "POST", "/pause", b'{"shards": null}')


def test_a_request_is_known_by_its_signature_which_does_not_hold_the_token() -> None:
    signed = signing.signed(REQUEST, TOKEN, AT + 0.9)
    assert signing.is_good(signed, REQUEST, TOKEN, AT + 20)
    assert signing.is_good(signed.replace("ZK2ETCD", "zk2etcd"), REQUEST, TOKEN, AT - 20)
    assert TOKEN not in signed


@pytest.mark.parametrize(
    "changed",
    [
        REQUEST._replace(to="host-3"),
        REQUEST._replace(method="PUT"),
        REQUEST._replace(path="/resume"),
        REQUEST._replace(body=b'{"shards": ["a"]}'),
        REQUEST._replace(to="", path="host-2-def/pause"),
    ],
)
def test_it_is_no_other_requests(changed: signing.Request) -> None:
    assert not signing.is_good(signing.signed(REQUEST, TOKEN, AT), changed, TOKEN, AT)


def test_it_is_of_its_token_and_of_its_time() -> None:
    signed = signing.signed(REQUEST, TOKEN, AT)
    assert not signing.is_good(signed, REQUEST, "s3cre", AT)
    for apart in (signing.WINDOW + 1, -signing.WINDOW - 1):
        assert not signing.is_good(signed, REQUEST, TOKEN, AT + apart)
    late = signed.replace(f"{int(AT)}", f"{int(AT) + 1000}")
    assert not signing.is_good(late, REQUEST, TOKEN, AT + 1000)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "ZK2ETCD",
        "ZK2ETCD :",
        "ZK2ETCD 1700000000",
        "ZK2ETCD 1700000000:\udcff\xff",
        "ZK2ETCD -1:00",
        "ZK2ETCD \u0661:00",
        "ZK2ETCD " + "9" * 5000 + ":00",
        f"Bearer {TOKEN}",
    ],
)
def test_what_is_none(authorization: str) -> None:
    assert not signing.is_good(authorization, REQUEST, TOKEN, AT)

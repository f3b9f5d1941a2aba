"""Which URL leads where, read once and strictly: what is judged is what is reached."""

from __future__ import annotations

import pytest

from zk2etcd import errors, exchange
from zk2etcd.client import admin_client


@pytest.mark.parametrize(
    ("url", "shown", "address"),
    [
        ("http://127.0.0.1:9180", "http://127.0.0.1:9180", "127.0.0.1:9180"),
        ("127.0.0.1:9180/", "http://127.0.0.1:9180", "127.0.0.1:9180"),
        ("HTTP://Mirror_1.example/", "http://Mirror_1.example:80", "Mirror_1.example:80"),
        ("https://m.example/zk/", "https://m.example:443/zk", "m.example:443"),
        ("http://[0:0::1]:9180", "http://[::1]:9180", "[::1]:9180"),
        ("http://m.example.:1/a/b", "http://m.example.:1/a/b", "m.example.:1"),
    ],
)
def test_an_http_url(url: str, shown: str, address: str) -> None:
    assert str(exchange.place(url)) == shown == admin_client.Client(url).url
    assert exchange.place(url).address == address


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@127.0.0.1:9180",
        "http://hunter2@127.0.0.1:9180",
        "user:hunter2@127.0.0.1",
        "http://user:hunter2@[::1",
        "http://user:hunter2@127.0.0.1:port",
        "http:/user:hunter2@127.0.0.1",
        "http://user:hunter2@exa\u2100mple",
        "http://127.0.0.1:hunter2",
        "http://127.0.0.1:9180?token=hunter2",
        "http://127.0.0.1:9180#hunter2",
        "http://127.0.0.1:9180/hunter2\x1b[2J",
        "http://hunter2 .example",
        "http://\uff48unter2.example",
        "http://hunter2:0",
        "ftp://hunter2",
        "unix:///hunter2",
        "http:///hunter2",
        "",
    ],
)
def test_what_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        admin_client.Client(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__

"""`zk2etcd diff --fix` without servers: how long an owner may take, and to whom it shows the admin
token, since an owner key is data that others may have written."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.unit import settings
from zk2etcd import errors, messages
from zk2etcd.cli import diff_fix


def status(done: int, error: str | None = None) -> dict[str, Any]:
    shard = {"id": "s-1", "phase": "full_sync", "progress": {"done": done, "total": 9}}
    other = {"id": "s-2", "phase": "full_sync", "progress": {"done": time.monotonic(), "total": 9}}
    rest = {"last_full_sync": None, "worker": "w0", "error": error}
    return {"shards": [{**other, **rest}, {**shard, **rest}]}


def test_an_owner_may_take_long_but_must_move(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stall = diff_fix._Stall("s-1")
    for done in range(20):
        now += 59
        stall.look(status(done))
    now += 61
    with pytest.raises(errors.Zk2EtcdError, match="s-1 did not move for 60 s: its phase is full_s"):
        stall.look(status(19))
    with pytest.raises(errors.Zk2EtcdError, match="60 s: ZooKeeper is away"):
        stall.look(status(19, "ZooKeeper is away"))


def job(url: str | None = None, listen: str = "10.1.2.3:9180") -> diff_fix.Repair:
    whole = settings.configured(http={"listen": listen, "token": "s3cret" * 4})
    return diff_fix.Repair(whole, messages.Identity("test", "diff", 1), url)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("10.1.2.3:9180", "http://10.1.2.3:9180"),
        ("127.0.0.1:9180", "http://127.0.0.1:9180"),
        ("127.0.0.1:9180", "http://127.0.0.1:9180/"),
        ("127.0.0.1:9180", "http://localhost:9180"),
        ("localhost:9180", "http://127.0.0.1:9180"),
        ("[::1]:9180", "http://[::1]:9180"),
        ("0.0.0.0:9180", "http://127.0.0.1:9180"),
        ("[::]:9180", "http://[::1]:9180"),
    ],
)
def test_our_own_address_gets_it(listen: str, url: str) -> None:
    assert job(listen=listen)._token_for(url) == "s3cret" * 4
    assert job(listen=listen)._hint(url) == ""


@pytest.mark.parametrize("listen", ["127.0.0.1:9180", "0.0.0.0:9180", "10.1.2.3:9180"])
@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.4:9180",
        "http://collector.example:80",
        "http://127.0.0.1.collector.example:9180",
        "http://127.0.0.1:9180@collector.example:80",
        "http://127.0.0.1:9180@collector.example",
        "http://10.1.2.3:9180@collector.example",
        "http://u:p@127.0.0.1:9180",
        "http://127.0.0.1:9180\\@collector.example",
        "http://collector.example\\@127.0.0.1:9180",
        "http://collector.example#@127.0.0.1:9180",
        "http://collector.example?127.0.0.1:9180",
        "http://127.0.0.1:9180/elsewhere",
        "http://127.0.0.1:9181",
        "http://127.0.0.1",
        "http://127.0.0.1.:9180",
        "http://127.0.0.2:9180",
        "http://[::ffff:127.0.0.1]:9180",
        "http://\u0661\u0662\u0667.0.0.1:9180",
        "http://127.0.0.1:\u0669180",
        "http://127.0.0.1:9180\u2044x",
        "https://127.0.0.1:9180",
        "ftp://127.0.0.1:9180",
        "//127.0.0.1:9180@collector.example",
        "http://127.0.0.1:9180 @collector.example",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://",
        "",
    ],
)
def test_no_other_address_that_an_owner_key_names_gets_it(listen: str, url: str) -> None:
    assert job(listen=listen)._token_for(url) is None
    assert "--url" in job(listen=listen)._hint(url)


def test_a_free_port_is_no_address_that_could_be_compared() -> None:
    assert job(listen="127.0.0.1:0")._token_for("http://127.0.0.1:9180") is None


def test_an_address_that_the_person_names_gets_it() -> None:
    assert job("http://10.9.9.9:9180")._token_for("http://10.9.9.9:9180") == "s3cret" * 4

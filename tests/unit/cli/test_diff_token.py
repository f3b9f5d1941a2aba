"""To whom `diff --fix` shows the admin token: an owner key is data that others may have written."""

from __future__ import annotations

import pytest

from tests.unit import settings
from zk2etcd import messages
from zk2etcd.cli import diff_fix


def job(url: str | None = None) -> diff_fix.Repair:
    whole = settings.configured(http={"listen": "10.1.2.3:9180", "token": "s3cret" * 4})
    return diff_fix.Repair(whole, messages.Identity("test", "diff", 1), url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9180", "http://localhost:1", "http://[::1]:9180", "http://10.1.2.3:9180"],
)
def test_this_host_and_our_own_address_get_it(url: str) -> None:
    assert job()._token_for(url) == "s3cret" * 4
    assert job()._hint(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.4:9180",
        "http://collector.example:80",
        "http://127.0.0.1.collector.example:9180",
        "http://127.0.0.1:9180@collector.example:80",
    ],
)
def test_no_other_address_that_an_owner_key_names_gets_it(url: str) -> None:
    assert job()._token_for(url) is None
    assert "--url" in job()._hint(url)


def test_an_address_that_the_person_names_gets_it() -> None:
    assert job("http://10.9.9.9:9180")._token_for("http://10.9.9.9:9180") == "s3cret" * 4

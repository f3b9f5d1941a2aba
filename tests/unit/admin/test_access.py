"""Who may ask: each rule against what it is there for."""

from __future__ import annotations

import pathlib

import pydantic
import pytest

from zk2etcd.admin import access
from zk2etcd.config import models

LOCAL = models.Http()
JSON = {"Host": "localhost:9180", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("listen", "host", "known"),
    [
        ("127.0.0.1:9180", "127.0.0.1:9180", True),
        ("127.0.0.1:9180", "LOCALHOST", True),
        ("127.0.0.1:9180", "localhost.", True),
        ("127.0.0.1:9180", "[::1]:80", True),
        ("127.0.0.1:9180", "10.0.0.1", False),
        ("127.0.0.1:9180", "localhost.evil.example", False),
        ("127.0.0.1:9180", "evil.example#localhost", False),
        ("127.0.0.1:9180", "localhost@evil.example", False),
        ("127.0.0.1:9180", "[::1", False),
        ("127.0.0.1:9180", "", False),
        ("10.0.0.1:9180", "10.0.0.1:9180", True),
        ("10.0.0.1:9180", "10.0.0.2:9180", False),
        ("box.example:9180", "box.example", True),
        ("0.0.0.0:9180", "10.9.8.7:9180", True),
        ("0.0.0.0:9180", "evil.example", False),
        ("[::]:9180", "[fd00::1]:9180", True),
    ],
)
def test_known_hosts(listen: str, host: str, known: bool) -> None:
    assert access.host_known(host, models.Http(listen=listen)) is known


def test_looking_needs_only_a_known_host() -> None:
    assert access.refusal("GET", {"Host": "localhost"}, LOCAL) is None
    refused = access.refusal("GET", {"Host": "evil.example"}, LOCAL)
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, None),
        ({"Content-Type": "application/json; charset=utf-8"}, None),
        ({"Origin": "http://localhost:9180"}, None),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, None),
        ({"Sec-Fetch-Site": "none"}, None),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": ""}, 415),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_asking_without_a_token_on_loopback(
    method: str, changes: dict[str, str], status: int | None
) -> None:
    refused = access.refusal(method, {**JSON, **changes}, LOCAL)
    assert (refused.status if refused else None) == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer s3cret", None),
        ("bearer s3cret", None),
        ("Bearer s3cre", 401),
        ("Bearer s3crett", 401),
        ("Bearer ", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        ("", 401),
        ("Bearer s3cr\u00e9t", 401),
    ],
)
@pytest.mark.parametrize("listen", ["127.0.0.1:9180", "0.0.0.0:9180"])
def test_asking_with_a_token(listen: str, authorization: str, status: int | None) -> None:
    http = models.Http(listen=listen, token=pydantic.SecretStr("s3cret"))
    refused = access.refusal("POST", {**JSON, "Authorization": authorization}, http)
    assert (refused.status if refused else None) == status


def test_an_open_address_without_a_token_takes_no_post() -> None:
    refused = access.refusal("POST", JSON, models.Http(listen="0.0.0.0:9180"))
    assert refused is not None
    assert refused.status == 403
    assert "http.token" in refused.error


def test_a_token_files_content_is_the_token(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    http = models.Http(token_file=str(file))
    with pytest.raises(ValueError, match="cannot be read"):
        access.token(http)
    file.write_text(" \n")
    with pytest.raises(ValueError, match="empty"):
        access.token(http)
    file.write_text("s3cret\n")
    assert access.token(http) == "s3cret"
    assert access.token(LOCAL) is None


def test_a_token_may_be_any_text(tmp_path: pathlib.Path) -> None:
    """A server gets each byte of a header as one character."""
    file = tmp_path / "token"
    file.write_text("gehe\u00edm\u5bc6", "utf-8")
    http = models.Http(token_file=str(file))
    sent = "Bearer gehe\u00edm\u5bc6".encode().decode("latin-1")
    assert access.refusal("POST", {**JSON, "Authorization": sent}, http) is None
    refused = access.refusal("POST", {**JSON, "Authorization": sent[:-1]}, http)
    assert refused is not None
    assert refused.status == 401


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:9180", "http://127.0.0.1:9180"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:80", "http://[::1]:80"),
        ("[fd00::1]:80", "http://[fd00::1]:80"),
        ("box.example:80", "http://box.example:80"),
    ],
)
def test_where_a_client_finds_the_server(listen: str, url: str) -> None:
    assert access.url(listen) == url


def test_the_name_that_is_advertised_is_known() -> None:
    """By it other supervisors come; addresses are known on a wildcard address anyway."""
    http = models.Http(listen="0.0.0.0:9180", advertise="https://One.example:9180")
    assert access.host_known("one.example:9180", http)
    assert not access.host_known("two.example:9180", http)
    assert access.host_known("[fd00::7]:9180", models.Http(advertise="fd00::7"))


def test_a_signature_stands_for_the_token() -> None:
    http = models.Http(token=pydantic.SecretStr("s3cret"))
    headers = {**JSON, "Authorization": "ZK2ETCD 1:00"}
    assert access.refusal("POST", headers, http, lambda *_: True) is None
    refused = access.refusal("POST", headers, http, lambda *_: False)
    assert refused is not None
    assert refused.status == 401
    given = "ZK2ETCD 1:00", "s3cret"
    assert access.refusal("POST", headers, http, lambda *asked: asked == given) is None

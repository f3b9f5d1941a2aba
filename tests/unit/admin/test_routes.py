"""Requests that nobody means well with: every route answers, and none is talked into anything."""

from __future__ import annotations

import io
import json
import pathlib
import tempfile
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

import hypothesis
import pydantic
import werkzeug.test
from hypothesis import strategies as st

from tests.unit import controls, views
from zk2etcd.admin import server
from zk2etcd.config import models
from zk2etcd.logs import logger

TOKEN, SHARD = controls.TOKEN, controls.SHARD
GOOD_HOST, ANY_HOST = "127.0.0.1:9180", "10.1.2.3:9180"
SETTINGS = {
    "loopback": models.Http(),
    "loopback with a token": models.Http(token=pydantic.SecretStr(TOKEN)),
    "open": models.Http(listen="0.0.0.0:9180"),
    "open with a token": models.Http(listen="0.0.0.0:9180", token=pydantic.SecretStr(TOKEN)),
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Routes:
    """The application for one kind of settings; called as waitress would call it."""

    def __init__(self, http: models.Http) -> None:
        self.http = http
        self.control = controls.Control()
        self.folder = tempfile.TemporaryDirectory(prefix="zk2etcd-routes-")
        self.app = server.application(self.control, lambda: self.http, lambda: self.folder.name)

    def __call__(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query.encode("utf-8", "surrogatepass").decode("latin-1"),
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "9180",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        parts, status, found = werkzeug.test.run_wsgi_app(self.app, environ, buffered=True)
        named = {name.lower(): value for name, value in found}
        return Answer(int(status.split()[0]), named, b"".join(parts))


ROUTES = {name: Routes(http) for name, http in SETTINGS.items()}
LATIN = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=20)
KNOWN = (
    *("/", "/metrics", "/livez", "/healthz", "/readyz", "/status", "/history", "/static/page.css"),
    *("/full-sync", "/pause", "/resume", "/reload", "/log", "/stacks"),
    f"/shards/{SHARD}/release",
)
CRAFTED = (
    *("/static/../admin.py", "/static/..%2f..%2fadmin.py", "/static/%2e%2e/%2e%2e/etc/passwd"),
    *("/static//etc/passwd", "/static/%00", "/static/page.css%00.js", "/static/..%5c..%5cadmin.py"),
    *(
        "/static/" + "a" * 300,
        "/static/%ff%fe",
        "/static/",
        "//evil.example/",
        "/%2f%2fevil.example",
    ),
    *("/shards//release", "/shards/../../reload", "/shards/%2e%2e%2freload/release", "/status/"),
    *("/shards/%00/release", "/shards/a%2fb/release", "/shards/%F0%9F%92%A9/release", "*"),
    *(
        "/readyz?exclude=x",
        "/readyz?exclude=guarded&verbose",
        "/readyz?%ff=%00",
        "/history?after=9",
    ),
    *(
        "/history?after=-9",
        "/history?after=" + "9" * 40,
        "/history?after=%D9%A3",
        "/history?after=",
    ),
    "/log?token=" + TOKEN,
)
TARGETS = st.one_of(
    st.sampled_from(KNOWN),
    st.sampled_from(CRAFTED),
    st.builds("{}{}".format, st.sampled_from(KNOWN), st.text(max_size=5).map(urllib.parse.quote)),
    st.binary(max_size=12).map(lambda raw: "/" + urllib.parse.quote_from_bytes(raw, safe="/?")),
)
METHODS = st.sampled_from(
    (
        *("GET", "HEAD", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"),
        *("CONNECT", "post", "PROPFIND", "X", "GET\xff"),
    )
)
HOSTS = st.one_of(
    st.sampled_from((GOOD_HOST, GOOD_HOST, GOOD_HOST, "localhost", "[::1]:9180", ANY_HOST))
    , st.sampled_from(("evil.example", "[", "[::1", "a@b", "localhost:x", "\xa0", "127.0.0.1.evil"))
    , LATIN,
)  # fmt: skip
CREDENTIALS = st.one_of(
    st.sampled_from((f"Bearer {TOKEN}", f"bearer  {TOKEN} ", TOKEN, f"Basic {TOKEN}", "Bearer "))
    , st.sampled_from((f"Bearer {TOKEN}\xe9", "Bearer \xff", f"Bearer {TOKEN},{TOKEN}"))
    , LATIN,
)  # fmt: skip
ORIGINS = st.sampled_from(
    (
        *("http://127.0.0.1:9180", "http://evil.example", "null", "http://[", "http://[::1", ""),
        *("//", "http://127.0.0.1:9180.evil.example", "http://127.0.0.1:9180@evil.example", "\xe9"),
    )
)
KINDS = st.sampled_from(
    (
        *("application/json", "application/json; charset=utf-8", "text/plain", "", ";", "\xff"),
        *("application/jsonp", "application/x-www-form-urlencoded", "multipart/form-data"),
    )
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Host": HOSTS,
        "Authorization": CREDENTIALS,
        "Origin": ORIGINS,
        "Content-Type": KINDS,
        "Sec-Fetch-Site": st.sampled_from(("same-origin", "none", "cross-site", "same-site", "x")),
        "X-HTTP-Method-Override": st.just("POST"),
        "X-Forwarded-For": st.just("127.0.0.1"),
        "X-Forwarded-Host": st.just("localhost"),
        "Range": st.sampled_from(
            ("bytes=0-1", "bytes=9999999-", "bytes=-0", "x=\xff", "bytes=1-0")
        ),
        "If-None-Match": LATIN,
        "If-Modified-Since": st.sampled_from(("Thu, 01 Jan 1970 00:00:00 GMT", "\xff", "9" * 99)),
        "Cookie": LATIN,
        "Accept": LATIN,
    },
)
FRIENDLY = st.just({"Host": GOOD_HOST, "Content-Type": "application/json"})
VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        st.sampled_from((SHARD, views.GUARD.id, "debug", "\ud800", "9" * 5000)),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
NAMES = ("shards", "by", "trip", "level", "x")
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3).map(
        lambda value: json.dumps(value).encode()
    ),
    st.sampled_from((b"", b"{", b"[]", b"[" * 60_000, b'{"level":"debug"', b"x" * 70_000)),
    st.sampled_from((b"\xff\xfe{\x00}\x00", b'{"level": ' + b"9" * 5000 + b"}", b"level=debug")),
    st.binary(max_size=40),
)


def may_change(method: str, headers: Mapping[str, str], http: models.Http) -> bool:
    """Written apart from the product: who may change anything at all."""
    token, loopback = http.token is not None, http.listen.startswith("127.")
    hosts = {GOOD_HOST, "localhost", "[::1]:9180"} | (set() if loopback else {ANY_HOST})
    host, site = headers.get("Host"), headers.get("Sec-Fetch-Site", "none")
    credentials = headers.get("Authorization", "").split()
    known = len(credentials) == 2 and credentials[0].lower() == "bearer"
    return (
        # waitress refuses "post"; werkzeug, which is asked here, takes it for POST.
        method.upper() == "POST"
        and host in hosts
        and headers.get("Content-Type", "").partition(";")[0] == "application/json"
        and headers.get("Origin", f"http://{host}") == f"http://{host}"
        and site in ("none", "same-origin")
        and (known and credentials[1] == TOKEN if token else loopback)
    )


@hypothesis.settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
@hypothesis.given(
    st.sampled_from(tuple(SETTINGS)),
    METHODS,
    TARGETS,
    st.one_of(HEADERS, FRIENDLY, HEADERS.map(lambda given: {"Host": GOOD_HOST, **given})),
    BODIES,
)
def test_no_request_breaks_a_route_or_changes_what_it_may_not(
    kind: str, method: str, target: str, headers: dict[str, str], body: bytes
) -> None:
    routes = ROUTES[kind]
    logger.set_level("error")
    try:
        routes.control.changed.clear()
        answer = routes(method, target, headers, body)
    finally:
        logger.set_level("info")
    assert answer.status < 500 or answer.status == 503, answer
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert not any(name.startswith("access-control-") for name in answer.headers)
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    if answer.body:
        assert answer.headers["content-type"].partition(";")[0] in (
            "application/json", "text/plain", "text/html", "text/css", "text/javascript",
        )  # fmt: skip
    assert TOKEN.encode() not in answer.body
    assert b"root:" not in answer.body
    assert b"import annotations" not in answer.body
    if routes.control.changed:
        assert may_change(method, headers, routes.http), (routes.control.changed, answer)


def test_each_route_that_changes_something_is_reached_by_those_who_may(
    tmp_path: pathlib.Path,
) -> None:
    """So that the test above does not pass for the wrong reason."""
    assert tmp_path.is_dir()
    for kind, routes in ROUTES.items():
        headers = {"Host": GOOD_HOST, "Content-Type": "application/json"}
        if routes.http.token:
            headers["Authorization"] = f"Bearer {TOKEN}"
        expected = 403 if kind == "open" else 0
        for path, body, good in (
            ("/full-sync", b"", 202),
            ("/pause", b"{}", 202),
            ("/resume", b'{"shards": null}', 202),
            ("/reload", b"", 200),
            ("/log", b'{"level": "debug"}', 200),
            (f"/shards/{SHARD}/release", b'{"trip": "g1"}', 202),
        ):
            routes.control.changed.clear()
            assert routes("POST", path, headers, body).status == (expected or good), (kind, path)
            assert bool(routes.control.changed) is (not expected)
            assert may_change("POST", headers, routes.http) is (not expected)

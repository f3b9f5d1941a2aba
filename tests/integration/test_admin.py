"""The admin server over real HTTP, its client and its commands; the supervisor is a fake one."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

import pydantic
import pytest

from tests import polling
from tests.unit import views
from zk2etcd import conditions, errors, metrics
from zk2etcd.admin import http_channel, listening
from zk2etcd.cli import main
from zk2etcd.client import admin_client
from zk2etcd.config import models
from zk2etcd.view import control, history, published

TOKEN = "s3cret"
JSON = {"Content-Type": "application/json"}
BEARER = {**JSON, "Authorization": f"Bearer {TOKEN}"}
Ask = Callable[..., tuple[int, dict[str, str], str]]


class FakeControl:
    """A supervisor that does nothing but remember what it was asked."""

    def __init__(self) -> None:
        self.view = views.view()
        self.synced: list[tuple[str, ...]] = []
        self.released: list[tuple[str, str, str]] = []
        self.ordered: list[tuple[str, tuple[str, ...], str]] = []
        self.level = "info"
        self.result = control.ReloadResult(ok=True, changed=("sync.prefixes",))
        self.unavailable = False
        self.history = history.History()

    def snapshot(self) -> published.View:
        return self.view

    def recent(self, after: int | None) -> history.Recent:
        return self.history.recent(after)

    def request_full_sync(self, shards: Sequence[str] | None) -> tuple[str, ...]:
        known = [shard.id for shard in self.view.shards]
        unknown = [shard for shard in shards or () if shard not in known]
        if self.unavailable:
            raise control.Unavailable("the supervisor is stopping")
        if unknown:
            raise control.UnknownShard(unknown)
        self.synced.append(tuple(known if shards is None else shards))
        return self.synced[-1]

    def request_release(self, shard: str, trip: str, by: str) -> conditions.Guard:
        if shard not in [each.id for each in self.view.shards]:
            raise control.UnknownShard([shard])
        if trip != views.GUARD.id:
            raise control.Conflict(f"the trip is {views.GUARD.id} now, not {trip}")
        self.released.append((shard, trip, by))
        return views.GUARD

    def request_pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return self._ordered("pause", shards, by)

    def request_resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return self._ordered("resume", shards, by)

    def _ordered(self, what: str, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        known = tuple(shard.id for shard in self.view.shards)
        if unknown := [shard for shard in shards or () if shard not in known]:
            raise control.UnknownShard(unknown)
        self.ordered.append((what, known if shards is None else tuple(shards), by))
        return self.ordered[-1][1]

    def request_reload(self) -> control.ReloadResult:
        return self.result

    def set_log_level(self, level: str) -> None:
        if level not in ("debug", "info", "warning", "error"):
            raise ValueError(f"unknown log level {level!r}")
        self.level = level

    def finish_full_sync(self) -> None:
        """Let a full sync end in every shard that began just now."""
        result = dataclasses.replace(views.RESULT, at=time.time() + 1.0, took_seconds=0.9)
        self.view = views.view(shards=(views.shard(last_full_sync=result, synced_at=time.time()),))


class Settings:
    """The http settings in force, which a reload may change."""

    def __init__(self) -> None:
        self.http = models.Http(listen="127.0.0.1:0")

    def set(self, **changes: object) -> None:
        self.http = models.Http(**{"listen": "127.0.0.1:0", **changes})


@pytest.fixture
def fake() -> FakeControl:
    return FakeControl()


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def server(
    fake: FakeControl, settings: Settings, tmp_path: pathlib.Path
) -> Iterator[listening.Listener]:
    server = listening.Listener(lambda: settings.http, lambda: str(tmp_path))
    server.serve(fake)
    yield server
    server.close()


@pytest.fixture
def ask(server: listening.Listener) -> Ask:
    """(method, path, body, headers) -> (status, headers in lower case, text)."""

    def asked(
        method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection(server.address, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, named, answer.read().decode()
        finally:
            connection.close()

    return asked


@pytest.fixture
def url(server: listening.Listener) -> str:
    return f"http://{server.address}"


def test_half_requests_do_not_keep_a_probe_from_its_answer(
    server: listening.Listener, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_channel, "RECEIVE", 60.0)
    host, _, port = server.address.rpartition(":")
    with contextlib.ExitStack() as held:
        for _ in range(300):
            sock = held.enter_context(socket.create_connection((host, int(port)), 5))
            sock.sendall(b"GET /status HTTP/1.1\r\nHost: ")
        started = time.monotonic()
        assert ask("GET", "/livez")[0] == 200
        assert time.monotonic() - started < 8.0


# --- looking ------------------------------------------------------------------------------------


def test_metrics_are_prometheus_text(ask: Ask) -> None:
    code, headers, text = ask("GET", "/metrics")
    assert code == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert 'zk2etcd_shard_owned{shard="dubbo-12345678"} 1.0' in text


def test_status_is_the_document(ask: Ask) -> None:
    code, headers, text = ask("GET", "/status")
    found = json.loads(text)
    assert (code, headers["content-type"]) == (200, "application/json")
    assert (found["schema_version"], found["state"]) == (1, "ready")


def test_history_is_what_came_after_a_sample(ask: Ask, fake: FakeControl) -> None:
    for now in range(40):
        fake.history.observe(fake.view.shards, views.NOW + now, float(now))
    whole = json.loads(ask("GET", "/history")[2])
    assert (whole["schema_version"], whole["instance"], whole["next"]) == (1, "host-1-abc", 8)
    assert len(whole["shards"]["dubbo-12345678"]["lag"]) == 9
    later = json.loads(ask("GET", f"/history?after={whole['next'] - 2}")[2])
    assert (later["first"], len(later["at"])) == (7, 2)
    for wrong in ("x", "-2", "1.5", "9" * 30, "%D9%A1", ""):
        assert ask("GET", f"/history?after={wrong}")[0] == 400


def test_the_page_escapes_hostile_names_and_loads_nothing_from_elsewhere(
    ask: Ask, fake: FakeControl
) -> None:
    evil = "/<script>alert(1)</script>\u202e"
    shard = dataclasses.replace(views.shard(phase="error", error=evil), source=evil)
    fake.view = views.view(shards=(shard, views.shard("b", phase="full_sync", progress=(1, 4))))
    code, headers, text = ask("GET", "/")

    assert code == 200
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;\\u202e") >= 2
    assert "full sync 25%" in text
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "http" not in text.replace("http-equiv", "")
    for name in ("page.css", "page.js"):
        assert f"static/{name}" in text
        assert ask("GET", f"/static/{name}")[0] == 200


def test_the_page_names_the_guards_trip_and_what_to_type(ask: Ask, fake: FakeControl) -> None:
    fake.view = views.view(
        state="degraded",
        shards=(views.shard(phase="guarded", guard=views.GUARD),),
        settings={"etcd": {"password": "<redacted>"}},
    )
    page = ask("GET", "/")[2]
    assert "Needs attention" in page
    assert f"<code>{views.GUARD.id}</code>" in page
    assert "<code>zk2etcd release dubbo-12345678 -c zk2etcd.yaml</code>" in page
    assert "password: &lt;redacted&gt;" in page


def test_the_page_of_an_ensemble_in_doubt_says_that_nothing_is_written(
    ask: Ask, fake: FakeControl
) -> None:
    guard = dataclasses.replace(views.GUARD, kind="identity", reason="another root")
    fake.view = views.view(shards=(views.shard(guard=guard),), state="degraded")
    page = ask("GET", "/")[2]
    assert "another root" in page
    assert "Nothing is written while this stands" in page
    assert "Deletes held" not in page
    assert "Say that this ZooKeeper is the right one" in page


def test_the_page_does_not_say_that_all_is_well_when_the_loop_hangs(
    ask: Ask, fake: FakeControl
) -> None:
    assert "All is well" in ask("GET", "/")[2]
    fake.view = views.view(last_turn_age=11.0)
    page = ask("GET", "/")[2]
    assert "The supervisor hangs" in page
    assert "All is well" not in page


def test_the_page_says_why_the_last_reload_was_refused(ask: Ask, fake: FakeControl) -> None:
    refused = dataclasses.replace(
        fake.view.config, error="a.yaml:3: first\nsecond", trace_id="f00d"
    )
    fake.view = views.view(config=refused)
    page = ask("GET", "/")[2]
    for line in ("a.yaml:3: first", "second"):
        assert page.count(f'<bdi class="prose">{line}</bdi>') == 2
    assert "<code>zk2etcd reload</code>" in page
    assert "<code>f00d</code>" in page


def test_the_page_shows_who_paused_a_shard_and_how_far_a_base_is(
    ask: Ask, fake: FakeControl
) -> None:
    work = conditions.Work("base", 5000, 4000, 300, 2500.0, 3.0)
    fake.view = views.view(
        shards=(
            views.shard("a", phase="paused", pause=conditions.Paused("anna", views.NOW - 60)),
            views.shard("b", phase="full_sync", progress=(5000, 20_000), work=work),
        )
    )
    page = ask("GET", "/")[2]
    assert "by anna: nothing is written" in page
    assert "<code>zk2etcd resume a</code>" in page
    assert 'max="20000"' in page
    assert 'value="5000"' in page
    assert "4,000 compared, 300 written, 2,500 nodes/s, about 3.0 s left" in page


def test_what_is_long_is_cut_and_can_be_opened(ask: Ask, fake: FakeControl) -> None:
    long = "/x" * 3000
    fake.view = views.view(shards=(dataclasses.replace(views.shard(), source=long),))
    page = ask("GET", "/")[2]
    assert f"{long[:40]}" in page
    assert f'</summary><bdi class="name">{long}</bdi></details>' in page


def test_the_page_stands_without_any_figures(ask: Ask, fake: FakeControl) -> None:
    bare = views.shard(last_full_sync=None, synced_at=None, holder="other")
    dead = views.worker(pid=None, heartbeat_age_seconds=None, resident_bytes=None)
    fake.view = views.view(shards=(bare,), workers=(dead,))
    assert ask("GET", "/")[0] == 200
    fake.view = views.view(shards=(), workers=())
    assert ask("GET", "/")[0] == 200


def test_alive_means_that_the_loop_turns(ask: Ask, fake: FakeControl) -> None:
    fake.view = views.view(state="degraded")
    assert ask("GET", "/livez")[0] == 200
    fake.view = views.view(last_turn_age=10.5)
    assert ask("GET", "/livez")[0] == 503
    assert ask("GET", "/healthz")[0] == 503


def test_ready_unless_an_owned_shard_is_guarded(ask: Ask, fake: FakeControl) -> None:
    assert ask("GET", "/readyz")[2] == "ok\n"
    fake.view = views.view(shards=(views.shard(guard=views.GUARD),), state="degraded")
    code, _, text = ask("GET", "/readyz")
    why = f"{views.GUARD.reason} (zk2etcd release dubbo-12345678)"
    assert (code, text) == (503, f"[-] dubbo-12345678: guarded: {why}\nnot ok\n")
    assert ask("GET", "/readyz?exclude=guarded")[0] == 200
    assert "[+] supervisor: degraded" in ask("GET", "/readyz?verbose")[2]
    assert ask("GET", "/readyz?exclude=everything")[0] == 400


def test_every_answer_carries_the_security_headers(ask: Ask) -> None:
    for path in ("/", "/status", "/metrics", "/nothing", "/static/page.js"):
        headers = ask("GET", path)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["server"] == "zk2etcd"


def test_errors_are_json(ask: Ask) -> None:
    for method, path, expected in (("GET", "/nothing", 404), ("DELETE", "/status", 405)):
        code, headers, text = ask(method, path, None, JSON)
        assert (code, headers["content-type"]) == (expected, "application/json")
        assert json.loads(text)["error"]
    assert "GET" in ask("DELETE", "/status", None, JSON)[1]["allow"]


def test_a_bug_is_said_without_its_insides(
    ask: Ask, fake: FakeControl, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.view = None  # type: ignore[assignment]
    code, _, text = ask("GET", "/status")
    assert code == 500
    assert json.loads(text) == {"error": "internal error: see the supervisor's log"}
    assert "Traceback" in capfd.readouterr().err


# --- who may ask --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9180", "", "127.0.0.1.evil.example"]
)
def test_an_unknown_host_sees_nothing(ask: Ask, host: str) -> None:
    assert ask("GET", "/history", None, {"Host": host})[0] == 403
    code, _, text = ask("GET", "/status", None, {"Host": host})
    assert code in (400, 403)
    assert "shards" not in text


def test_known_hosts_are_loopback_and_the_allowed_ones(ask: Ask, settings: Settings) -> None:
    for host in ("localhost", "localhost:9180", "[::1]:9180", "127.0.0.1"):
        assert ask("GET", "/status", None, {"Host": host})[0] == 200
    assert ask("GET", "/status", None, {"Host": "zk2etcd.example"})[0] == 403
    settings.set(allowed_hosts=("zk2etcd.example",))
    assert ask("GET", "/status", None, {"Host": "ZK2etcd.example:80"})[0] == 200


def test_with_a_token_every_post_needs_it_from_loopback_too(
    ask: Ask, settings: Settings, fake: FakeControl
) -> None:
    assert ask("POST", "/full-sync", "", JSON)[0] == 202, "loopback without a token may ask"
    settings.set(token=pydantic.SecretStr(TOKEN))
    for wrong in (
        JSON,
        {**JSON, "Authorization": "Bearer wrong"},
        {**JSON, "Authorization": TOKEN},
    ):
        code, headers, text = ask("POST", "/full-sync", "", wrong)
        assert (code, headers["www-authenticate"]) == (401, "Bearer")
        assert TOKEN not in text
    assert ask("POST", "/full-sync", "", BEARER)[0] == 202
    assert ask("GET", "/status")[0] == 200, "looking needs none"
    assert len(fake.synced) == 2


def test_a_token_file_that_cannot_be_read_opens_nothing(
    ask: Ask, settings: Settings, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "token"
    settings.set(token_file=str(file))
    assert ask("POST", "/reload", "{}", BEARER)[0] == 503
    file.write_text("\n")
    assert ask("POST", "/reload", "{}", BEARER)[0] == 503
    file.write_text(f"{TOKEN}\n")
    assert ask("POST", "/reload", "{}", BEARER)[0] == 200


def test_without_a_token_an_open_address_takes_no_post(ask: Ask, settings: Settings) -> None:
    settings.http = models.Http(listen="0.0.0.0:9180")
    assert ask("POST", "/reload", "{}", JSON)[0] == 403
    assert ask("GET", "/status", None, {"Host": "10.1.2.3:9180"})[0] == 200, "a pod's probe"


def test_a_browser_elsewhere_cannot_post(ask: Ask, server: listening.Listener) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert ask("POST", "/reload", "{}", {**JSON, "Origin": origin})[0] == 403
    same = {**JSON, "Origin": f"http://{server.address}", "Host": server.address}
    assert ask("POST", "/reload", "{}", same)[0] == 200
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json-patch+json"):
        assert ask("POST", "/reload", "{}", {"Content-Type": kind})[0] == 415


@pytest.mark.parametrize(
    "body", ["{", "[]", '"x"', '{"levels": 1}', '{"level": 7}', '{"level": "loud"}', "[" * 60000]
)
def test_a_wrong_body_is_refused(ask: Ask, fake: FakeControl, body: str) -> None:
    code, _, text = ask("POST", "/log", body, JSON)
    assert code == 400
    assert json.loads(text)["error"]
    assert fake.level == "info"


def test_a_large_body_is_refused(ask: Ask) -> None:
    assert ask("POST", "/log", " " * 100_000, JSON)[0] == 413


# --- asking -------------------------------------------------------------------------------------


def test_the_client_asks_and_hears(url: str, fake: FakeControl) -> None:
    client = admin_client.Client(url)
    assert client.full_sync() == ("dubbo-12345678",)
    assert client.full_sync(["dubbo-12345678"]) == ("dubbo-12345678",)
    assert client.reload() == ("sync.prefixes",)
    client.log("debug")
    assert fake.level == "debug"
    assert client.status()["state"] == "ready"
    with pytest.raises(errors.UsageError, match="no such shard: x"):
        client.full_sync(["x"])


def test_a_refused_reload_brings_its_faults(url: str, fake: FakeControl, ask: Ask) -> None:
    fake.result = control.ReloadResult(ok=False, error="line 1: a\nline 2: b")
    with pytest.raises(errors.ConfigError) as caught:
        admin_client.Client(url).reload()
    assert caught.value.faults == ["line 1: a", "line 2: b"]
    assert ask("POST", "/reload", "{}", JSON)[0] == 422


def test_a_stopping_supervisor_counts_as_unreachable(url: str, fake: FakeControl) -> None:
    fake.unavailable = True
    with pytest.raises(errors.Unreachable, match="stopping"):
        admin_client.Client(url).full_sync()


def test_waiting_ends_with_a_full_sync_that_began_after_the_request(
    url: str, fake: FakeControl
) -> None:
    client = admin_client.Client(url)
    (shard,) = client.full_sync()
    with pytest.raises(errors.Zk2EtcdError, match=r"not done after 0\.3 s: dubbo"):
        client.wait_full_sync([shard], 0.3)
    seen = []

    def progress(found: dict[str, object]) -> None:
        seen.append(found)
        fake.finish_full_sync()

    found = client.wait_full_sync([shard], 10, progress)
    assert found["shards"][0]["last_full_sync"]["took_seconds"] == 0.9
    assert len(seen) >= 2
    with pytest.raises(errors.Zk2EtcdError, match="no longer configured: gone"):
        client.wait_full_sync(["gone"], 1)


def test_what_answers_but_is_not_zk2etcd_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = admin_client.Client(f"http://127.0.0.1:{port}", timeout=0.2)
        with pytest.raises(errors.Unreachable, match=f"127.0.0.1:{port}.*--url"):
            client.status()


def test_nothing_answers_after_close(
    fake: FakeControl, settings: Settings, tmp_path: pathlib.Path
) -> None:
    server = listening.Listener(lambda: settings.http, lambda: str(tmp_path))
    server.serve(fake)
    host, port = server.address.split(":")
    assert admin_client.Client(f"http://{server.address}").status()["pid"] == fake.view.pid
    server.close()
    server.close()
    with socket.create_server((host, int(port))):
        pass


def test_who_is_being_answered_at_the_close_gets_the_answer(
    fake: FakeControl,
    settings: Settings,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, snapshot = threading.Event(), fake.snapshot

    def slow() -> published.View:
        asked.set()
        time.sleep(0.3)
        return snapshot()

    server = listening.Listener(lambda: settings.http, lambda: str(tmp_path))
    server.serve(fake)
    client = admin_client.Client(f"http://{server.address}")
    assert client.status()
    monkeypatch.setattr(fake, "snapshot", slow)
    with futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.status)
        assert asked.wait(10)
        server.close()
        assert answer.result()["pid"] == fake.view.pid


def test_who_comes_before_it_is_served_waits(
    fake: FakeControl, settings: Settings, tmp_path: pathlib.Path
) -> None:
    server = listening.Listener(lambda: settings.http, lambda: str(tmp_path))
    connection = http.client.HTTPConnection(server.address, timeout=10)
    with contextlib.closing(server), contextlib.closing(connection):
        connection.request("GET", "/livez")
        server.serve(fake)
        assert connection.getresponse().status == 200


def test_one_that_was_never_served_frees_its_port(
    settings: Settings, tmp_path: pathlib.Path
) -> None:
    server = listening.Listener(lambda: settings.http, lambda: str(tmp_path))
    host, port = server.address.split(":")
    server.close()
    server.close()
    with socket.create_server((host, int(port))):
        pass


def test_a_port_in_use_is_a_start_error_with_the_remedy(
    server: listening.Listener, tmp_path: pathlib.Path
) -> None:
    taken = models.Http(listen=server.address)
    with pytest.raises(errors.StartError, match="is in use: stop what listens there"):
        listening.Listener(lambda: taken, lambda: str(tmp_path))


def test_idle_and_half_sent_requests_do_not_block_others(
    server: listening.Listener, ask: Ask
) -> None:
    host, port = server.address.split(":")
    sockets = [socket.create_connection((host, int(port)), timeout=5) for _ in range(20)]
    try:
        for half in sockets:
            half.sendall(b"POST /log HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        assert ask("GET", "/livez")[0] == 200
    finally:
        for half in sockets:
            half.close()


# --- the commands -------------------------------------------------------------------------------


def test_status_exit_codes(url: str, fake: FakeControl, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["status", "--url", url]) == 0
    assert "READY" in capsys.readouterr().out
    fake.view = views.view(shards=(views.shard(guard=views.GUARD),), state="degraded")
    assert main.run(["status", "--url", url, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["shards"][0]["guard"]["deletes"] == 500


def test_status_imports_neither_servers_nor_the_data_plane(url: str) -> None:
    code = (
        "import sys; from zk2etcd.cli import main;"
        f"assert main.run(['status', '--json', '--url', '{url}']) == 0;"
        "heavy = {'flask', 'waitress', 'prometheus_client', 'pydantic', 'kazoo', 'grpc', 'rich',"
        " 'zk2etcd_workers', 'structlog', 'yaml'} & set(sys.modules); assert not heavy, heavy"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, timeout=30, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_watching_on_a_terminal_goes_on_until_ctrl_c(url: str, fake: FakeControl) -> None:
    screen, terminal = pty.openpty()
    code = "import sys; from zk2etcd.cli import main; main.main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "status", "--watch", "--url", url]
    child = subprocess.Popen(command, stdout=terminal, stderr=terminal)
    os.close(terminal)
    try:
        shown = b""
        while b"READY" not in shown:
            shown += os.read(screen, 65536)
        fake.view = views.view(state="degraded")
        while b"DEGRADED" not in shown:
            shown += os.read(screen, 65536)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == main.INTERRUPTED
    finally:
        child.kill()
        child.wait(10)
        os.close(screen)
    assert b"Traceback" not in shown


def test_the_address_and_token_come_from_the_configuration(
    url: str,
    settings: Settings,
    fake: FakeControl,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.set(token=pydantic.SecretStr(TOKEN))
    monkeypatch.setenv("OTHER", "wrong")
    file = tmp_path / "zk2etcd.yaml"
    listen = url.removeprefix("http://")
    file.write_text(f"sync: {{prefixes: [/a]}}\nhttp: {{listen: '{listen}', token: {TOKEN}}}\n")
    assert main.run(["full-sync", "-c", str(file)]) == 0
    assert main.run(["full-sync", "-c", str(file), "--set", "http.token=${OTHER}"]) == 2
    assert main.run(["status", "-c", str(tmp_path / "none.yaml")]) == 2
    assert len(fake.synced) == 1


def test_the_asking_commands(
    url: str, fake: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["full-sync", "--url", url]) == 0
    assert main.run(["full-sync", "--url", url, "nope"]) == 2
    assert main.run(["log", "--url", url, "--level", "debug"]) == 0
    assert main.run(["reload", "--url", url]) == 0
    assert (fake.synced, fake.level) == ([("dubbo-12345678",)], "debug")
    capsys.readouterr()
    fake.result = control.ReloadResult(ok=False, error="line 1: a\nline 2: b")
    assert main.run(["reload", "--url", url]) == 2
    assert capsys.readouterr().err == "zk2etcd: line 1: a\nzk2etcd: line 2: b\n"


def test_a_token_that_is_not_ascii(
    url: str, settings: Settings, fake: FakeControl, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "token"
    file.write_text("gehe\u00edm\u5bc6\n", "utf-8")
    settings.set(token_file=str(file))
    admin_client.Client(url, "gehe\u00edm\u5bc6").full_sync()
    with pytest.raises(errors.UsageError, match="needs `Authorization"):
        admin_client.Client(url, "gehe\u00edm").full_sync()
    assert len(fake.synced) == 1


def test_the_token_comes_from_the_environment(
    url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, fake: FakeControl
) -> None:
    settings.set(token=pydantic.SecretStr(TOKEN))
    assert main.run(["full-sync", "--url", url]) == 2
    monkeypatch.setenv("ZK2ETCD_TOKEN", TOKEN)
    assert main.run(["full-sync", "--url", url]) == 0
    assert len(fake.synced) == 1


def test_the_server_runs_on_what_the_supervisor_prepares(
    fake: FakeControl, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(metrics.DIRECTORY, "")
    server = listening.Listener(lambda: settings.http, metrics.prepare_supervisor().where)
    server.serve(fake)
    try:
        polling.until(lambda: bool(admin_client.Client(f"http://{server.address}").status()))
    finally:
        server.close()


def test_pause_and_resume_say_who_asks(
    url: str, fake: FakeControl, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    (shard,) = (each.id for each in fake.view.shards)
    assert ask("POST", "/pause", "", JSON)[0] == 202
    code, _, text = ask("POST", "/resume", f'{{"shards": ["{shard}"], "by": "alice@desk"}}', JSON)
    assert (code, json.loads(text)["accepted"]) == (202, [shard])
    assert fake.ordered == [
        ("pause", (shard,), "HTTP (127.0.0.1)"),
        ("resume", (shard,), "alice@desk (127.0.0.1)"),
    ]
    assert ask("POST", "/pause", '{"shards": ["nope"]}', JSON)[0] == 404
    for body in ('{"shards": "x"}', '{"by": 1}', '{"by": ""}', '{"by": "a\\nb"}', '{"all": true}'):
        assert ask("POST", "/pause", body, JSON)[0] == 400, body
    assert len(fake.ordered) == 2
    # A pipe is not asked, and nothing is resumed by mistake.
    assert main.run(["resume", "--url", url]) == 2
    assert main.run(["pause", "--url", url]) == 0
    assert fake.ordered[2][:2] == ("pause", (shard,))
    assert "@" in fake.ordered[2][2]
    fake.view = views.view(
        shards=(views.shard(phase="paused", pause=conditions.Paused("bob", 0.0)),)
    )
    capsys.readouterr()
    assert main.run(["pause", "--wait", "--url", url]) == 0
    assert capsys.readouterr().out == f"{shard}: paused\n"
    assert main.run(["resume", "--yes", "--url", url]) == 0
    assert "paused since 1970-01-01T00:00:00.000Z by bob" in capsys.readouterr().out
    assert fake.ordered[-1][:2] == ("resume", (shard,))
    assert main.run(["resume", "--yes", "--wait", "--timeout", "0.1", "--url", url]) == 1
    assert ask("GET", "/readyz?verbose")[2].splitlines()[-2:] == [
        f"[+] {shard}: paused: by bob",
        "ok",
    ]
    assert f'phase="paused",shard="{shard}"}} 1.0' in ask("GET", "/metrics")[2]
    fake.view = views.view()
    assert main.run(["resume", "--yes", "--url", url]) == 0
    assert "nothing is paused" in capsys.readouterr().out


def test_a_release_names_the_trip_that_was_seen(url: str, fake: FakeControl, ask: Ask) -> None:
    client = admin_client.Client(url)
    shard = fake.view.shards[0].id
    answer = client.release(shard, views.GUARD.id)
    assert (answer["trip"], answer["deletes"]) == (views.GUARD.id, views.GUARD.deletes)
    assert fake.released == [(shard, views.GUARD.id, "127.0.0.1 (HTTP)")]
    with pytest.raises(errors.Zk2EtcdError, match="not another"):
        client.release(shard, "another")
    place = f"/shards/{shard}/release"
    assert ask("POST", place, '{"trip": "another"}', JSON)[0] == 409
    assert ask("POST", place, "{}", JSON)[0] == 400
    assert ask("POST", "/shards/nope/release", '{"trip": "t"}', JSON)[0] == 404
    assert len(fake.released) == 1

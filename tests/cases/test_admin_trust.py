"""What is told at the admin address, and whom a command believes."""

from __future__ import annotations

import http.server
import shlex
import threading
from collections.abc import Iterator

import pytest

from tests import polling
from tests.acceptance import conftest, installed
from tests.cases import crowds


def test_a_digest_confirms_no_guess(mirrors: conftest.Mirrors) -> None:
    """A9: the sha256 in /status, which asks for no token, was of the file with the token in it."""
    root = "/trust-digest"
    supervisor = mirrors.following(root, nodes=1, http={"token": "a-first-secret"})
    before = supervisor.status()["config"]
    content = installed.laid_over(supervisor.content, http={"token": "a-second-secret"})
    supervisor.configure(content)
    supervisor.reload()
    polling.until(lambda: supervisor.status()["config"]["loaded_at"] != before["loaded_at"])
    assert supervisor.status()["config"]["sha256"] == before["sha256"]
    supervisor.configure(installed.laid_over(content, log={"level": "debug"}))
    supervisor.reload()
    polling.until(lambda: supervisor.status()["config"]["sha256"] != before["sha256"])


@pytest.mark.parametrize("token", ["change-me", "your-token-here"])
def test_a_token_that_everybody_knows_is_refused(mirrors: conftest.Mirrors, token: str) -> None:
    """A9: `change-me` worked as it stood in the manifests."""
    supervisor = mirrors.made(f"/trust-{token}", nodes=1, http={"token": token})
    done = installed.run("check", "--offline", "-c", str(supervisor.config))
    assert done.returncode == 2
    assert "http.token: is a placeholder" in done.stdout + done.stderr


def test_a_command_that_is_copied_works_with_any_file_name(mirrors: conftest.Mirrors) -> None:
    """A9: with a comma in the name of the configuration, the page named two files."""
    root = "/trust-comma"
    supervisor = mirrors.following(root, sync={"delete_guard": {"min_deletes": 5}})
    supervisor.stop()
    for number in range(20):
        mirrors.sides.zk.delete(f"{root}/n{number}")
    odd = supervisor.folder / "my, own 'file'.yaml"
    supervisor.config.rename(odd)
    supervisor.config = odd
    supervisor.start()
    polling.until(lambda: supervisor.shards()[root]["guard"], 20.0, what="a trip")
    page = supervisor.ask("/")[1]
    assert "zk2etcd diff -c" in page
    shown = page.split("zk2etcd diff -c", 1)[1].split("<", 1)[0]
    text = shown.replace("&#39;", "'").replace("&#34;", '"').replace("&quot;", '"')
    assert shlex.split(text) == [str(odd)]


BODIES = {
    "a list": b"[1, 2]",
    "no keys": b"{}",
    "a part of it": b'{"schema_version": 1, "shards": [], "workers": 3}',
    "nested deeply": b"[" * 100_000,
    "a huge number": b'{"schema_version": 1, "pid": ' + b"9" * 5_000 + b"}",
    "NaN": b'{"schema_version": NaN}',
    "no UTF-8": b'{"schema_version": "\xff"}',
}


class _Other(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Another program, which answers with `_Other.body`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", BODIES)
def test_what_answers_is_not_zk2etcd(elsewhere: str, name: str) -> None:
    """A9: a command that met other JSON than ours ended with 70, as if it were a bug."""
    _Other.body = BODIES[name]
    command = "status" if name != "no keys" else "pause"
    done = installed.run(command, "--url", elsewhere)
    assert done.returncode == 3, done.stderr
    assert "is not zk2etcd" in done.stderr or "is not a zk2etcd of our kind" in done.stderr


ODD_BODIES = {
    "nested deeply": b'{"shards": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "a name twice": b'{"shards": ["x"], "shards": null}',
    "NaN": b'{"shards": NaN}',
    "a huge number": b'{"shards": ' + b"9" * 6_000 + b"}",
    "no UTF-8": b'{"shards": ["\xff"]}',
    "numbers": b'{"shards": [1]}',
    "a text": b'"pause"',
}


def test_odd_json_is_refused_and_nothing_is_done(mirrors: conftest.Mirrors) -> None:
    """A9: the other way round: what is no plain JSON is answered with 400; a name that came twice
    meant every shard."""
    root = "/trust-bodies"
    supervisor = mirrors.following(root, nodes=1)
    for name, body in ODD_BODIES.items():
        for place in ("/pause", "/full-sync", "/log", "/reload", "/shards/x/release"):
            assert crowds.posted(supervisor.address, place, body) == 400, (name, place)
    assert supervisor.following()
    assert not supervisor.events("pause asked for")
    assert not [line for line in supervisor.events() if line["level"] == "error"]

"""Secrets: none that is empty, none shown, none sent to whoever an owner key names."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import subprocess
import tarfile
import threading
from collections.abc import Iterator

import pytest

from tests.acceptance import conftest, installed
from zk2etcd import errors

TOKEN = "t0ken-that-nobody-shall-see"
_CONFIG = "sync: {{prefixes: [/a]}}\nhttp: {{{0}}}\n"


def written(folder: pathlib.Path, http: str) -> str:
    file = folder / "c.yaml"
    file.write_text(_CONFIG.format(http), "utf-8")
    return str(file)


@contextlib.contextmanager
def listening(host: str, port: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Somebody at this address: its port, and the Authorization of all that it is sent."""
    sent: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.headers.get("Authorization", ""))
            self.send_response(302)
            self.send_header("Location", f"http://{host}:{self.server.server_port}/more")  # type: ignore[attr-defined]
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    try:
        server = http.server.ThreadingHTTPServer((host, port), Handler)
    except PermissionError:
        pytest.skip(f"port {port} is not for this user")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.mark.parametrize(
    ("theirs", "port"),
    [
        pytest.param("http://{own}@127.0.0.2", 80, marks=pytest.mark.long),
        pytest.param("http://127.0.0.2:{port}", 0, marks=pytest.mark.long),
        ("http://{own}@127.0.0.2:{port}", 0),
    ],
)
def test_a_token_goes_to_our_own_address_alone(
    mirrors: conftest.Mirrors, prefix: str, theirs: str, port: int
) -> None:
    """A4: `diff --fix`, an owner key whose `admin` has a user part before another host, or names
    another port of this machine: whoever listens there is sent no token."""
    supervisor = mirrors.made(prefix, nodes=2, http={"token": TOKEN})
    owner = f"zk2etcd{prefix}/owners/{_owned(supervisor)}"
    with listening("127.0.0.2", port) as (found, sent):
        admin = theirs.format(own=supervisor.address, port=found)
        record = {"v": 1, "instance": "other-1", "slot": "w0", "incarnation": 1, "admin": admin}
        record |= {"from": prefix, "to": prefix, "epoch": 1}
        mirrors.sides.etcd.put(owner, json.dumps(record).encode())
        mirrors.sides.etcd.put(f"{prefix}/n0", b"another")
        done = installed.run("diff", "--fix", "-c", str(supervisor.config), timeout=60)
    mirrors.sides.etcd.delete(owner)
    assert done.returncode != 0
    assert "owned by" in done.stderr
    assert not any(TOKEN in each for each in sent), sent
    assert TOKEN not in done.stderr + done.stdout


def _owned(supervisor: installed.Supervisor) -> str:
    """The id of its one shard: it is started, and stopped again."""
    supervisor.start()
    supervisor.wait_following()
    found = next(iter(supervisor.shards().values()))["id"]
    supervisor.stop()
    return str(found)


def test_an_empty_token_is_a_fault(mirrors: conftest.Mirrors, prefix: str) -> None:
    """A5: `http.token: ${VAR}`, VAR set but empty: no token was needed on loopback."""
    supervisor = mirrors.made(prefix, http={"token": "${ADMIN_TOKEN}"})
    supervisor.variables = {"ADMIN_TOKEN": ""}
    with pytest.raises(errors.StartError):
        supervisor.start()
    assert "http.token: is empty once filled from the environment" in supervisor.log.read_text()


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        ("token: '${T}'", {"T": " "}),
        ("token: ", {}),
        ("token: ''", {}),
        ("token_file: '${F}'", {"F": ""}),
        ("token_file: blank", {}),
    ],
)
def test_so_is_every_other_empty_secret(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    variables: dict[str, str],
) -> None:
    """A5: wherever the emptiness comes from."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blank").write_text(" \n")
    done = installed.run("config", "show", "-c", written(tmp_path, content), env=variables)
    assert (done.returncode, "http.token" in done.stderr) == (2, True), done.stderr


def test_no_secret_in_an_argument(tmp_path: pathlib.Path) -> None:
    """A9: `--set` secrets in `ps`: refused, and not repeated."""
    file = written(tmp_path, "")
    for argument in (f"http.token={TOKEN}", f"etcd={{username: u, password: {TOKEN}}}"):
        done = installed.run("config", "show", "-c", file, "--set", argument)
        assert done.returncode == 2
        assert "not with --set" in done.stderr
        assert TOKEN not in done.stderr
    done = installed.run("config", "show", "-c", file, "--set", "http.token=${T}", env={"T": TOKEN})
    assert (done.returncode, TOKEN in done.stdout) == (0, False)


@pytest.mark.parametrize("url", ["http://u:{0}@127.0.0.1:port", "http://u:{0}@[::1", "u:{0}@h"])
def test_a_malformed_address_is_not_repeated(url: str) -> None:
    """A9: a malformed `--url` prints its password."""
    for command in ("status", "full-sync", "log"):
        extra = ["info"] if command == "log" else []
        done = installed.run(command, *extra, "--url", url.format(TOKEN))
        assert done.returncode == 2, done.stderr
        assert TOKEN not in done.stderr + done.stdout


def test_a_token_that_is_a_common_word_is_left_out_by_its_key(
    mirrors: conftest.Mirrors, prefix: str, tmp_path: pathlib.Path
) -> None:
    """A9: `support` with a token that is a common word: what was replaced showed which it is."""
    supervisor = mirrors.following(prefix, http={"token": "following"})
    path = tmp_path / "report.tar.gz"
    done = installed.run("support", "-c", str(supervisor.config), "--output", str(path))
    assert done.returncode in (0, 1), done.stderr
    assert "common word" in done.stderr
    with tarfile.open(path) as archive:
        found = {
            member.name.partition("/")[2]: file.read().decode()
            for member in archive.getmembers()
            if (file := archive.extractfile(member)) is not None
        }
    assert json.loads(found["status.json"])["shards"][0]["phase"] == "following"
    assert "token: <redacted>" in found["config.yaml"]
    assert "common word" not in found["README.txt"]


@pytest.mark.parametrize("form", ["PKCS#8", "traditional"])
@pytest.mark.parametrize("side", ["zookeeper", "etcd"])
def test_nobody_is_asked_for_a_passphrase(tmp_path: pathlib.Path, side: str, form: str) -> None:
    """A9: an encrypted TLS key prompts on the terminal."""
    key = str(tmp_path / "client.key")
    make = ["openssl", "genrsa", "-aes128", "-passout", "pass:secret", "-out", key]
    make += ["-traditional"] if form == "traditional" else []
    subprocess.run([*make, "2048"], check=True, capture_output=True, timeout=30)
    (tmp_path / "client.pem").write_text("")
    tls = f"{{cert: {tmp_path}/client.pem, key: {key}}}"
    file = tmp_path / "c.yaml"
    file.write_text(f"sync: {{prefixes: [/a]}}\n{side}: {{tls: {tls}}}\n")
    done = installed.run("check", "--offline", "-c", str(file))
    assert done.returncode == 2
    assert f"{side}.tls.key: points to an encrypted private key" in done.stderr

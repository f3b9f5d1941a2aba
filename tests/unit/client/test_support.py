"""The archive of `zk2etcd support`: all that can be had, and no secret."""

from __future__ import annotations

import json
import os
import pathlib
import tarfile

import pytest

from tests.unit import settings
from zk2etcd import errors
from zk2etcd.cli import main
from zk2etcd.client import support
from zk2etcd.config import loader, models

SECRETS = {
    "digest": 'd1gest"pass',
    "sasl": "s4sl-p\u00e4ss",
    "etcd": "3tcd-in-a-file",
    "token": "t0ken-in-the-environment",
    "asking": "t0ken-of-who-asks",
}
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def planted(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A configuration with every kind of secret, all of which its log file tells as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THEIRS", SECRETS["token"])
    monkeypatch.setenv("ZK2ETCD_TOKEN", SECRETS["asking"])
    (tmp_path / "etcd-password").write_text(SECRETS["etcd"] + "\n")
    told = [*SECRETS.values(), *(json.dumps(secret) for secret in SECRETS.values())]
    (tmp_path / "zk2etcd.log").write_text("".join(f"said {secret}\n" for secret in told))
    file = tmp_path / "config.yaml"
    file.write_text(
        json.dumps(
            {
                "sync": {"prefixes": ["/a"]},
                "zookeeper": {
                    "auth": [{"scheme": "digest", "credentials": f"user:{SECRETS['digest']}"}],
                    "sasl": {"mechanism": "DIGEST-MD5", "username": "u", "password": "${SASL}"},
                },
                "etcd": {"username": "root", "password_file": str(tmp_path / "etcd-password")},
                "http": {"token": "${THEIRS}", "listen": "127.0.0.1:9"},
                "log": {"file": {"path": str(tmp_path / "zk2etcd.log")}},
            }
        )
    )
    monkeypatch.setenv("SASL", SECRETS["sasl"])
    return file


def unpacked(path: pathlib.Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        entries = [entry for entry in archive.getmembers() if entry.isfile()]
        assert all(entry.name.startswith(f"{path.name.split('.')[0]}/") for entry in entries)
        found = {}
        for entry in entries:
            file = archive.extractfile(entry)
            assert file is not None
            found[entry.name.partition("/")[2]] = file.read()
        return found


def test_no_secret_is_in_it(
    planted: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["support", "-c", str(planted), "--url", NOWHERE, "--output", "report.tar.gz"]
    assert main.run(arguments) == 1
    said = capsys.readouterr()
    path = tmp_path / "report.tar.gz"
    assert path.stat().st_mode & 0o777 == 0o600
    found = unpacked(path)
    for name, content in {**found, "the streams": (said.out + said.err).encode()}.items():
        for secret in SECRETS.values():
            for form in (secret, json.dumps(secret)[1:-1]):
                assert form.encode() not in content, (name, secret)
    assert found["log.txt"].count(b"said") == 2 * len(SECRETS)
    assert b"credentials: <redacted>" in found["config.yaml"]
    assert json.loads(found["version.json"])["dependencies"]
    assert json.loads(found["environment.json"])["cpus"]["usable"] >= 1
    for name in ("status.json", "metrics.txt", "history.json", "stacks.txt"):
        assert name not in found
        assert (
            f"{name}: MISSING: no supervisor answers at {NOWHERE}" in found["README.txt"].decode()
        )
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_nothing_is_written_over_unasked(
    planted: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(b"mine")
    arguments = ["support", "-c", str(planted), "--output", str(path)]
    assert main.run(arguments) == 2
    assert "--force" in capsys.readouterr().err
    with pytest.raises(errors.UsageError, match="is there already"):
        support.write(path, support.Report(), set(), force=False)
    assert path.read_bytes() == b"mine"
    assert main.run([*arguments, "--force"]) == 1
    assert "config.yaml" in unpacked(path)
    assert main.run(["support", "--output", str(tmp_path / "no" / "such.tar.gz")]) == 2


def test_when_nothing_can_be_had(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["support", "--url", NOWHERE]) == 3
    (path,) = tmp_path.glob("zk2etcd-support-*.tar.gz")
    assert set(unpacked(path)) == {"version.json", "environment.json", "README.txt"}
    assert "missing status.json" in capsys.readouterr().err
    assert main.run(["support", "--check"]) == 2


def test_a_faulty_configuration_is_named_and_not_shown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    faulty = tmp_path / "config.yaml"
    faulty.write_text("http: {token: t0p-secret}\nsinc: [t0p-secret]\n")
    assert main.run(["support", "-c", str(faulty), "--url", NOWHERE, "--output", "r.tgz"]) == 3
    found = unpacked(tmp_path / "r.tgz")
    assert b"config.yaml: MISSING: it has 2 faults" in found["README.txt"]
    assert not any(b"t0p-secret" in content for content in found.values())


def test_a_bug_in_one_part_is_no_reason_to_go_without_the_rest() -> None:
    report, nothing = support.Report(), dict[str, bytes]()
    assert not report.take("a", lambda: nothing["it"])
    assert report.take("b", lambda: b"there")
    assert report.missing == {"a": "failed: KeyError: 'it'"}
    assert report.files == {"b": b"there"}


def test_exit_codes() -> None:
    whole = {"status.json": b"", "config.yaml": b""}
    assert support.Report(whole).exit_code == 0
    assert support.Report(whole, {"log.txt": "gone"}).exit_code == 1
    assert support.Report(whole, notes={"log.txt": "not asked for"}).exit_code == 0
    assert support.Report({"config.yaml": b""}, {"status.json": "down"}).exit_code == 1
    assert support.Report({"version.json": b""}, {"status.json": "down"}).exit_code == 3


def test_only_the_end_of_a_long_log(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, planted: pathlib.Path
) -> None:
    monkeypatch.setattr(support, "_LOG_TAIL", 15)
    (tmp_path / "zk2etcd.log").write_bytes(b"the first\nthe second\nthe third\n")
    report = support.Report()
    support.of_configuration(report, loader.load([str(planted)]).config)
    assert report.files["log.txt"] == b"the third\n"
    assert report.missing == {}


def test_a_log_file_that_is_a_fifo_is_not_waited_for(
    planted: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "zk2etcd.log").unlink()
    os.mkfifo(tmp_path / "zk2etcd.log")
    report = support.Report()
    support.of_configuration(report, loader.load([str(planted)]).config)
    assert "not a regular file" in report.missing["log.txt"]


def test_without_a_log_file_it_says_where_the_log_went() -> None:
    report = support.Report()
    cfg = models.Config.model_validate({"sync": {"prefixes": [{"from": "/a", "to": "/a"}]}})
    support.of_configuration(report, cfg)
    assert "stderr" in report.notes["log.txt"]
    assert report.missing == {}


@pytest.mark.parametrize(
    ("secret", "is_looked_for"),
    [
        ("following", False),
        ("zk2etcd", False),
        ("127.0.0.1:9180", False),
        ("12345678", False),
        ("Change-Me", True),
        ("correct-horse", True),
        ("correcthorsebatterystaple", True),
        ("0123456789abcdef", True),
        ("4-5", False),
    ],
)
def test_a_secret_that_may_stand_in_texts_by_chance_is_left_out_by_its_key_alone(
    secret: str, is_looked_for: bool
) -> None:
    assert (secret in support.known_secrets(None, (secret, None))) is is_looked_for
    assert support.plain_words(None, (None, secret)) is not is_looked_for


def test_parts_of_credentials_are_judged_by_themselves() -> None:
    auth = [{"scheme": "digest", "credentials": "somebody:following"}]
    config = settings.configured(zookeeper={"auth": auth})
    assert support.known_secrets(config, ()) == {
        "somebody:following",
        "somebody%3Afollowing",
    }

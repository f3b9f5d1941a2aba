"""The older tool's flags: what they amount to, what is said of them, what is refused."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from zk2etcd import errors, patterns
from zk2etcd.config import loader, models, older_flags

SERVERS = {"zookeeper_servers": "zk1:2181,zk2", "etcd_servers": "etcd:2379"}


def flags(**given: Any) -> older_flags.Flags:
    return older_flags.Flags(**{**SERVERS, **given})


def loaded(folder: pathlib.Path, text: str) -> models.Config:
    path = folder / "zk2etcd.yaml"
    path.write_text(text, "utf-8")
    return loader.load([str(path)], environ={"SECRET": "s"}).config


def amounts_to(folder: pathlib.Path, *sets: str, **given: Any) -> models.Config:
    return loaded(folder, older_flags.render(older_flags.translate(flags(**given)).content, sets))


def warnings(**given: Any) -> str:
    return "\n".join(older_flags.translate(flags(zookeeper_exclude_prefix="", **given)).warnings)


def test_the_defaults_are_the_older_tools(tmp_path: pathlib.Path) -> None:
    found = amounts_to(tmp_path)
    assert found.zookeeper.hosts == ("zk1:2181", "zk2:2181")
    assert found.etcd.endpoints == ("http://etcd:2379",)
    assert found.etcd.tls is None
    assert [(each.from_, each.to) for each in found.sync.prefixes] == [("/dubbo", "/dubbo")]
    assert found.sync.exclude == ("/dubbo/config",)
    assert found.sync.full_sync_interval == 300
    assert found.log.level == "info"
    # What a first sync finds in etcd may be someone else's: coming from elsewhere waives nothing.
    assert found.sync.delete_guard.first_sync == "hold"


def test_lists_are_comma_separated_and_each_node_has_one_writer(tmp_path: pathlib.Path) -> None:
    given = {
        "zookeeper_prefix": "/dubbo/, /roc,/dubbo/a,/roc",
        "zookeeper_exclude_prefix": "/roc/x,",
    }
    found = amounts_to(tmp_path, **given)
    assert [each.from_ for each in found.sync.prefixes] == ["/dubbo", "/roc"]
    assert found.sync.exclude == ("/roc/x",)
    assert "/dubbo/a is below another prefix" in warnings(zookeeper_prefix="/dubbo,/dubbo/a")
    assert (
        amounts_to(tmp_path, zookeeper_prefix="/", zookeeper_exclude_prefix="").sync.exclude == ()
    )


def test_tls_files_make_bare_servers_https(tmp_path: pathlib.Path) -> None:
    files = {name: tmp_path / f"{name}.pem" for name in ("cacert", "cert", "key")}
    for each in files.values():
        each.write_text("pem", "utf-8")
    given = {f"etcd_{name}": str(path) for name, path in files.items()}
    found = amounts_to(tmp_path, **given, etcd_servers="a:1,https://b:2")
    assert found.etcd.endpoints == ("https://a:1", "https://b:2")
    assert found.etcd.tls is not None
    assert found.etcd.tls.model_dump() == {
        "ca": given["etcd_cacert"], "cert": given["etcd_cert"], "key": given["etcd_key"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ("debug", "debug", ""), ("info", "info", ""), ("warn", "warning", ""),
        ("warning", "warning", ""), ("error", "error", ""),
        ("fatal", "error", "there is no fatal here"), ("panic", "error", "there is no panic here"),
        ("loud", "info", "taken for info"),
    ],
)  # fmt: skip
def test_levels(tmp_path: pathlib.Path, text: str, level: str, said: str) -> None:
    assert amounts_to(tmp_path, log_level=text).log.level == level
    found = warnings(log_level=text)
    assert said in found if said else not found


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("5m0s", 300), ("1h30m", 5400)])
def test_intervals(tmp_path: pathlib.Path, text: str, seconds: float) -> None:
    assert amounts_to(tmp_path, fullsync_interval=text).sync.full_sync_interval == seconds


def test_each_flag_without_a_meaning_is_told_once() -> None:
    assert not warnings()
    found = warnings(concurrent=50, leader_elect=False)
    assert found.count("--concurrent has no meaning here") == 1
    assert found.count("--leader-elect has no meaning here") == 1
    excluding = older_flags.translate(flags()).warnings
    assert [each for each in excluding if "its neighbour /dubbo/config-more" in each]


@pytest.mark.parametrize("wanted", [True, False])
def test_the_event_log_is_had_if_it_is_wanted(wanted: bool) -> None:
    found = older_flags.translate(flags(enable_event_log=wanted))
    assert found.content["log"].get("events", False) is wanted
    assert not any("event-log" in each for each in found.warnings)


def test_redis_means_marks() -> None:
    """The older tool noted there what was its own."""
    given = flags(redis_server="redis:6379", redis_password="p")
    assert older_flags.translate(given).content["sync"]["ownership"] == "marks"
    assert "zk2etcd adopt" in (older_flags.about_redis(given, "marks") or "")
    assert "is not used" in (older_flags.about_redis(given, "range") or "")
    assert older_flags.about_redis(flags(), "range") is None
    assert "ownership" not in older_flags.translate(flags()).content["sync"]
    alone = older_flags.about_redis(flags(redis_password="p"), "range")
    assert "no Redis" in (alone or "")
    assert "redis_password" not in repr(given)


@pytest.mark.parametrize("name", ["zookeeper_servers", "etcd_servers", "zookeeper_prefix"])
def test_without_servers_or_prefixes_there_is_nothing_to_do(name: str) -> None:
    with pytest.raises(errors.UsageError, match=f"--{name.replace('_', '-')} is empty"):
        older_flags.translate(flags(**{name: " ,"}))


def test_the_printed_file_holds_the_sets_as_they_were_meant(tmp_path: pathlib.Path) -> None:
    sets = (
        "http.listen=0.0.0.0:80", "workers.count=2", "etcd.username=0123",
        'etcd.password="${SECRET}"', "sync.exclude=[/dubbo/a, /dubbo/b]", "http.allowed_hosts=null",
        'state.prefix="77"',
    )  # fmt: skip
    translation = older_flags.translate(flags(zookeeper_prefix="/dubbo,/a$b"))
    text = older_flags.render(translation.content, sets)
    base = tmp_path / "base.yaml"
    base.write_text(older_flags.render(translation.content), "utf-8")
    direct = loader.load([str(base)], sets, environ={"SECRET": "s"}).config
    assert loaded(tmp_path, text) == direct
    assert direct.workers.count == 2
    assert direct.sync.prefixes[1].from_ == "/a$b"
    assert "${SECRET}" in text


_NAME = st.text("aZ0.:-_#'\"\\\\${}[]&*!|>%@`~? \u00e9\u4e2d=", min_size=1, max_size=12).filter(
    lambda name: name.strip(" .") == name
)


@hypothesis.given(
    path=st.lists(_NAME, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names)),
    excluded=_NAME,
    seconds=st.integers(1, 86400),
)
@hypothesis.settings(max_examples=150, deadline=None)
def test_whatever_a_path_holds_comes_through(path: str, excluded: str, seconds: int) -> None:
    given = flags(
        zookeeper_prefix=path,
        zookeeper_exclude_prefix=f"{path}/{excluded}",
        fullsync_interval=f"{seconds}s",
    )
    text = older_flags.render(older_flags.translate(given).content)
    with tempfile.TemporaryDirectory() as folder:
        found = loaded(pathlib.Path(folder), text)
    assert [each.from_ for each in found.sync.prefixes] == [path]
    assert found.sync.exclude == (patterns.escaped(f"{path}/{excluded}"),)
    assert found.sync.full_sync_interval == seconds


def test_a_fault_names_the_flag(tmp_path: pathlib.Path) -> None:
    given = {
        "etcd_servers": "a:99999",
        "fullsync_interval": "-1m",
        "zookeeper_prefix": "/dubbo/config",
    }
    with pytest.raises(errors.ConfigError) as caught:
        amounts_to(tmp_path, **given, zookeeper_servers="a/chroot", etcd_cert="/none")
    path = str(tmp_path / "zk2etcd.yaml")
    told = [older_flags.in_flags(fault, path) for fault in caught.value.faults]
    for flag in (
        "--zookeeper-servers", "--etcd-servers", "--fullsync-interval",
        "--zookeeper-exclude-prefix", "--etcd-cert", "--etcd-key",
    ):  # fmt: skip
        assert any(each.startswith(f"{flag}: ") for each in told), (flag, told)
    assert older_flags.in_flags("--set: must be key=value", path) == "--set: must be key=value"

from __future__ import annotations

import os
import pathlib

import pytest

from tests.unit import fakes, settings
from zk2etcd.supervisor import reloading


def configuration(
    *paths: pathlib.Path, load: reloading.Load | None = None
) -> reloading.Configuration:
    first = fakes.Loaded(settings.configured(["/a"]), sha256="first")
    names = [str(path) for path in paths]
    return reloading.Configuration(first, load or (lambda: first), names, 1.0)


def test_a_good_one_is_taken_over_and_names_what_changed() -> None:
    second = fakes.Loaded(settings.configured(["/a", "/b"]), sha256="second")
    held = configuration(load=lambda: second)
    result = held.reload(7.0)
    assert (result.ok, result.changed) == (True, ("sync.prefixes",))
    assert (held.sha256, held.loaded_at, held.error) == ("second", 7.0, None)
    assert [each["from"] for each in held.settings["sync"]["prefixes"]] == ["/a", "/b"]


def test_an_unforeseen_failure_of_the_loader_keeps_the_old_one() -> None:
    def load() -> fakes.Loaded:
        raise RecursionError

    held = configuration(load=load)
    result = held.reload(7.0)
    assert not result.ok
    assert "RecursionError" in str(held.error)
    assert (held.sha256, held.loaded_at) == ("first", 1.0)
    assert [each["from"] for each in held.settings["sync"]["prefixes"]] == ["/a"]
    assert held.counts == {"ok": 0, "error": 1}


def test_a_log_file_that_cannot_be_opened_is_refused_and_one_in_use_is_not_looked_at(
    tmp_path: pathlib.Path,
) -> None:
    file = {"path": str(tmp_path / "none" / "log")}
    second = fakes.Loaded(settings.configured(["/a"], log={"file": file}), sha256="second")
    held = configuration(load=lambda: second)
    result = held.reload(7.0)
    assert "cannot open the log file" in str(result.error)
    assert (held.sha256, held.current.log.file) == ("first", None)
    (tmp_path / "none").mkdir()
    assert held.reload(8.0).ok
    (tmp_path / "none" / "log").unlink()
    (tmp_path / "none" / "log.lock").unlink()
    (tmp_path / "none").rmdir()
    assert held.reload(9.0).ok, "a full disk is no reason to refuse something else"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("zookeeper.hosts", True),
        ("etcd", True),
        ("sync.ephemeral", True),
        ("sync.delete_guard.max_ratio", True),
        ("log.format", True),
        ("log.level", False),
        ("sync.prefixes", False),
        ("sync.full_sync_interval", False),
        ("workers.restart_backoff.min", False),
        ("http.token", False),
        ("reload.watch", False),
    ],
)
def test_which_keys_are_for_the_workers(key: str, expected: bool) -> None:
    assert reloading.concerns_workers([key]) is expected


def test_a_symlink_swap_is_a_touch_and_a_rewrite_of_the_same_is_none(
    tmp_path: pathlib.Path,
) -> None:
    for name, content in (("one", "a: 1"), ("same", "a: 1"), ("two", "a: 2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(content)
    current = tmp_path / "current"
    current.symlink_to("one")
    held = configuration(current / "config.yaml")
    assert not held.touched()

    def swap(name: str) -> None:
        fresh = tmp_path / "fresh"
        fresh.symlink_to(name)
        os.replace(fresh, current)  # noqa: PTH105

    swap("same")
    assert not held.touched()
    swap("two")
    assert held.touched()
    held.reload(2.0)
    assert not held.touched()


def test_a_refused_file_is_not_tried_again_until_it_changes(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("good")

    def load() -> fakes.Loaded:
        raise OSError("cannot be read")

    held = configuration(file, load=load)
    file.write_text("bad")
    assert held.touched()
    assert not held.reload(2.0).ok
    assert not held.touched()
    file.write_text("still bad")
    assert held.touched()


def test_a_file_that_is_away_for_a_moment_is_no_touch(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("good")
    held = configuration(file)
    file.unlink()
    assert not held.touched()


def test_a_secret_that_changed_in_its_file_is_a_touch(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("good")
    fresh = fakes.Loaded(settings.configured(["/a"]), secrets_sha256="another")
    assert configuration(file, load=lambda: fresh).touched()

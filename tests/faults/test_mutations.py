"""The self-check: each line of defence that is taken out of the source is noticed by the check that
stands for it, and the source as it is passes the same scenarios.

`make test` runs the quick ones; `make mutations` runs all.
"""

from __future__ import annotations

import compileall
import dataclasses
import pathlib
import re
from collections.abc import Iterable

import pytest

from tests.faults import directed, oracle, self_check

ALL = {each.name: each for each in self_check.mutations()}
QUICK = ("late_write",)
"""Scenarios of a few seconds each."""
QUICK_MUTATIONS = ("same_token_after_doubt",)
_PATCHED = re.compile(r"^\+\+\+ b/(\S+)", re.MULTILINE)
_REFUSED = "--- a/zk2etcd/errors.py\n+++ b/zk2etcd/errors.py\n@@ -1 +1 @@\n-no such line\n+x\n"
_HEAD = "what: w\nscenario: late_write\nfires: order\n\n"


def _sorted(names: Iterable[str], quick: Iterable[str]) -> list[object]:
    """Parameters, of which all that are not `quick` are marked `long`."""
    marks = {name: () if name in quick else (pytest.mark.long,) for name in names}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("scenario", _sorted(directed.SCENARIOS, QUICK))
def test_the_product_passes(scenario: str) -> None:
    assert self_check.passes(scenario)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", _sorted(ALL, QUICK_MUTATIONS))
def test_the_mutation_is_noticed(name: str) -> None:
    assert self_check.notices(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_the_patch_fits_the_source(name: str, tmp_path: pathlib.Path) -> None:
    tree = self_check.copied(tmp_path, ALL[name])
    patched = _PATCHED.findall(ALL[name].patch.read_text("utf-8"))
    assert patched
    assert all(compileall.compile_file(tree / each, quiet=1) for each in patched)


def test_every_scenario_serves_a_mutation() -> None:
    assert {each.scenario for each in ALL.values()} == set(directed.SCENARIOS)


def test_a_patch_that_does_not_fit_is_refused(tmp_path: pathlib.Path) -> None:
    patch = tmp_path / "rotten.patch"
    patch.write_text(_HEAD + _REFUSED, "utf-8")
    with pytest.raises(self_check.Rotten, match="does not apply"):
        self_check.copied(tmp_path / "tree", self_check.Mutation.read(patch))


def test_a_patch_that_changes_nothing_is_refused(tmp_path: pathlib.Path) -> None:
    patch = tmp_path / "empty.patch"
    patch.write_text(_HEAD, "utf-8")
    with pytest.raises(self_check.Rotten, match="does not apply"):
        self_check.copied(tmp_path / "tree", self_check.Mutation.read(patch))


@pytest.mark.parametrize("line", ["what", "scenario", "fires"])
def test_a_patch_must_say_what_it_is(line: str, tmp_path: pathlib.Path) -> None:
    patch = tmp_path / "mute.patch"
    patch.write_text("\n".join(x for x in _HEAD.split("\n") if not x.startswith(line)), "utf-8")
    with pytest.raises(self_check.Rotten, match=line):
        self_check.Mutation.read(patch)


def _plays(monkeypatch: pytest.MonkeyPatch, *checks: str, failure: str = "") -> list[str]:
    """Let every scenario show that these checks fired; which were played."""
    played: list[str] = []
    found = [oracle.Violation("I0", check, "/m", "made up") for check in checks]

    def play(scenario: str, *_: object) -> self_check.Seen:
        played.append(scenario)
        return self_check.Seen(found, failure, 0.0)

    monkeypatch.setattr(self_check, "play", play)
    return played


MADE_UP = dataclasses.replace(
    ALL["no_fence_compare"], fires="order", also=frozenset({"checkpoint"})
)


def test_a_mutation_that_nothing_notices_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    played = _plays(monkeypatch)
    with pytest.raises(self_check.Unnoticed, match="order did not fire"):
        self_check.notices(MADE_UP)
    assert len(played) == 2


def test_the_wrong_check_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    _plays(monkeypatch, "order", "foreign")
    with pytest.raises(self_check.Unnoticed, match="foreign"):
        self_check.notices(MADE_UP)
    _plays(monkeypatch, "checkpoint")
    with pytest.raises(self_check.Unnoticed, match="order did not fire"):
        self_check.notices(MADE_UP)


def test_what_was_announced_may_fire_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _plays(monkeypatch, "order", "checkpoint", "equal", failure="broke off")
    assert "and checkpoint" in self_check.notices(MADE_UP)


def test_a_product_that_breaks_a_promise_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = _plays(monkeypatch, "order")
    with pytest.raises(AssertionError, match="broke a promise"):
        self_check.passes("late_write")
    assert len(played) == 1


def test_a_scenario_that_breaks_off_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    played = _plays(monkeypatch, "equal", failure="broke off")
    with pytest.raises(AssertionError, match="did not run to its end"):
        self_check.passes("late_write")
    assert len(played) == 2

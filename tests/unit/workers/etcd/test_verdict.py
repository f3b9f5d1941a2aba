"""Which of the etcd clusters that answer is ours."""

from __future__ import annotations

import pytest

from zk2etcd import errors
from zk2etcd_workers.etcd import verdict

A, B = "a1", "b2"


def _found(*said: tuple[str, bool, str]) -> list[verdict.Found]:
    return [verdict.Found(f"http://m{at}", *each) for at, each in enumerate(said)]


HOME = (A, True, A)
OLDER = (A, True, "")
EMPTY_A, EMPTY_B = (A, False, ""), (B, False, "")
COPY_B = (B, True, A)
FILLED_B = (B, True, B)


@pytest.mark.parametrize(
    ("said", "total", "known"),
    [
        pytest.param([EMPTY_A], 1, "", id="first contact"),
        pytest.param([EMPTY_A], 2, "", id="first contact, the other one is away"),
        pytest.param([EMPTY_A, EMPTY_A], 3, "", id="first contact, one is away"),
        pytest.param([HOME], 3, "", id="at home, though two are away"),
        pytest.param([OLDER], 3, "", id="an older release kept no id"),
        pytest.param([EMPTY_B, HOME], 2, "", id="the stray one is empty"),
        pytest.param([COPY_B, HOME], 2, "", id="the stray one is a copy"),
        pytest.param([EMPTY_B, EMPTY_A], 2, A, id="known"),
        pytest.param([FILLED_B, EMPTY_A], 2, A, id="known, and emptied"),
    ],
)
def test_it_is(said: list[tuple[str, bool, str]], total: int, known: str) -> None:
    assert verdict.ours(_found(*said), total, known, fixed=False) == A


@pytest.mark.parametrize(("said", "total"), [([COPY_B], 1), ([COPY_B, COPY_B], 3)])
@pytest.mark.parametrize("known", ["", A])
def test_a_copy_counts_where_most_endpoints_belong_to_it(
    said: list[tuple[str, bool, str]], total: int, known: str
) -> None:
    assert verdict.ours(_found(*said), total, known, fixed=False) == B


@pytest.mark.parametrize(
    ("said", "total", "known", "fixed"),
    [
        pytest.param([EMPTY_A, EMPTY_B], 2, "", False, id="nobody can tell"),
        pytest.param([HOME, FILLED_B], 2, "", False, id="both are at home"),
        pytest.param([EMPTY_A], 3, "", False, id="empty, and too few"),
        pytest.param([COPY_B], 2, "", False, id="a copy, and too few"),
        pytest.param([COPY_B], 3, A, False, id="a stray member with old data"),
        pytest.param([COPY_B, COPY_B, ("c3", False, "")], 3, A, False, id="and a third one"),
        pytest.param([EMPTY_B], 1, A, False, id="another one, and empty"),
        pytest.param([COPY_B], 1, A, True, id="a copy, but the id is configured"),
        pytest.param([HOME], 1, B, True, id="configured, and not there"),
    ],
)
def test_nothing_is_written_where(
    said: list[tuple[str, bool, str]], total: int, known: str, fixed: bool
) -> None:
    with pytest.raises(errors.OtherCluster) as refused:
        verdict.ours(_found(*said), total, known, fixed=fixed)
    assert all(f"http://m{at}" in str(refused.value) for at in range(len(said)))


def test_a_cluster_that_was_set_up_anew_is_named_with_the_way_out() -> None:
    with pytest.raises(
        errors.OtherCluster, match=f"set up anew or restored, etcd.cluster_id: {B}$"
    ):
        verdict.ours(_found(EMPTY_B), 1, A, fixed=False)


@pytest.mark.parametrize("value", [b"", b"x", b"[]", b'{"v":1}'])
def test_what_holds_no_id_holds_none(value: bytes) -> None:
    assert verdict.kept(value) == ""


def test_the_kept_id() -> None:
    assert verdict.kept(b'{"id":"a1","v":1}') == A

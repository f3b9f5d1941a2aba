"""Orders and looks at one of several supervisors that share, over real HTTP; the supervisors are
fake ones."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pydantic
import pytest

from tests import polling
from tests.unit import views
from zk2etcd import conditions, errors
from zk2etcd.admin import gathered, listening, peers
from zk2etcd.cli import main
from zk2etcd.client import admin_client
from zk2etcd.config import models
from zk2etcd.view import control, history, published

TOKEN = "s3cret-t0ken"
PHASES = {"/pause": "paused", "/resume": "following"}


class Member:
    """One supervisor: what it has, whom it knows, and what it was asked for."""

    def __init__(self, name: str, has: Sequence[str], token: str | None = TOKEN) -> None:
        self.name, self.has = name, set(has)
        self.phases = dict.fromkeys(has, "following")
        self.orders: list[tuple[str, tuple[str, ...], str]] = []
        self.known: list[published.Member] = []
        self.owners: dict[str, str] = {}
        self.refuses: Exception | None = None
        self.set_token(token)
        self.listener: listening.Listener | None = None

    def set_token(self, token: str | None) -> None:
        secret = pydantic.SecretStr(token) if token else None
        self.http = models.Http(listen="127.0.0.1:0", token=secret)

    def start(self, folder: pathlib.Path) -> None:
        self.listener = listening.Listener(lambda: self.http, lambda: str(folder))
        self.listener.serve(self)

    @property
    def url(self) -> str:
        assert self.listener is not None
        return f"http://{self.listener.address}"

    @property
    def client(self) -> admin_client.Client:
        return admin_client.Client(self.url, TOKEN)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()

    # --- control.Control ---

    def snapshot(self) -> published.View:
        mine = {name: views.shard(name, phase=self.phases[name]) for name in self.has}
        owners = {name: owner for name, owner in self.owners.items() if name not in mine}
        theirs = {name: views.elsewhere(name, owner or None) for name, owner in owners.items()}
        every = {**mine, **theirs}
        shards = tuple(every[name] for name in sorted(every))
        us = published.Member(self.name, owned=len(mine))
        cluster = published.Cluster((us, *self.known))
        return views.view(instance=self.name, shards=shards, cluster=cluster)

    def recent(self, after: int | None) -> history.Recent:
        return history.History().recent(after)

    def request_full_sync(self, shards: Sequence[str] | None) -> tuple[str, ...]:
        return self._order("/full-sync", shards, "")

    def request_pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return self._order("/pause", shards, by)

    def request_resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return self._order("/resume", shards, by)

    def request_release(self, shard: str, trip: str, by: str) -> conditions.Guard:
        self._order(f"release {trip}", [shard], by)
        return views.GUARD

    def request_reload(self) -> control.ReloadResult:
        return control.ReloadResult(ok=True)

    def set_log_level(self, level: str) -> None:
        del level

    def _order(self, what: str, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        if self.refuses is not None:
            raise self.refuses
        wanted = tuple(sorted(self.has)) if shards is None else tuple(shards)
        if others := [shard for shard in wanted if shard not in self.has]:
            raise control.Conflict(f"{others[0]} is owned by somebody: ask that supervisor")
        self.orders.append((what, wanted, by))
        self.phases.update(dict.fromkeys(wanted, PHASES.get(what, "following")))
        return wanted


def introduce(*members: Member) -> None:
    """They know each other, and who has what."""
    owners = {shard: each.name for each in members for shard in each.has}
    for one in members:
        one.owners = owners
        one.known = [
            published.Member(each.name, url=each.url, owned=len(each.has))
            for each in members
            if each is not one
        ]


@pytest.fixture
def members(tmp_path: pathlib.Path) -> Iterator[Callable[..., list[Member]]]:
    with contextlib.ExitStack() as closing:

        def made(**has: str) -> list[Member]:
            found = [Member(name, shards.split()) for name, shards in has.items()]
            for each in found:
                each.start(tmp_path)
                closing.callback(each.close)
            introduce(*found)
            return found

        yield made


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who takes connections, and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


# --- orders -----------------------------------------------------------------------------------


def test_an_order_goes_to_the_owner_of_each_shard_with_the_name_of_who_asked(
    members: Callable[..., list[Member]],
) -> None:
    one, two, three = members(one="a", two="b c", three="d")
    accepted = one.client.pause(["a", "b", "d"], "ops@desk")
    assert sorted(accepted) == ["a", "b", "d"]
    assert one.orders == [("/pause", ("a",), "ops@desk (127.0.0.1)")]
    by = "ops@desk (127.0.0.1) by way of 127.0.0.1"
    assert two.orders == [("/pause", ("b",), by)]
    assert three.orders == [("/pause", ("d",), by)]
    assert one.client.refused == ()


def test_all_means_all_of_all(members: Callable[..., list[Member]]) -> None:
    one, two = members(one="a", two="b c")
    assert sorted(one.client.full_sync()) == ["a", "b", "c"]
    assert two.orders == [("/full-sync", ("b", "c"), "")]
    none, _ = members(none="", all="b c")
    assert sorted(none.client.pause(None, "me")) == ["b", "c"]
    assert none.orders == []


def test_a_release_goes_to_the_owner(members: Callable[..., list[Member]]) -> None:
    one, two = members(one="a", two="b")
    answer = one.client.release("b", "g1")
    assert (answer["shard"], answer["deletes"]) == ("b", views.GUARD.deletes)
    assert two.orders == [("release g1", ("b",), "127.0.0.1 (HTTP) by way of 127.0.0.1")]


def test_what_the_owner_refuses_is_refused_in_its_words(
    members: Callable[..., list[Member]],
) -> None:
    one, two = members(one="a", two="b")
    two.refuses = control.Conflict("b is paused: resume it first")
    with pytest.raises(errors.Zk2EtcdError, match=r"owned by two .* b is paused") as caught:
        one.client.full_sync(["b"])
    assert caught.value.exit_code == 1
    client = one.client
    assert client.full_sync(["a", "b"]) == ("a",)
    (refused,) = client.refused
    assert (refused["shards"], refused["status"], refused["member"]) == (["b"], 409, "two")


def test_a_shard_that_moved_meanwhile_is_not_handed_on_again(
    members: Callable[..., list[Member]],
) -> None:
    one, two, three = members(one="a", two="b", three="c")
    two.has, three.has = set(), {"b", "c"}
    two.owners = {**two.owners, "b": "three"}
    with pytest.raises(
        errors.Zk2EtcdError, match=f"b is owned by three.* at {three.url}"
    ) as caught:
        one.client.pause(["b"], "me")
    assert caught.value.exit_code == 1
    assert three.orders == []


def test_one_that_does_not_answer_is_named_with_its_address_and_the_rest_is_done(
    members: Callable[..., list[Member]],
) -> None:
    one, two, _ = members(one="a", two="b", three="c")
    url = two.url
    two.close()
    assert sorted(one.client.pause(None, "me")) == ["a", "c"]
    client = one.client
    with pytest.raises(errors.Unreachable, match=f"b is owned by two at {url}, which does not"):
        client.pause(["b"], "me")
    one.known = []
    with pytest.raises(errors.Unreachable, match="b is owned by two, which names no address"):
        client.pause(["b"], "me")


def test_one_that_is_silent_costs_some_seconds_and_may_still_do_it(
    members: Callable[..., list[Member]], silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "ORDER_SECONDS", 0.3)
    one, two = members(one="a", two="b")
    one.known = [dataclasses.replace(one.known[0], url=silent)]
    with pytest.raises(
        errors.Unreachable, match=r"does not answer.* \(it may do so all the same\)"
    ):
        one.client.pause(["b"], "me")
    assert two.orders == []


def test_the_token_is_not_sent_to_an_address_that_stands_in_etcd(
    members: Callable[..., list[Member]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "ORDER_SECONDS", 1.0)
    (one, _) = members(one="a", two="b")
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as thief:

        def listen() -> None:
            connection, _ = thief.accept()
            with connection:
                while b"\r\n\r\n{" not in heard:
                    heard.extend(connection.recv(65536))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{thief.getsockname()[1]}"
        one.known = [dataclasses.replace(one.known[0], url=url)]
        with pytest.raises(errors.Unreachable):
            one.client.pause(["b"], "me")
        thread.join(5)
    assert b"Authorization: ZK2ETCD " in heard
    assert TOKEN.encode() not in heard


def test_what_listens_there_does_not_fill_our_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "LOOK_SECONDS", 60.0)
    taken, piece = 0, b"[]," * 20_000
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def answer() -> None:
            nonlocal taken
            connection, _ = stranger.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n[")
                while taken < 32 * 1024 * 1024:
                    connection.sendall(piece)
                    taken += len(piece)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        with pytest.raises(peers.Unasked, match="is not what answers there"):
            peers.Peers(models.Http).status(published.Member("two", url=url))
        thread.join(5)
    assert taken < 20 * 1024 * 1024


def test_another_token_is_said_to_be_one(members: Callable[..., list[Member]]) -> None:
    one, two = members(one="a", two="b")
    two.set_token("an0ther")
    with pytest.raises(errors.Unreachable, match=r"another http\.token.* ask it there") as caught:
        one.client.pause(["b"], "me")
    assert TOKEN not in str(caught.value)
    assert two.orders == []
    for member in (one, two):
        member.set_token(None)
    assert one.client.pause(["b"], "me") == ("b",)


def test_an_address_that_leads_to_somebody_else_is_found_out(
    members: Callable[..., list[Member]],
) -> None:
    """Two hosts whose supervisors listen, and so can be asked, on loopback alone."""
    one, two = members(one="a", two="b")
    one.known = [dataclasses.replace(one.known[0], url=one.url)]
    with pytest.raises(errors.Unreachable, match="this is one, not two"):
        one.client.pause(["b"], "me")
    assert (one.orders, two.orders) == ([], [])
    for nowhere in ("", "file:///etc", "http://user:x@127.0.0.1"):
        one.known = [dataclasses.replace(one.known[0], url=nowhere)]
        with pytest.raises(errors.Unreachable, match=r"which names (no|an) address"):
            one.client.pause(["b"], "me")


def test_a_shard_that_nobody_has_is_said_to_be_nobodys(
    members: Callable[..., list[Member]],
) -> None:
    one, _ = members(one="a", two="b")
    one.owners = {**one.owners, "z": ""}
    assert sorted(one.client.pause(None, "me")) == ["a", "b"]
    client = one.client
    client.pause(["a", "b", "z"], "me")
    (refused,) = client.refused
    assert (refused["shards"], refused["status"]) == (["z"], 503)


def test_commands_do_what_can_be_done_and_exit_as_for_the_rest(
    members: Callable[..., list[Member]], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = members(one="a", two="b")
    for each in (one, two):
        each.set_token(None)
    assert main.run(["pause", "--wait", "--url", one.url]) == 0
    assert capsys.readouterr().out.split() == ["a:", "paused", "b:", "paused"]
    two.close()
    assert main.run(["pause", "--url", one.url]) == 3
    said = capsys.readouterr()
    assert said.out == "a: pause asked for\n"
    assert f"b is owned by two at {two.url}, which does not answer" in said.err


def test_a_guard_of_which_nobody_knows_is_not_said_to_hold_nothing(
    members: Callable[..., list[Member]], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = members(one="a", two="b")
    for each in (one, two):
        each.set_token(None)
    assert main.run(["release", "--yes", "--url", one.url]) == 0
    assert "nothing to release" in capsys.readouterr().out
    two.close()
    for shards in ([], ["b"]):
        assert main.run(["release", "--yes", "--url", one.url, *shards]) == 3
        said = capsys.readouterr()
        assert said.out == ""
        assert "what the guards of two hold is not known: it does not answer" in said.err
    assert main.run(["release", "--yes", "--url", one.url, "a"]) == 2
    assert "the guard holds nothing of a" in capsys.readouterr().err


def test_who_says_nothing_is_not_taken_for_one_that_has_paused_nothing(
    members: Callable[..., list[Member]], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = members(one="a", two="b")
    for each in (one, two):
        each.set_token(None)
    two.close()
    assert main.run(["resume", "--yes", "--url", one.url]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing is known to be paused; what two has paused is not known: it does" in said.err


# --- looks ------------------------------------------------------------------------------------


def test_any_shows_all_shards_as_their_owners_tell(members: Callable[..., list[Member]]) -> None:
    one, two = members(one="a", two="b")
    two.phases["b"] = "paused"
    found = one.client.status()
    shown = {shard["id"]: (shard["phase"], shard["holder"]) for shard in found["shards"]}
    assert shown == {"a": ("following", None), "b": ("paused", "two")}
    assert [each["status"]["instance"] for each in found["cluster"]["members"]] == ["one", "two"]


def test_those_that_do_not_tell_are_named_and_take_a_moment(
    members: Callable[..., list[Member]], silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "LOOK_SECONDS", 0.5)
    one, two, three = members(one="a", two="b", three="c")
    two.close()
    one.known = [one.known[0], dataclasses.replace(one.known[1], url=silent)]
    started = time.monotonic()
    found = one.client.status()
    assert time.monotonic() - started < 5.0
    why = {each["name"]: each["unasked"] for each in found["cluster"]["members"]}
    assert why["one"] is None
    assert "does not answer" in why["two"]
    assert "does not answer" in why["three"]
    assert {shard["id"]: shard["phase"] for shard in found["shards"]}["b"] == "waiting"
    assert three.orders == []


def test_what_is_not_another_supervisors_is_not_shown_as_its_own(
    members: Callable[..., list[Member]],
) -> None:
    one, _, other = members(one="a", two="b", other="c")
    two = dataclasses.replace(one.known[0], url=other.url)
    one.known = [two, one.known[1]]
    told = {each["name"]: each["unasked"] for each in one.client.status()["cluster"]["members"]}
    assert "this is other, not two" in str(told["two"])
    assert told["other"] is None


def test_one_looks_at_what_it_has_alone_where_another_asks(
    members: Callable[..., list[Member]],
) -> None:
    one, _ = members(one="a", two="b")
    found = json.loads(one.client.fetch("/status?mine=1"))
    assert [shard["id"] for shard in found["shards"]] == ["a"]


def test_the_page_shows_all_and_does_not_wait_for_one_that_is_silent(
    members: Callable[..., list[Member]], silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = members(one="a", two="b", three="c")
    two.phases["b"] = "paused"
    page = one.client.fetch("/").decode()
    assert "Supervisors" in page
    assert page.count("this page is of it") == 1
    (row,) = (row for row in page.split("<tr ") if 'id="shard-b"' in row)
    assert ">two</bdi> · w0" in row
    assert ">paused</span>" in row
    monkeypatch.setattr(gathered, "_FRESH", 0.0)
    one.known = [one.known[0], dataclasses.replace(one.known[1], url=silent)]
    started = time.monotonic()
    assert "Supervisors" in one.client.fetch("/").decode()
    assert time.monotonic() - started < peers.LOOK_SECONDS, "it shows what was said before"
    polling.until(lambda: "supervisor three" in one.client.fetch("/").decode())


def test_names_in_etcd_are_no_part_of_the_page(members: Callable[..., list[Member]]) -> None:
    one, _ = members(one="a", two="b")
    evil = "<script>alert(1)</script>"
    one.known.append(published.Member(evil, label=evil, url=evil, version=evil, owned=1))
    page = one.client.fetch("/").decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
